"""The memory of decoders is limited by the size in a file's header, in a separate process."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrpool_worker.decoding.memory_limit import bounded_memory
from ocrpool_worker.errors import NotAnImage
from tests.unit.worker.test_formats import FORMATS, drawn, read


def lying(data: bytes, mark: bytes, at: int, size: bytes) -> bytes:
    """The same with another size at an offset behind each `mark`."""
    out = bytearray(data)
    found = out.find(mark)
    while found >= 0:
        out[found + at : found + at + len(size)] = size
        found = out.find(mark, found + 1)
    return bytes(out)


def large(name: str, side: int) -> bytes:
    encode, _ = FORMATS[name]
    more: dict[str, object] = {"speed": 10} if name == "AVIF" else {}
    return encode(Image.new("RGB" if name == "AVIF" else "L", (side, side), 255), **more)


LIES: dict[str, Callable[[], bytes]] = {
    "HEIC": lambda: lying(large("HEIC", 2000), b"ispe", 8, struct.pack(">II", 64, 64)),
    "AVIF": lambda: lying(large("AVIF", 5000), b"ispe", 8, struct.pack(">II", 64, 64)),
    "GIF": lambda: lying(large("GIF", 5000), b"GIF87a", 6, struct.pack("<HH", 64, 64)),
    "JP2": lambda: lying(large("JP2", 3000), b"ihdr", 4, struct.pack(">II", 64, 64)),
}


# In a separate process, because this one has unused memory that would hide the growth.
READ = """
import sys, cv2, numpy, pi_heif, pypdfium2
from PIL import AvifImagePlugin, GifImagePlugin, Jpeg2KImagePlugin
from ocrpool_worker.decoding import memory_limit
from ocrpool_worker.decoding.image import EncodedImage
from ocrpool_worker.errors import NotAnImage, TooLarge

def most():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1])

memory_limit._BESIDES = 16 * 2**20
data, before = sys.stdin.buffer.read(), most()
"""
READ_A_LIE = f"""{READ}
try:
    EncodedImage(memoryview(data), 10**6).pixels()
except (NotAnImage, TooLarge):
    print(most() - before)
"""
READ_A_LARGE_FILE = f"""{READ}
print(EncodedImage(memoryview(data), 10**6).pixels().shape)
"""


@pytest.mark.parametrize("name", LIES)
def test_a_picture_larger_than_its_header_is_refused_within_bounded_memory(name: str) -> None:
    """4 to 25 megapixels in a file of 64×64, where one is the limit."""
    command = [sys.executable, "-c", READ_A_LIE]
    ended = subprocess.run(command, input=LIES[name](), capture_output=True, check=True)
    assert ended.stdout, "it was read"
    assert int(ended.stdout) < 40 * 1024


def padded(name: str) -> bytes:
    """The same in a file of 40 MB: with many frames, or with a meaningless box."""
    data, size = FORMATS[name][0](drawn("P" if name == "GIF" else "RGB")), 40_000_000
    if name == "GIF":
        start = data.index(b"\x2c\0\0\0\0")
        frame = data[start:-1]
        return data[:start] + frame * (size // len(frame)) + data[-1:]
    if name == "JP2":
        return data + bytes(size)
    return data + struct.pack(">I4s", 8 + size, b"free") + bytes(size)


@pytest.mark.parametrize("name", ["GIF", "JP2", "AVIF", "HEIC"])
def test_a_large_file_of_a_small_picture_is_read(name: str) -> None:
    command = [sys.executable, "-c", READ_A_LARGE_FILE]
    ended = subprocess.run(command, input=padded(name), capture_output=True, check=False)
    assert ended.stdout.strip() == b"(64, 96, 3)", ended.stderr


def test_a_large_deep_jpeg_2000_does_not_end_the_process() -> None:
    """PDFium, which decodes it, ends the process if it gets no memory."""
    noise = np.random.default_rng(0).integers(0, 65536, (1000, 1000, 3), np.uint16)
    data = cv2.imencode(".jp2", noise)[1].tobytes()
    bound = "memory_limit._PER_PIXEL, memory_limit._BESIDES = 16, 2**20"
    command = [sys.executable, "-c", f"{READ}{bound}{READ_A_LIE.removeprefix(READ)}"]
    ended = subprocess.run(command, input=data, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout, "it was read"
    assert read(data).shape == (1000, 1000, 3)


def test_only_a_memory_error_becomes_not_an_image() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(NotAnImage, match=r"than one of 0\.0 megapixels"), bounded_memory(9):
        bytearray(2**28)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with bounded_memory(10**7):
        bytearray(2**28)
