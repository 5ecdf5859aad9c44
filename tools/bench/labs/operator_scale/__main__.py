"""`make bench-operator`: the operator with many pools; starts a control plane and removes it.

    make bench-operator ARGS="--nodes 1000 --pools 200 --workers 10"

Measures the time from `apply` until all pods are created and until all are ready; the cost while
nothing changes (`--quiet-seconds`); the length of a full observe-plan-act round; and what happens
when a share of the nodes (`--lose`) is lost at once.
"""

from __future__ import annotations

import argparse
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import tools.devcluster.kwok
from tools.bench.labs.operator_scale import fake_workers, node_loss, pools, process
from tools.bench.labs.operator_scale.process import OperatorUsage, usage_between
from tools.bench.labs.operator_scale.rounds import full_rounds
from tools.bench.lib.machine import this_machine
from tools.bench.lib.report import Goal, Report, write
from tools.bench.lib.servers import ROOT
from tools.devcluster import control_plane, settings
from tools.devcluster.build import parts
from tools.devcluster.kwok import Kwok
from tools.devcluster.testing.runs import temporary
from tools.devcluster.waiting import api_of

# Long intervals: the API server shares the cores with the operator and should not spend its time on
# the leases of a thousand nodes. It must not mark a node as lost because it is slow itself, because
# pods of kwok do not recover from that as those of a kubelet do. Silent nodes need the short ones.
LEASE_SECONDS, GRACE_SECONDS = 600, 600
LEASE_OF_SILENT = 120


@dataclass(frozen=True)
class Measurements:
    bare: float
    created: float
    ready: float
    starting: OperatorUsage
    quiet: OperatorUsage
    peak_memory: float
    rounds: list[float]
    lost: node_loss.NodeLoss | None


def main() -> int:
    args = _arguments()
    lacking = parts.missing(parts.KWOK_PARTS)
    if lacking is not None:
        raise SystemExit(str(lacking))
    lease, grace = LEASE_SECONDS, GRACE_SECONDS
    if args.lose and args.how == "silent":
        lease, grace = LEASE_OF_SILENT, control_plane.NODE_GRACE_SECONDS
    signal.signal(signal.SIGTERM, _end)  # so that cluster and operator end too
    with temporary(with_node=False, node_grace_s=grace) as cluster:
        assert cluster.folder is not None
        cluster.kubectl("apply", f"--filename={ROOT / 'manifests' / 'crd.yaml'}")
        cluster.wait_for_crds("ocrpools.ocrpool.dev")
        cluster.kubectl("create", "namespace", pools.NAMESPACE)
        tools.devcluster.kwok.start(cluster.folder, lease_seconds=lease)
        _say(f"{args.nodes} nodes")
        kwok = Kwok(cluster.folder)
        nodes = kwok.add(args.nodes, gpus=args.gpus, patience_s=900)
        pools.nodes_settle(api_of(cluster.kubeconfig))
        found = settings.load(cluster.folder)
        assert found is not None
        addresses = fake_workers.addresses(found.network.simulated_pods)
        with fake_workers.serving(addresses):
            figures = measure(cluster.kubeconfig, kwok, nodes, addresses, args)
    report = _report(figures, args)
    print(report.markdown())
    if args.write:
        folder = ROOT / "tools" / "bench" / "results"
        print(write(folder, this_machine(), [report], quick=False, label="-operator-scale"))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-operator", description=__doc__)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--gpus", type=int, default=4, help="of each node")
    parser.add_argument("--pools", type=int, default=100)
    parser.add_argument("--workers", type=int, default=10, help="of each pool")
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--quiet-seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lose", type=float, default=0.1, help="share of the nodes; 0: none")
    parser.add_argument("--how", choices=("deleted", "silent"), default="deleted")
    parser.add_argument("--write", action="store_true", help="into tools/bench/results/")
    return parser.parse_args()


def _end(*_: object) -> None:
    raise SystemExit(143)


def _say(line: str) -> None:
    print(line, flush=True)


def measure(
    kubeconfig: Path,
    kwok: Kwok,
    nodes: list[str],
    addresses: list[str],
    args: argparse.Namespace,
) -> Measurements:
    api = api_of(kubeconfig)
    total = args.pools * args.workers
    lost = None
    bare = pools.bare_pods(api, total, args.workers)
    _say(f"{total} pods made without an operator in {bare:.1f} s")
    pools.nodes_settle(api)
    with process.running(kubeconfig, pools.NAMESPACE, args.interval) as operator:
        before, began = operator.now(), time.monotonic()
        pools.apply(api, args.pools, args.workers)
        pools.seconds_until("all pods are there", lambda: pools.pods_there(api) >= total, 900)
        created = time.monotonic() - began
        _say(f"{total} pods created in {created:.1f} s")
        pools.seconds_until("all are ready", lambda: pools.unready(api, args.workers) == 0, 900)
        ready = time.monotonic() - began
        _say(f"all ready in {ready:.1f} s")
        starting = usage_between(before, operator.now())
        _settle(operator, args.interval)
        before = operator.now()
        time.sleep(args.quiet_seconds)
        quiet = usage_between(before, operator.now())
        _say(f"quiet: {quiet}")
        if args.lose:
            gone = nodes[:: max(1, round(1 / args.lose))]
            lost = node_loss.lose(
                api,
                kwok,
                operator,
                gone,
                how=args.how,
                workers=args.workers,
                addresses=addresses,
            )
            _say(f"{lost}")
        memory = operator.peak_memory()
    rounds = full_rounds(kubeconfig, args.rounds, args.interval)
    return Measurements(bare, created, ready, starting, quiet, memory, rounds, lost)


def _settle(operator: process.OperatorUnderTest, interval: float) -> None:
    """Wait until the operator writes nothing: workers grow by one instance at a time."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        before = operator.now()
        time.sleep(interval * 3)
        if not usage_between(before, operator.now()).writes:
            return
    raise SystemExit("the operator went on writing for 900 s with nothing to do")


def _report(figures: Measurements, args: argparse.Namespace) -> Report:
    quiet, lost = figures.quiet, figures.lost
    passes = quiet.rounds / args.pools
    rows = [
        ("apply → all pods created, s", f"{figures.created:.1f}"),
        ("the same pods, created by a client that does nothing else, s", f"{figures.bare:.1f}"),
        ("apply → all workers ready, s", f"{figures.ready:.1f}"),
        ("meanwhile, operator's cores", f"{figures.starting.cores:.2f}"),
        (
            "meanwhile, API calls a worker",
            f"{figures.starting.all_calls / args.pools / args.workers:.2f}",
        ),
        ("full round, s, median", f"{median(figures.rounds):.2f}"),
        ("full round, s, worst", f"{max(figures.rounds):.2f}"),
        (f"quiet, {quiet.seconds:.0f} s: API writes", f"{quiet.writes:.0f}"),
        ("quiet: API calls a round of all pools", f"{quiet.all_calls / passes:.2f}"),
        ("quiet: decisions about a worker's instances", f"{quiet.decisions:.0f}"),
        ("quiet: failed rounds", f"{quiet.failed:.0f}"),
        ("quiet: operator's cores", f"{quiet.cores:.2f}"),
        ("operator's memory at the peak, MiB", f"{figures.peak_memory:.0f}"),
    ]
    if lost is not None:
        rows += [
            (f"{lost.nodes} nodes {args.how}, workers on them", f"{lost.workers}"),
            ("lost → reported in a status, s", f"{lost.noticed:.1f}"),
            ("lost → all workers ready again, s", f"{lost.recovered:.1f}"),
            ("meanwhile: failed rounds", f"{lost.during.failed:.0f}"),
            (
                "meanwhile: API writes a lost worker",
                f"{lost.during.writes / max(1, lost.workers):.2f}",
            ),
            ("meanwhile: operator's cores", f"{lost.during.cores:.2f}"),
        ]
    return Report(
        part="operator",
        title=f"{args.pools} pools, {args.pools * args.workers} workers, {args.nodes} nodes",
        method=(
            "Real API server, controllers and scheduler; kwok simulates nodes and pods, without",
            "containers. One fake answers for all workers, on the same cores. Full rounds run",
            "after the operator has ended, with its own code in this process. Pods have addresses",
            "on loopback, which cannot be endpoints, so the endpoint controllers are off. API",
            f"calls are the operator's own without its watches. Interval: {args.interval:g} s.",
        ),
        columns=("", "measured"),
        rows=tuple(rows),
        goals=(
            Goal("apply → all pods created, s", figures.created, 60, at_least=False),
            Goal("full round, s, worst", max(figures.rounds), 5, at_least=False),
            Goal("API writes in a quiet time", quiet.writes, 0, at_least=False),
            Goal("memory at the peak, MiB", figures.peak_memory, 500, at_least=False),
        ),
        rounds=asdict(figures),
    )


if __name__ == "__main__":
    raise SystemExit(main())
