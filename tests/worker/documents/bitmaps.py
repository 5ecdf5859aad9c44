"""PNGs and BMPs that differ from what programs write by default."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from tests.worker.bombs import png_chunk
from tests.worker.documents.drawing import TICKET, packed_bits, ticket
from tests.worker.documents.kind import Kind

# Adam7: first column and row of a pass, and its steps.
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def _png(bits: int, colour: int, rows: bytes, *between: bytes, interlaced: int = 0) -> bytes:
    width, height = ticket().size
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    chunks = (png_chunk(b"IHDR", head), *between, png_chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND")


def _rows(pixels: np.ndarray) -> bytes:
    """Rows without a filter."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced() -> bytes:
    pixels = np.asarray(ticket())
    passes = (pixels[y::down, x::across] for x, y, across, down in _PASSES)
    return _png(8, 0, b"".join(_rows(part) for part in passes), interlaced=1)


def with_gamma() -> bytes:
    """Samples are linear (gamma 1.0), so that the paper's shade is darker than its number says."""
    return _png(8, 0, _rows(np.asarray(ticket())), png_chunk(b"gAMA", struct.pack(">I", 100_000)))


def of_two_bits() -> bytes:
    """Four greys, four pixels a byte."""
    grey = np.asarray(ticket()) >> 6
    packed = grey[:, 0::4] << 6 | grey[:, 1::4] << 4 | grey[:, 2::4] << 2 | grey[:, 3::4]
    return _png(2, 0, _rows(packed.astype(np.uint8)))


def palette_of_one_bit() -> bytes:
    """Index 0 is white and index 1 is black: the reverse of grey."""
    ink = np.asarray(ticket()) < 128
    rows = np.frombuffer(packed_bits(ink), np.uint8).reshape(ink.shape[0], -1)
    return _png(1, 3, _rows(rows), png_chunk(b"PLTE", b"\xff\xff\xff\0\0\0"))


def palette_of_four_bits() -> bytes:
    """Sixteen colours, as screen shots are saved small: dark blue on cream."""
    index = np.asarray(ticket()) >> 4
    packed = (index[:, 0::2] << 4 | index[:, 1::2]).astype(np.uint8)
    steps = [
        tuple(low + (high - low) * i // 15 for low, high in ((20, 255), (30, 250), (90, 230)))
        for i in range(16)
    ]
    return _png(4, 3, _rows(packed), png_chunk(b"PLTE", bytes(v for step in steps for v in step)))


def _bmp(header: bytes, palette: bytes, pixels: bytes) -> bytes:
    at = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", at + len(pixels), 0, 0, at) + header + palette + pixels


def _info(height: int, bits: int, compression: int, size: int, colours: int = 0) -> bytes:
    width, _ = ticket().size
    return struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, size, 2835, 2835, colours, 0
    )


def _greys() -> bytes:
    return b"".join(bytes([grey, grey, grey, 0]) for grey in range(256))


def run_lengths() -> bytes:
    """Compression RLE8: (count, grey) pairs, rows from the bottom."""
    out = bytearray()
    for row in np.asarray(ticket())[::-1]:
        ends = [*(np.flatnonzero(np.diff(row.astype(int))) + 1).tolist(), len(row)]
        start = 0
        for end in ends:
            while start < end:
                count = min(255, end - start)
                out += bytes([count, int(row[start])])
                start += count
        out += b"\0\0"
    out += b"\0\x01"
    _, height = ticket().size
    return _bmp(_info(height, 8, 1, len(out), 256), _greys(), bytes(out))


def from_the_top() -> bytes:
    """A negative height: the first row is the top one, as Windows' screen shots have it."""
    pixels = np.asarray(ticket()).tobytes()
    _, height = ticket().size
    return _bmp(_info(-height, 8, 0, len(pixels), 256), _greys(), pixels)


def of_sixteen_bits() -> bytes:
    """Five bits of blue, six of green, five of red, as cameras of devices write it."""
    grey = np.asarray(ticket())[::-1].astype(np.uint16)
    pixels = (grey >> 3 << 11 | grey >> 2 << 5 | grey >> 3).astype("<u2").tobytes()
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    _, height = ticket().size
    return _bmp(_info(height, 16, 3, len(pixels)), masks, pixels)


def of_os2() -> bytes:
    """The header of twelve bytes, whose palette has three bytes a colour."""
    width, height = ticket().size
    palette = bytes(value for grey in range(256) for value in (grey, grey, grey))
    pixels = np.asarray(ticket())[::-1].tobytes()
    return _bmp(struct.pack("<IHHHH", 12, width, height, 1, 8), palette, pixels)


def of_large_header() -> bytes:
    """BITMAPV5HEADER, 24 bits, as Photoshop and GIMP write it."""
    pixels = np.asarray(ticket().convert("RGB"))[::-1].tobytes()
    _, height = ticket().size
    header = struct.pack("<I", 124) + _info(height, 24, 0, len(pixels))[4:]
    return _bmp(header + bytes(16) + b"BGRs" + bytes(64), b"", pixels)


KINDS = (
    Kind(
        "interlaced PNG (Adam7)",
        "photopea/UPNG.js#44",
        "built from bytes, seven passes",
        interlaced,
        TICKET,
    ),
    Kind(
        "PNG with a gAMA chunk",
        "brechtm/rinohtype#102",
        "built from bytes, gamma 1.0",
        with_gamma,
        TICKET,
    ),
    Kind(
        "grey PNG of two bits",
        "tesseract-ocr/tesseract#2059",
        "built from bytes, four pixels a byte",
        of_two_bits,
        TICKET,
    ),
    Kind(
        "PNG of one bit whose palette has white first",
        "bkaradzic/bimg#39",
        "built from bytes",
        palette_of_one_bit,
        TICKET,
    ),
    Kind(
        "PNG with a palette of sixteen colours",
        "bkaradzic/bimg#39",
        "built from bytes, two pixels a byte",
        palette_of_four_bits,
        TICKET,
    ),
    Kind(
        "BMP with run lengths (RLE8)",
        "DanBloomberg/leptonica#607",
        "built from bytes",
        run_lengths,
        TICKET,
    ),
    Kind(
        "BMP from the top (negative height)",
        "DanBloomberg/leptonica#323",
        "built from bytes",
        from_the_top,
        TICKET,
    ),
    Kind(
        "BMP of 16 bits with masks (565)",
        "opencv/opencv#27555",
        "built from bytes",
        of_sixteen_bits,
        TICKET,
    ),
    Kind(
        "BMP with the header of OS/2",
        "SixLabors/ImageSharp#320",
        "built from bytes",
        of_os2,
        TICKET,
    ),
    Kind("BMP with a V5 header", "mike42/gfx-php#52", "built from bytes", of_large_header, TICKET),
)
