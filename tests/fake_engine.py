"""A fake OCR engine. It reads no text: it obeys an order that is encoded in the image.

With it tests make real instance processes hang, exit, fail and grow at a chosen moment, without
Paddle. An order is JSON, drawn as grey cells that survive PNG, JPEG, TIFF and a rendered PDF.
`obey` lists its fields. `engine.options` of the worker:
    boot, warm   an order for the construction of the engine, or for its first warm-up page
    largest      an order for every warm-up page: the cost of the largest page
    trace        a file to which every read appends a line `PID SAY` before it obeys
    device       bytes of device memory that it reports (an order changes it)
"""

from __future__ import annotations

import builtins
import ctypes
import json
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpool_worker.engine.base import EngineContext, Line, PageInput, Reading, Word
from ocrpool_worker.instance.warmup import WarmUpPage

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# One cell shows one nibble as one of 16 greys; 4 pixels a side are 2 points of a PDF page.
_CELL = 4
_ACROSS = 64
_MAGIC = b"ocrpool!"


class FakeEngine:
    """Answers two lines: the `say` of the order, and `pid N`. A third line has the parameters of
    the request, if any. With `bulk` in the order a last line has so many characters. With `words`
    each line is a word."""

    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        self._options = context.options
        self._progress = context.progress
        self._device: int | None = context.options.get("device")
        self._held: list[bytearray] = []
        self._warm = False
        self.obey(context.options.get("boot", {}))

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        return {}

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        pixels = page.pixels()
        if isinstance(page, WarmUpPage):
            if not self._warm:
                self._warm = True
                self.obey(self._options.get("warm", {}))
            self.obey(self._options.get("largest", {}))
            return Reading(lines=())
        height, width = pixels.shape[:2]
        order = order_in(pixels)
        text = str(order.get("say", f"{width}x{height}"))
        if "trace" in self._options:
            _append(self._options["trace"], f"{os.getpid()} {text}\n")
        if order.get("asked", text) in (text, *params):
            self.obey(order)
        texts = [text, f"pid {os.getpid()}"]
        if params:
            texts.append(json.dumps(dict(params), sort_keys=True))
        if "bulk" in order:
            texts.append("b" * int(order["bulk"]))
        corners = ((0.0, 0.0), (float(width), 0.0), (float(width), float(height)))
        polygon = (*corners, (0.0, float(height)))
        return Reading(
            lines=tuple(
                Line(text, 1.0, polygon, (Word(text, polygon),) if order.get("words") else ())
                for text in texts
            ),
            pictures=lambda: {"ocrImage": pixels},
        )

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        if params.get("use_doc_unwarping"):
            return "useDocUnwarping: the fake engine unwarps nothing"
        return None

    def device_memory(self) -> int | None:
        return self._device

    def obey(self, order: Mapping[str, Any]) -> None:
        """Obey an order, field by field as listed here. With `once` only if that file does not
        exist yet, with `asked` only for a request with that parameter.

        log: text for stdout · gate: wait until that file exists · sleep, spin, native: seconds
        asleep, in a busy loop, or in C while holding the GIL · steps: so many times 0.1 s, with
        progress after each, before native · grow: bytes to hold from now on · device: bytes of
        device memory to report · raise: `Type:message` · stop: SIGSTOP to itself · garbage: a
        Latin-1 text into the channel to the supervisor, then wait for the end · signal: a name ·
        exit: a status.
        """
        if "once" in order and not _first_time(order["once"]):
            return
        if "log" in order:
            print(order["log"], flush=True)
        while "gate" in order and not os.path.exists(order["gate"]):
            time.sleep(0.005)
        time.sleep(order.get("sleep", 0))
        until = time.monotonic() + order.get("spin", 0)
        while time.monotonic() < until:
            pass
        for _ in range(order.get("steps", 0)):
            time.sleep(0.1)
            self._progress()
        if "native" in order:
            ctypes.PyDLL(None).usleep(int(order["native"] * 1e6))
        if "grow" in order:
            self._held.append(bytearray(b"\xff") * int(order["grow"]))
        self._device = order.get("device", self._device)
        if "raise" in order:
            name, _, message = order["raise"].partition(":")
            raise getattr(builtins, name)(message)
        if order.get("stop"):
            os.kill(os.getpid(), signal.SIGSTOP)
        if "garbage" in order:
            os.write(int(sys.argv[1]), order["garbage"].encode("latin-1"))
            time.sleep(60)
        if "signal" in order:
            os.kill(os.getpid(), signal.Signals[order["signal"]])
        if "exit" in order:
            sys.stdout.flush()
            os._exit(order["exit"])


class FakeEngineWithModels(FakeEngine):
    """A fake engine that needs staged model files (and does not open them)."""

    needs_models = True


def order_png(**order: Any) -> bytes:
    """A small PNG with an order in it."""
    rows = _cells(order)
    line = [b"\x00" + b"".join(bytes([nibble * 17]) * _CELL for nibble in row) for row in rows]
    raw = b"".join(pixels * _CELL for pixels in line)
    return png(_ACROSS * _CELL, len(rows) * _CELL, raw)


def png(width: int, height: int, raw: bytes) -> bytes:
    """A grey PNG with this size in its header; `raw` may have another number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 1)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_of(orders: Sequence[Mapping[str, Any]]) -> bytes:
    """A TIFF with one frame for each order."""
    import io  # noqa: PLC0415

    from PIL import Image  # noqa: PLC0415

    frames = [Image.open(io.BytesIO(order_png(**order))) for order in orders]
    out = io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:], compression="raw")
    return out.getvalue()


def pdf_of(orders: Sequence[Mapping[str, Any]]) -> bytes:
    """A PDF with one page for each order, drawn as rectangles that fall on whole pixels."""
    side = _CELL // 2
    pages: list[str] = []
    objects: list[bytes] = []
    for order in orders:
        rows = _cells(order)
        height = len(rows) * side
        drawing = "\n".join(
            f"{nibble / 15:.4f} g {x * side} {height - (y + 1) * side} {side} {side} re f"
            for y, row in enumerate(rows)
            for x, nibble in enumerate(row)
        ).encode()
        number = 3 + len(objects)
        pages.append(f"{number} 0 R")
        box = f"[0 0 {_ACROSS * side} {height}]"
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox {box}/Contents {number + 1} 0 R>>".encode()
        )
        packed = zlib.compress(drawing)
        head = f"<</Length {len(packed)}/Filter/FlateDecode>>stream\n".encode()
        objects.append(head + packed + b"\nendstream")
    tree = f"<</Type/Pages/Kids[{' '.join(pages)}]/Count {len(pages)}>>".encode()
    return _pdf_file([b"<</Type/Catalog/Pages 2 0 R>>", tree, *objects])


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Size {size}/Root 1 0 R>>\n"
    return out + end.encode() + f"startxref\n{len(out)}\n%%EOF\n".encode()


def order_in(pixels: Pixels) -> dict[str, Any]:
    """The order in a page, empty where there is none."""
    if pixels.shape[1] != _ACROSS * _CELL:
        return {}
    grey = pixels[_CELL // 2 :: _CELL, _CELL // 2 :: _CELL, 0].ravel().astype(int)
    nibbles = ((grey + 8) // 17).clip(0, 15)
    data = bytes((nibbles[0::2] * 16 + nibbles[1::2]).tolist())
    if not data.startswith(_MAGIC):
        return {}
    length = int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 4], "big")
    found: dict[str, Any] = json.loads(data[len(_MAGIC) + 4 :][:length])
    return found


def _cells(order: Mapping[str, Any]) -> list[list[int]]:
    text = json.dumps(order).encode()
    data = _MAGIC + len(text).to_bytes(4, "big") + text
    data += b"\xff" * (-len(data) % (_ACROSS // 2))
    nibbles = [nibble for byte in data for nibble in (byte >> 4, byte & 15)]
    return [nibbles[at : at + _ACROSS] for at in range(0, len(nibbles), _ACROSS)]


def _first_time(flag: str) -> bool:
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def _append(path: str, line: str) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(line)
