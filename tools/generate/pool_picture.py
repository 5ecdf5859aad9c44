"""Write docs/pictures/pool.svg: what `ocrpool status` prints while a real `ocrpool up` runs.

The GPUs are fake ones (`tools/devcluster/fakegpu`, under the real NVML module) and the engine only
takes memory of them. The worker, its processes, the planner and the table are the product's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.devcluster.fakegpu import device
from tools.devcluster.fakegpu.library import environment as fake_gpu_environment
from tools.generate.terminal_svg import Frame, animate

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "pictures" / "pool.svg"
GIB = 1 << 30
GPU_MEMORY = 16 * GIB
INSTANCE = 3 * GIB
COLUMNS = 112
TITLE = "ocrpool status while a pool grows and shrinks on two fake GPUs"
SETTLED_FRAMES = 4


@dataclass(frozen=True)
class Pace:
    """How often `ocrpool up` observes its workers, and how long it waits after a shrink."""

    interval: float = 2.0
    cool_down: float = 4.0
    give_up_after: float = 120.0


class PictureError(Exception):
    """The pool did not come to rest, so there is nothing to draw."""


def record(folder: Path, pace: Pace) -> Generator[Frame]:
    """Run a pool on two fake GPUs until it is full, take 7 GiB of the first, and wait again."""
    gpus = device.make_all(folder / "gpus", 2)
    for gpu in gpus:
        gpu.set_total(GPU_MEMORY)
    gpus[1].set_used(8 * GIB)
    variables = {
        **os.environ,
        **fake_gpu_environment(folder / "gpus"),
        "XDG_RUNTIME_DIR": str(folder),
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
    }
    variables.pop("CUDA_VISIBLE_DEVICES", None)
    with running_pool(folder, variables, pace):
        start = time.monotonic()
        note = "8 GiB of the second GPU belong to another process"
        yield from record_until_settled(variables, start, note, pace)
        gpus[0].set_used(7 * GIB)
        note = "another process takes 7 GiB of the first GPU"
        yield from record_until_settled(variables, start, note, pace)


@contextlib.contextmanager
def running_pool(folder: Path, variables: dict[str, str], pace: Pace) -> Iterator[None]:
    file = folder / "pool.yaml"
    file.write_text(yaml.safe_dump(pool()), encoding="utf-8")
    arguments = [
        "--port",
        "0",
        "--interval",
        str(pace.interval),
        "--cool-down",
        str(pace.cool_down),
    ]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ocrpool", "up", "-f", str(file), *arguments],
            cwd=ROOT,
            env=variables,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    except PictureError as error:
        raise PictureError(f"{error}\n{(folder / 'up.log').read_text()}") from None
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def pool() -> dict[str, object]:
    options = {"vram": INSTANCE - (512 << 20)}
    return {
        "apiVersion": "ocrpool.dev/v1alpha1",
        "kind": "OcrPool",
        "metadata": {"name": "scans"},
        "spec": {
            "device": "gpu",
            "instances": {"min": 1, "max": 8},
            "engine": {"name": "tests.headroom.engine:FakeGpuEngine", "options": options},
            "memory": {"reserve": "1Gi"},
            "admission": {"maxMegapixels": 0.25},
        },
    }


def record_until_settled(
    variables: dict[str, str], start: float, note: str, pace: Pace
) -> Iterator[Frame]:
    """One frame for every output that differs from the one before it."""
    last, unchanged = "", 0
    first = time.monotonic()
    while unchanged < SETTLED_FRAMES:
        if time.monotonic() - first > pace.give_up_after:
            raise PictureError(f"still changing after {pace.give_up_after:.0f} s")
        output = status(variables) or last
        if output != last:
            last, unchanged = output, 0
            yield Frame(output, f"{time.monotonic() - start:.0f} s after `ocrpool up`; {note}")
        elif output and " booting" not in output:
            unchanged += 1
        time.sleep(pace.interval / 3)


def status(variables: dict[str, str]) -> str | None:
    """What `ocrpool status` prints, or None while no worker has an instance."""
    done = subprocess.run(
        [sys.executable, "-m", "ocrpool", "status"],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 and " ready" in done.stdout else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.generate.pool_picture")
    parser.add_argument("--out", type=Path, default=TARGET)
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="ocrpool-picture-") as folder:
        frames = list(record(Path(folder), Pace()))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(animate(frames, COLUMNS, TITLE), encoding="utf-8")
    print(f"{out}: {len(frames)} frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
