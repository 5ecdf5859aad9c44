"""JPEGs that differ from what programs write by default."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np
from PIL import Image

from tests.worker.documents.drawing import TICKET, encoded, sheet, ticket
from tests.worker.documents.kind import Kind


def ycck() -> bytes:
    """As Photoshop writes CMYK: inverted, and the first three channels as luma and chroma."""
    inverted = Image.fromarray(255 - np.asarray(ticket().convert("RGB")))
    planes = np.asarray(inverted.convert("YCbCr"))
    stored = np.dstack([planes, np.full(planes.shape[:2], 255, np.uint8)])
    # Pillow inverts what it writes; without its chroma subsampling a channel is what it was given.
    data = encoded(Image.fromarray(255 - stored, "CMYK"), "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


def with_a_film_behind() -> bytes:
    """A motion photo: an MP4 follows the end of the picture."""
    return (
        encoded(ticket(), "JPEG", quality=92)
        + struct.pack(">I", 24)
        + b"ftypmp42\0\0\0\0mp42isom"
        + bytes(4096)
    )


def without_an_end() -> bytes:
    """A panorama of some phones: the maker's data and the film follow the pixels at once."""
    whole = encoded(ticket(), "JPEG", quality=92)
    return whole[: whole.rindex(b"\xff\xd9")] + b"\0\0SEFH" + bytes(4096)


def two_pictures() -> bytes:
    """An MPO: the page, and a smaller preview behind it."""
    preview = ticket().resize((240, 92)).convert("RGB")
    return encoded(
        ticket().convert("RGB"), "MPO", quality=92, save_all=True, append_images=[preview]
    )


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _huffman_coded(differences: Iterable[int]) -> bytes:
    """Differences as JPEG codes them; every category has a code of five bits, its own number."""
    bits: list[str] = []
    for value in differences:
        size = abs(value).bit_length()
        bits.append(f"{size:05b}")
        if size:
            bits.append(f"{value if value > 0 else value + (1 << size) - 1:0{size}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _tables(kind: int) -> bytes:
    """A Huffman table of sixteen codes of five bits."""
    return _segment(0xC4, bytes([kind]) + bytes([0, 0, 0, 0, 16]) + bytes(11) + bytes(range(16)))


def lossless() -> bytes:
    """The process of medical pictures (SOF3): each pixel as its difference to the one before."""
    pixels = np.asarray(ticket()).astype(int)
    before = np.roll(pixels, 1, axis=1)
    before[1:, 0] = pixels[:-1, 0]
    before[0, 0] = 128
    height, width = pixels.shape
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])),
            _tables(0),
            _segment(0xDA, bytes([1, 1, 0, 1, 0, 0])),
            _huffman_coded((pixels - before).ravel().tolist()),
            b"\xff\xd9",
        )
    )


def twelve_bits() -> bytes:
    """Extended process with 12 bits a sample (SOF1); each block of eight pixels has one grey."""
    blocks = np.asarray(sheet(("Pier 41",), width=80, size=16).crop((20, 20, 84, 60))).astype(int)
    # A block's coefficient is eight times its grey, divided by the quantiser's 16.
    levels = (blocks * 16 - 2048) // 2
    differences = np.diff(levels.ravel(), prepend=0)
    # Category 0 of the AC table is the end of a block.
    coded = _block_coded(differences.tolist())
    height, width = blocks.shape
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, b"\0" + bytes([16]) * 64),
            _segment(
                0xC1, struct.pack(">BHHB", 12, height * 8, width * 8, 1) + bytes([1, 0x11, 0])
            ),
            _tables(0),
            _tables(0x10),
            _segment(0xDA, bytes([1, 1, 0, 0, 63, 0])),
            coded,
            b"\xff\xd9",
        )
    )


def _block_coded(differences: list[int]) -> bytes:
    """Each difference, followed by the end of its block."""
    return _huffman_coded(value for difference in differences for value in (difference, 0))


KINDS = (
    Kind(
        "CMYK JPEG of Photoshop (YCCK, inverted)",
        "tonycoz/imager#91",
        "Pillow, channels turned to luma and chroma, Adobe marker with transform 2",
        ycck,
        TICKET,
    ),
    Kind(
        "motion photo: a film behind the JPEG",
        "libjxl/libjxl#3502",
        "a JPEG, and the first box of an MP4 behind its end",
        with_a_film_behind,
        TICKET,
    ),
    Kind(
        "panorama of a phone: no end marker, a film in its place",
        "libjpeg-turbo/libjpeg-turbo#163",
        "a JPEG whose end marker is replaced by other data",
        without_an_end,
        TICKET,
        "refused",
        "there is no end marker",
    ),
    Kind(
        "MPO of a phone: preview or depth picture in the same file",
        "python-pillow/Pillow#1138",
        "Pillow, a second JPEG named in the MPF segment",
        two_pictures,
        TICKET,
    ),
    Kind(
        "lossless JPEG (SOF3) of medical devices",
        "libjpeg-turbo/libjpeg-turbo#402",
        "built from bytes: differences, Huffman",
        lossless,
        TICKET,
    ),
    Kind(
        "JPEG of 12 bits a sample",
        "thorfdbg/libjpeg#68",
        "built from bytes: SOF1, precision 12",
        twelve_bits,
        ("Pier 41",),
        "refused",
        "12 bits a sample; convert it to a baseline JPEG or a PNG",
    ),
)
