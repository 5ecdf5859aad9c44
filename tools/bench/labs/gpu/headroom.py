"""`make bench-gpu`: the planner on a real GPU that another process uses, too.

The instances are real CUDA processes (convolutions on pages of real sizes) in the real supervisor;
NVML and the planner are real. Another process first leaves some memory free, then takes most of it,
then gives it back. Needs one NVIDIA GPU, `torch` and the extras `worker` and `local`; no models.

It has not run on a GPU yet. `--device cpu` rehearses the loop on the CPU's memory, without torch.
A rehearsal shows nothing about GPUs.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import re
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits
from ocrpool.protocol.quantity import format_bytes, parse_bytes
from ocrpool_worker.devices import probe_for
from ocrpool_worker.errors import SettingsError
from tools.bench.lib.load import Load
from tools.bench.lib.machine import this_machine
from tools.bench.lib.payload import plain_request
from tools.bench.lib.rounds import say
from tools.bench.lib.servers import ROOT, Process, StartError
from tools.bench.lib.worker import WorkerServer

# A photo, and A4 at 150 and at 300 dpi, in pixels.
PAGES = ((640, 480), (1240, 1754), (2480, 3508))
MEGAPIXELS = 9
CLIENTS = 8
COOL_DOWN = 10.0
# The worker observes its device once a second. Two of our observations must be two of its own.
INTERVAL = 2.0


@dataclass(frozen=True)
class Observation:
    """One observation and the decision after it. Seconds and bytes."""

    phase: str
    time: float
    free: int
    footprint: int
    ready: int
    target: int
    sentence: str


class OtherProcess(Process):
    """Another process that holds memory of the device."""

    def __init__(self, kind: str) -> None:
        command = [sys.executable, "-m", "tools.bench.labs.gpu.other_process", kind]
        super().__init__(command, name="the other process", pipes=True)

    def hold(self, count: int) -> None:
        """Let it hold this many bytes. Raises StartError where it cannot."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"%d\n" % max(0, count))
        self.process.stdin.flush()
        reply = self.process.stdout.readline().decode().strip()
        if reply != "ok":
            raise self.failed(f"could not hold {format_bytes(count)}: {reply}")


class PlannerLoop:
    """Observes the worker, plans, and acts; it keeps every observation."""

    def __init__(self, worker: WorkerServer, limits: InstanceLimits) -> None:
        self._worker, self._limits = worker, limits
        self._history, self._begun = InstanceHistory(), time.monotonic()
        self.observations: list[Observation] = []

    def run(self, phase: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now = time.monotonic()
            state = self._worker.state()
            decision = plan_instances(self._limits, self._history, state, now)
            self._history = decision.history
            if decision.target != state.instances.target:
                _put(self._worker.control_port, decision.target)
                say(f"{phase}: {decision.sentence}")
            memory = state.device.memory
            self.observations.append(
                Observation(
                    phase,
                    round(now - self._begun, 2),
                    memory.free if memory else -1,
                    state.footprint.bytes,
                    state.instances.ready,
                    decision.target,
                    decision.sentence,
                )
            )
            time.sleep(INTERVAL)


def main() -> int:
    given = _arguments()
    on_gpu = given.device != "cpu"
    if on_gpu and importlib.util.find_spec("torch") is None:
        print("bench-gpu: torch is not installed (pip install torch)", file=sys.stderr)
        return 2
    try:
        probe = probe_for(given.device)
    except SettingsError as error:
        print(f"bench-gpu: {error}", file=sys.stderr)
        return 2
    memory = probe.observe().memory
    if memory is None:
        print("bench-gpu: the device does not report its memory", file=sys.stderr)
        return 2
    room = min(given.room, memory.free - given.reserve)
    # On a GPU the other process takes all memory but the room. A CPU's memory is used by other
    # programs too, so there the reserve is raised instead.
    ballast = memory.free - given.reserve - room if on_gpu else 0
    reserve = given.reserve if on_gpu else memory.free - room
    try:
        seen, answers, counters = _measure(given, on_gpu, ballast, room, reserve)
    except StartError as error:
        print(f"bench-gpu: {error}", file=sys.stderr)
        return 1
    _report(given.out, probe.identity().name, seen, answers, counters)
    lost = sum(count for status, count in answers.items() if status != "200")
    return int(lost > 0 or counters["outOfMemory"] > 0)


def _measure(
    given: argparse.Namespace, on_gpu: bool, ballast: int, room: int, reserve: int
) -> tuple[list[Observation], dict[str, int], dict[str, Any]]:
    engine = "TorchEngine" if on_gpu else "RehearsalEngine"
    settings = {
        "device": given.device,
        "instances": {"min": 1, "max": given.max},
        "admission": {"maxMegapixels": MEGAPIXELS, "queue": 256},
        "memory": {"reserve": given.reserve},
    }
    with OtherProcess("cuda" if on_gpu else "cpu") as other:
        other.hold(ballast)
        worker = WorkerServer(
            instances=1,
            engine={"name": f"tools.bench.labs.gpu.engine:{engine}", "options": {}},
            settings=settings,
        )
        requests = [plain_request(_page(*size)) for size in PAGES]
        with worker:
            address = ("127.0.0.1", worker.wait_ready().port)
            with Load(lambda: address, requests, clients=CLIENTS, timeout=120) as load:
                loop = PlannerLoop(
                    worker, InstanceLimits(1, given.max, reserve, cool_down=COOL_DOWN)
                )
                loop.run("alone", given.seconds)
                other.hold(ballast + int(room * given.take))
                loop.run("another process takes memory", given.seconds)
                other.hold(ballast)
                loop.run("another process frees it", given.seconds)
                counters = worker.state().counters.model_dump(by_alias=True)
    return loop.observations, dict(load.statuses), counters


def _report(
    out: Path,
    card: str,
    seen: Sequence[Observation],
    answers: dict[str, int],
    counters: dict[str, Any],
) -> None:
    lines = [f"# Headroom on {card}", "", str(this_machine()), ""]
    lines += [
        "| phase | seconds | least free | footprint | instances | steps |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for phase in dict.fromkeys(one.phase for one in seen):
        part = [one for one in seen if one.phase == phase]
        steps = sum(bool(re.match(r"\d+ → ", one.sentence)) for one in part)
        lines.append(
            f"| {phase} | {part[-1].time - part[0].time:.0f} | "
            f"{format_bytes(min(one.free for one in part))} | "
            f"{format_bytes(part[-1].footprint)} | {part[0].ready} → {part[-1].ready} | {steps} |"
        )
    lines += ["", f"Answers by status: {answers}; out of memory: {counters['outOfMemory']}.", ""]
    lines += ["Decisions:", ""]
    lines += [
        f"- {one.time:.0f} s: {one.sentence}" for one in seen if re.match(r"\d+ → ", one.sentence)
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-") or "device"
    (out / f"gpu-headroom-{slug}.md").write_text(text, encoding="utf-8")
    data = {
        "card": card,
        "answers": answers,
        "counters": counters,
        "seen": [asdict(s) for s in seen],
    }
    (out / f"gpu-headroom-{slug}.json").write_text(json.dumps(data, indent=1) + "\n")


def _put(port: int, target: int) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/instances",
        json.dumps({"target": target}).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=5):
        pass


def _page(width: int, height: int) -> bytes:
    from PIL import Image  # noqa: PLC0415

    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "PNG")
    return out.getvalue()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-gpu", description=__doc__)
    parser.add_argument("--device", default="gpu:0", help="gpu:0, gpu:UUID; cpu rehearses")
    parser.add_argument(
        "--room", type=parse_bytes, default="12Gi", help="memory left for the pool (%(default)s)"
    )
    parser.add_argument("--reserve", type=parse_bytes, default="1Gi", help="(%(default)s)")
    parser.add_argument(
        "--take", type=float, default=0.5, help="share of that memory that the other process takes"
    )
    parser.add_argument("--max", type=int, default=16, help="most instances (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=90, help="length of each phase (%(default)g)"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tools" / "bench" / "results", help="folder"
    )
    given = parser.parse_args()
    given.room, given.reserve = parse_bytes(given.room), parse_bytes(given.reserve)
    if not re.fullmatch(r"cpu|gpu:\S+", given.device) or not 0 < given.take < 1:
        parser.error("--device is gpu:N, gpu:UUID or cpu; --take is between 0 and 1")
    return given


if __name__ == "__main__":
    sys.exit(main())
