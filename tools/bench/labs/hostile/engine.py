"""A test engine whose text follows from a page's pixels and parameters, and that fails on request.

It is the fake engine of the tests with another text, so a page can carry an order
(`tests.fake_engine`). Other faults come from a folder (`engine.options.faults`): the first instance
that begins a page takes a file `NUMBER.KIND` from there. The worker attributes some of these faults
to the page, and refuses a page after two of them; so each page gets at most one.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpool_worker.engine.base import EngineContext, Line, PageInput, Reading
from ocrpool_worker.instance.warmup import WarmUpPage
from tests.fake_engine import FakeEngine, order_in

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

NAME = "tools.bench.labs.hostile.engine:HostileEngine"
# Fills the pages of other clients when a run looks for foreign memory. No noise looks like it.
SECRET = bytes(range(0xA1, 0xB1))
# Seconds that an instance waits for its end after it has corrupted its channel.
_CORRUPT_SECONDS = 20.0
_HANG_SECONDS = 600.0


def text_of(pixels: Pixels, params: Mapping[str, Any]) -> str:
    """The text of a page: pixels are H×W×3 uint8 BGR, `params` in snake_case."""
    digest = hashlib.sha256(f"{pixels.shape[:2]}".encode())
    digest.update(pixels.tobytes())
    digest.update(json.dumps(dict(params), sort_keys=True).encode())
    return digest.hexdigest()[:32]


class HostileEngine(FakeEngine):
    """Answers the text, how often `SECRET` is in the pixels, and `pad` bytes of filling where a
    page orders them."""

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        folder = context.options.get("faults")
        self._faults = None if folder is None else Path(folder)
        self._answered = 0
        self._take("boot")

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        pixels = page.pixels()
        if isinstance(page, WarmUpPage):
            return Reading(lines=())
        text = text_of(pixels, params)
        order = order_in(pixels)
        # An instance that exits before its first answer delays the next start; not a subject here.
        if self._answered:
            self._take("read", text)
        self.obey(order)
        self._answered += 1
        height, width = pixels.shape[:2]
        polygon = ((0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, 1.0))
        texts = [text, f"secret {pixels.tobytes().count(SECRET)}"]
        if "pad" in order:
            texts.append("x" * int(order["pad"]))
        return Reading(
            lines=tuple(Line(text, 1.0, polygon) for text in texts),
            pictures=lambda: {"ocrImage": pixels},
        )

    def _take(self, when: str, text: str = "") -> None:
        """Take one fault from the folder, if there is one, and run it."""
        if self._faults is None:
            return
        for name in sorted(os.listdir(self._faults)):
            fault = _FAULTS.get(name.partition(".")[2])
            if fault is None or fault.when != when:
                continue
            if when == "read" and not _first(self._faults / "hit" / text):
                return
            try:
                os.rename(self._faults / name, self._faults / "taken" / name)
            except OSError:  # another instance was faster
                continue
            fault.do()
            return


class Fault:
    """`when`: at the beginning of a page (`read`), or of a start (`boot`)."""

    def __init__(self, do: Callable[[], None], when: str = "read") -> None:
        self.do = do
        self.when = when


def _first(flag: Path) -> bool:
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except OSError:
        return False
    return True


def _raise(error: Exception) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


def _signal(number: signal.Signals) -> Callable[[], None]:
    def do() -> None:
        signal.signal(number, signal.SIG_DFL) if number is not signal.SIGSTOP else None
        os.kill(os.getpid(), number)

    return do


def _exhaust_memory() -> None:
    """Take memory until the kernel kills this process, the first one in its cgroup."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    held: list[bytearray] = []
    while len(held) < 4096:
        held.append(bytearray(b"\xff") * (8 << 20))


def _write_to_null() -> None:
    """Write to address 0, like a native library that does not check its allocation."""
    ctypes.memset(0, 1, 1)


def _native_hang() -> None:
    """Hang in C while holding the GIL."""
    ctypes.PyDLL(None).sleep(int(_HANG_SECONDS))


def _flood_output() -> None:
    for _ in range(64):
        os.write(1, b"x" * 65536)
    os.write(1, b"\n" * 2000)


def _corrupt_channel() -> None:
    """Write an invalid answer into the channel to the supervisor."""
    head = struct.Struct("<IQ")
    text = [
        b"[]",
        b"no JSON",
        b'{"op":"done"}',
        b'{"op":"done","width":"x","height":[]}',
        b'{"op":"inspected","count":-1,"sizes":[[1]]}',
        b'{"op":"fault"}',
        b'{"op":["done"]}',
        b"\xff\xfe",
        b"{}",
    ]
    frames = [head.pack(len(one), 0) + one for one in text]
    frames += [b"\xff" * 64, head.pack(8, 1 << 50), head.pack(100, 0) + b"cut"]
    os.write(int(sys.argv[1]), random.choice(frames))
    time.sleep(_CORRUPT_SECONDS)


def _disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/engine")


_FAULTS = {
    "segfault": Fault(_signal(signal.SIGSEGV)),
    "abort": Fault(_signal(signal.SIGABRT)),
    "terminated": Fault(_signal(signal.SIGTERM)),
    "exit": Fault(lambda: os._exit(7)),
    "stops-itself": Fault(_signal(signal.SIGSTOP)),
    "hang": Fault(lambda: time.sleep(_HANG_SECONDS)),
    "native-hang": Fault(_native_hang),
    "memory-reported": Fault(_raise(MemoryError("out of memory error on GPU 0"))),
    "memory-oom-kill": Fault(_exhaust_memory),
    "memory-null": Fault(_write_to_null),
    "device-error": Fault(_raise(OSError("(External) CUDA error(700), an illegal access"))),
    "engine-error": Fault(_raise(ValueError("(InvalidArgument) Cannot parse tensor desc"))),
    "disk-of-instance": Fault(_disk_full),
    "corrupt-answer": Fault(_corrupt_channel),
    "output-flood": Fault(_flood_output),
    "boot-exit": Fault(lambda: os._exit(3), "boot"),
    "boot-error": Fault(_raise(RuntimeError("no such predictor")), "boot"),
}
KINDS = tuple(_FAULTS)
