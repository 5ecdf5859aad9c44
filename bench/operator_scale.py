"""The operator with many pools on a real API server: how long a round takes, and what it holds.

    python -m bench.operator_scale --pools 100 --workers 10

Starts a control plane (devcluster) and applies the pools. There is no kubelet: this says itself
that the operator's pods run, at 250 addresses of 127.0.0.0/8, and one server there answers for all
workers. Then it prints the seconds of a full observe-plan-act round over all pools, the operator's
CPU and memory, and its API writes while nothing changes.
With --quiet-seconds 600 it is the ten quiet minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from devcluster import processes
from devcluster.testing.runs import temporary
from ocrpool_wire import (
    Counters,
    Device,
    Footprint,
    Instance,
    Instances,
    Memory,
    Queue,
    State,
)
from tests.operator.api import Api, Refused

ROOT = Path(__file__).resolve().parent.parent
GIB = 2**30
# Of every worker.
INSTANCES = 6
# Of this run alone, and not 0.0.0.0: other runs and tests have workers at addresses of their own.
PORT = 26000 + os.getpid() % 2000
ADDRESSES = [f"127.{200 + os.getpid() % 50}.0.{number}" for number in range(1, 251)]


def answers() -> None:
    """The workers' control ports: a busy state of six instances, with figures that jitter. There
    is room for no seventh, so the planner has something to compute at every look and holds."""

    async def state(request: web.Request) -> web.Response:
        free = GIB + 200 * 2**20 + time.monotonic_ns() % (200 * 2**20)
        memory = Memory(total=16 * GIB, used=16 * GIB - free, free=free)
        each = tuple(
            Instance(
                id=f"i{n}",
                pid=100 + n,
                state="busy",
                age_seconds=time.monotonic(),
                busy_seconds=0.1,
                requests=time.monotonic_ns() % 10**6,
                memory=GIB,
                peak=GIB,
            )
            for n in range(INSTANCES)
        )
        said = State(
            device=Device(kind="gpu", name="stand-in", uuid="GPU-0", memory=memory),
            instances=Instances(
                target=INSTANCES, ready=INSTANCES, booting=0, ceiling=256, each=each
            ),
            footprint=Footprint(bytes=GIB, source="rss"),
            queue=Queue(depth=3, capacity=64, oldest_seconds=0.5),
            counters=Counters(requests=time.monotonic_ns() % 10**9),
            ready=True,
            draining=False,
        )
        return web.Response(
            text=said.model_dump_json(by_alias=True), content_type="application/json"
        )

    app = web.Application()
    app.router.add_get("/v1/state", state)
    web.run_app(app, host=ADDRESSES, port=8081, print=lambda _: None, access_log=None)


def a_pool(name: str, workers: int) -> dict[str, Any]:
    spec = {"replicas": workers, "device": "cpu", "engine": {"name": "null"}}
    return {
        "apiVersion": "ocrpool.dev/v1alpha1",
        "kind": "OcrPool",
        "metadata": {"name": name},
        "spec": spec,
    }


def runs(api: Api, pod: dict[str, Any], number: int) -> None:
    """Say what kubelet would: this pod runs and is ready."""
    ip = ADDRESSES[number % len(ADDRESSES)]
    status = {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
    api.merge(path, {"status": status})


DECISIONS = "ocrpool_operator_decisions_total"


class Measured:
    """The operator's process, as the kernel and its own metrics tell of it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def figures(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def memory(self) -> float:
        """Resident bytes at the peak."""
        for line in Path(f"/proc/{self._pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return float(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def cpu(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def wait_for(what: str, look: Any, seconds: float) -> float:
    began = time.monotonic()
    while not look():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"not within {seconds:g} s: {what}")
        time.sleep(0.5)
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, default=100)
    parser.add_argument("--workers", type=int, default=10, help="of each pool")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--quiet-seconds", type=float, default=60)
    args = parser.parse_args()
    server = multiprocessing.get_context("fork").Process(target=answers, daemon=True)
    server.start()
    try:
        with temporary(with_node=False) as cluster:
            cluster.kubectl("apply", f"--filename={ROOT / 'manifests' / 'crd.yaml'}")
            cluster.kubectl("wait", "--for=condition=Established", "crd/ocrpools.ocrpool.dev")
            cluster.kubectl("create", "namespace", "scale")
            # There is no node, and a scheduler would go on saying so on every pod.
            assert cluster.folder is not None
            processes.stop(cluster.folder, ["kube-scheduler"])
            print(json.dumps(measure(cluster.kubeconfig, args), indent=1))
    finally:
        server.terminate()
        server.join()
    return 0


def measure(kubeconfig: Path, args: argparse.Namespace) -> dict[str, float]:
    api = Api(kubeconfig)
    base = "/apis/ocrpool.dev/v1alpha1/namespaces/scale/ocrpools"
    command = [sys.executable, "-m", "ocrpool_operator.kubernetes.cli", "run"]
    command += ["--namespace", "scale", "--host", "127.0.0.1", "--port", str(PORT)]
    command += ["--interval", str(args.interval), "--log-level", "warning"]
    env = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    operator = subprocess.Popen(command, cwd=ROOT, env=env)
    time.sleep(3)
    if operator.poll() is not None:
        raise SystemExit("the operator ended at once")
    measured = Measured(operator.pid)
    try:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            names = [f"p{number}" for number in range(args.pools)]
            list(pool.map(lambda name: api.call("POST", base, a_pool(name, args.workers)), names))
        total: int = args.pools * args.workers
        told: set[str] = set()

        def all_run() -> bool:
            pods = api.get("/api/v1/namespaces/scale/pods")["items"]
            for pod in pods:
                if pod["metadata"]["uid"] not in told:
                    try:
                        runs(api, pod, len(told))
                    except Refused:
                        continue
                    told.add(pod["metadata"]["uid"])
            return len(told) >= total

        wait_for("all pods are there", all_run, 600)
        created = time.monotonic() - began

        def all_ready() -> bool:
            items = api.get(base)["items"]
            return all(
                each.get("status", {}).get("readyReplicas") == args.workers
                and each["status"]["instances"]["ready"] == args.workers * INSTANCES
                for each in items
            )

        wait_for("all pools are ready", all_ready, 300)
        time.sleep(args.interval * 2)
        quiet = quiet_for(measured, args.quiet_seconds)
    finally:
        operator.terminate()
        operator.wait(30)
    rounds = asyncio.run(full_rounds(kubeconfig, args))
    return {
        "pools": args.pools,
        "workers": total,
        "seconds to create all pods": round(created, 1),
        "full round, seconds, median": round(sorted(rounds)[len(rounds) // 2], 2),
        "full round, seconds, worst": round(max(rounds), 2),
        **quiet,
    }


def quiet_for(measured: Measured, seconds: float) -> dict[str, float]:
    before, cpu, began = measured.figures(), measured.cpu(), time.monotonic()
    time.sleep(seconds)
    after, wall = measured.figures(), time.monotonic() - began

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    return {
        "quiet, seconds": round(wall, 1),
        "quiet, API writes": grown("ocrpool_operator_api_writes_total"),
        **{
            f"quiet, {name}": grown(name)
            for name in after
            if name.startswith(("ocrpool_operator_api_calls_total", DECISIONS)) and grown(name)
        },
        "quiet, rounds": grown('ocrpool_operator_rounds_total{result="ok"}'),
        "quiet, failed rounds": grown('ocrpool_operator_rounds_total{result="error"}')
        + grown('ocrpool_operator_rounds_total{result="api"}'),
        "quiet, CPU cores": round((measured.cpu() - cpu) / wall, 2),
        "memory at the peak, MiB": round(measured.memory() / 2**20, 1),
    }


async def full_rounds(kubeconfig: Path, args: argparse.Namespace) -> list[float]:
    """Every pool reconciled once, side by side as the loop does it, in this process."""
    import aiohttp  # noqa: PLC0415

    from ocrpool_operator.kubernetes import loop, run, watch  # noqa: PLC0415
    from ocrpool_operator.kubernetes.client import BY_KIND, PODS, POOLS, Client  # noqa: PLC0415
    from ocrpool_operator.kubernetes.events import Events  # noqa: PLC0415
    from ocrpool_operator.kubernetes.metrics import Metrics  # noqa: PLC0415
    from ocrpool_operator.kubernetes.parse import pod_from, pool_from  # noqa: PLC0415
    from ocrpool_operator.kubernetes.reconcile import Parts, Reconciler  # noqa: PLC0415
    from ocrpool_operator.kubernetes.scaling import Scaling  # noqa: PLC0415
    from ocrpool_operator.kubernetes.store import Store  # noqa: PLC0415
    from ocrpool_operator.kubernetes.workers import Workers  # noqa: PLC0415

    os.environ["KUBECONFIG"] = str(kubeconfig)
    connection = watch.login(settings=watch.settings())
    assert connection is not None
    store = Store()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        run.api_session(connection) as calls,
    ):
        client = Client(calls, connection.server)
        for body in await client.list(POOLS, "scale", ""):
            store.put_pool(pool_from(body))
        for body in await client.list(PODS, "scale", ""):
            key = ("scale", body["metadata"]["labels"]["ocrpool.dev/pool"])
            store.put_pod(key, pod_from(body))
        for kind, resource in BY_KIND.items():
            for body in await client.list(resource, "scale", ""):
                store.put_companion(kind, body)
        events, workers, metrics = Events(client, time.time), Workers(session), Metrics()
        scaling = Scaling(workers, events, metrics, interval=args.interval, clock=time.monotonic)
        parts = Parts(store, client, workers, scaling, events, metrics, time.time)
        reconciler = Reconciler(parts, interval=args.interval)
        gate = asyncio.Semaphore(loop.AT_ONCE)

        async def one(key: tuple[str, str]) -> None:
            async with gate:
                await reconciler.reconcile(key)

        found = []
        for _ in range(args.rounds + 1):
            began = time.monotonic()
            await asyncio.gather(*(one(key) for key in list(store.pools)))
            found.append(time.monotonic() - began)
            await asyncio.sleep(0.5)
    for pool in store.pools.values():
        wrong = [each for each in pool.status.conditions if each.type == "Degraded"]
        assert wrong[0].status == "False", wrong
    # The first opens every connection and lists everything; it is not what a round is.
    return found[1:]


if __name__ == "__main__":
    raise SystemExit(main())
