"""Sizes from headers: of files that Pillow writes, of damaged ones, and the cost of hostile
ones."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import time
import zlib
from collections.abc import Callable

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocrpool_worker.headers import UnknownFormat, read_header
from ocrpool_worker.headers.basic import MOST_SEGMENTS, MOST_STRAY_BYTES
from tests.worker import cut_files

FRAME = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 120, 340, 1) + b"\x01\x11\x00"


def encoded(
    form: str, size: tuple[int, int] = (340, 120), mode: str = "RGB", **save: object
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, form, **save)
    return out.getvalue()


def heic(size: tuple[int, int] = (340, 120), **save: object) -> bytes:
    out = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", size)).save(out, **save)
    return out.getvalue()


def box(kind: bytes, *parts: bytes, full: bool = False) -> bytes:
    """A box of ISO 14496-12; `full`: of version 0 without flags."""
    data = bytes(4 * full) + b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def heif_of(properties: bytes, given: bytes, *, item: int = 1, brand: bytes = b"heic") -> bytes:
    """The boxes that hold the size of a HEIC or AVIF."""
    primary = box(b"pitm", struct.pack(">H", item), full=True)
    known = box(b"ipco", properties)
    meta = box(b"meta", primary, box(b"iprp", known, box(b"ipma", given, full=True)), full=True)
    return box(b"ftyp", brand, bytes(4), b"mif1") + meta + box(b"mdat", bytes(99))


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", struct.pack(">II", width, height), full=True)


NEWER = [
    (encoded("GIF", mode="P"), "GIF"),
    (encoded("GIF", mode="P", comment=b"c" * 5000), "GIF"),
    (encoded("JPEG2000"), "JPEG 2000"),
    (encoded("JPEG2000", no_jp2=True), "JPEG 2000"),
    (encoded("AVIF"), "AVIF"),
    (encoded("AVIF", mode="RGBA"), "AVIF"),
    (heic(), "HEIC"),
    (heic(exif=b"Exif\x00\x00MM\x00*" + bytes(90)), "HEIC"),
    (encoded("PPM"), "PNM"),
    (encoded("PPM", mode="L"), "PNM"),
    (encoded("PPM", mode="1"), "PNM"),
    (b"P6\n# by hand\n340 # width\n120\n#\n255\n" + bytes(9), "PNM"),
    (b"P1 340\r\n120\r\n0101", "PNM"),
]


def png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(*tags: tuple[int, int, int, int], count: int | None = None) -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", count or len(tags)) + entries


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (encoded("PNG"), "PNG"),
        (encoded("PNG", mode="1"), "PNG"),
        (encoded("JPEG"), "JPEG"),
        (encoded("JPEG", progressive=True), "JPEG"),
        (encoded("JPEG", exif=b"Exif\x00\x00" + b"x" * 60_000, icc_profile=b"i" * 200_000), "JPEG"),
        (encoded("BMP"), "BMP"),
        (encoded("WEBP"), "WebP"),
        (encoded("WEBP", lossless=True), "WebP"),
        (encoded("WEBP", mode="RGBA", exif=b"Exif\x00\x00MM\x00*"), "WebP"),
        (encoded("TIFF"), "TIFF"),
        (encoded("TIFF", big_tiff=True), "BigTIFF"),
        *NEWER,
    ],
)
def test_the_size_of_every_format_is_read(data: bytes, form: str) -> None:
    for buffer in (data, bytearray(data), memoryview(data)):
        assert read_header(buffer) == (form, 340, 120)


def test_rarer_headers() -> None:
    core = b"BM" + bytes(12) + struct.pack("<IHH", 12, 340, 120) + bytes(8)
    assert read_header(core) == ("BMP", 340, 120)
    from_the_top = b"BM" + bytes(12) + struct.pack("<Iii", 40, 340, -120) + bytes(8)
    assert read_header(from_the_top) == ("BMP", 340, 120)
    motorola = b"MM\x00*" + struct.pack(">IH", 8, 2)
    motorola += struct.pack(">HHIHH", 256, 3, 1, 340, 0) + struct.pack(">HHII", 257, 4, 1, 120)
    assert read_header(motorola) == ("TIFF", 340, 120)
    filled = b"\xff\xd8" + b"\xff" * 9 + b"\xe0\x00\x04ab" + b"garbage" + b"\xff\xd0" + FRAME
    assert read_header(filled) == ("JPEG", 340, 120)


def test_rarer_headers_of_heic_avif_and_jp2() -> None:
    upright = heif_of(ispe(9, 9) + ispe(340, 120), struct.pack(">IHBB", 1, 1, 1, 0x82))
    assert read_header(upright) == ("HEIC", 340, 120)
    turned = heif_of(
        ispe(120, 340) + box(b"irot", b"\x01"), struct.pack(">IHBBHBBB", 2, 7, 1, 9, 1, 2, 1, 0x82)
    )
    assert read_header(turned) == ("HEIC", 340, 120)
    avif = heif_of(ispe(340, 120), struct.pack(">IHBB", 1, 1, 1, 1), brand=b"avif")
    assert read_header(avif) == ("AVIF", 340, 120)
    # The codestream's size counts, because decoders use it, and not the header's.
    lying = bytearray(encoded("JPEG2000"))
    at = lying.index(b"ihdr")
    lying[at + 4 : at + 12] = struct.pack(">II", 1, 1)
    assert read_header(lying) == ("JPEG 2000", 340, 120)
    # A frame beyond its canvas makes it larger.
    small = bytearray(encoded("GIF", mode="P"))
    small[6:10] = struct.pack("<HH", 400, 2)
    assert read_header(small) == ("GIF", 400, 120)


@pytest.mark.parametrize("data", [data for data, _ in NEWER])
@given(seed=st.integers(0, 10**9))
def test_a_damaged_header_raises_only_unknown_format(data: bytes, seed: int) -> None:
    with contextlib.suppress(UnknownFormat):
        read_header(cut_files.damaged(random.Random(seed), data[:4000]))


@pytest.mark.parametrize(
    "data",
    [
        *(encoded(form) for form in ("PNG", "JPEG", "BMP", "WEBP", "TIFF")),
        *(data for data, form in NEWER if form != "PNM"),
    ],
)
def test_a_header_cut_anywhere_is_unknown_or_whole(data: bytes) -> None:
    for end in range(min(len(data), 1000)):
        with contextlib.suppress(UnknownFormat):
            assert read_header(data[:end])[1:] == (340, 120)


@given(st.sampled_from(["PNG", "JPEG", "BMP", "WEBP", "TIFF", None]), st.binary(max_size=200))
def test_random_bytes_raise_only_unknown_format(form: str | None, garbage: bytes) -> None:
    start = encoded(form)[: 4 + len(garbage) % 24] if form else b""
    with contextlib.suppress(UnknownFormat):
        read_header(start + garbage)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt", b"a\x00b") + bytes(99), "begins with IHDR"),
        (b"\xff\xd8\xff\xda" + bytes(50), "before its size"),
        (b"\xff\xd8\xff\xd9" + FRAME, "before its size"),
        (b"\xff\xd8\xff\xe0\x00\x02" + bytes(MOST_STRAY_BYTES + 1) + FRAME, "without the start"),
        (b"\xff\xd8" + (b"\xff\xfe\x00\x02" + bytes(999)) * 99 + FRAME, "stray bytes"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(40), "damaged header"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(40), "damaged header"),
        (b"RIFF\x00\x00\x00\x00WEBPABCD" + bytes(40), "damaged header"),
        (b"II*\x00\xff\xff\xff\xff" + bytes(40), "not in the file"),
        (tiff((256, 4, 1, 9), (258, 3, 1, 8)), "without a size"),
        (tiff((256, 2, 1, 9), (257, 4, 1, 9)), "not a number"),
        (tiff((256, 16, 1, 9), (257, 4, 1, 9)), "not a number"),
        (tiff((256, 4, 2, 9), (257, 4, 1, 9)), "not a number"),
        (tiff((256, 4, 1, 9), count=9), "ends within"),
        (b"GIF89a" + bytes(40), "damaged block"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no known format"),
        (b"RIFF\x00\x00\x00\x00AVI LIST" + bytes(40), "no known format"),
        (b"GIF89a\x09\x00\x09\x00\x00\x00\x00;" + bytes(9), "without a frame"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(99), "without a codestream"),
        (b"\xff\x4f\xff\x51" + bytes(36) + b"\x40\x00" + bytes(9), "16384 components"),
        (box(b"ftyp", b"heic", bytes(4)) + box(b"mdat"), "without a still picture"),
        (box(b"ftyp", b"qt  ", bytes(4)) + box(b"mdat"), "no known format"),
        (heif_of(b"", struct.pack(">I", 0)), "has no size"),
        (heif_of(ispe(9, 9), struct.pack(">IHBB", 1, 2, 1, 1)), "has no size"),
        (heif_of(ispe(9, 9), struct.pack(">IHBB", 1, 1, 1, 5)), "has no size"),
        (b"P6 9 9", "without a size"),
        (b"P6 9 9 70000\n", "largest value"),
    ],
)
def test_why_a_header_is_unknown(data: bytes, why: str) -> None:
    with pytest.raises(UnknownFormat, match=why):
        read_header(data)


def _many_png_chunks() -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 340, 120, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"abCd") * 1_000_000


def _inflating_profiles() -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 340, 120, 8, 2, 0, 0, 0))
    profile = png_chunk(b"iCCP", b"k\x00\x00" + zlib.compress(bytes(1_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + head + profile * 5000


def _many_tags() -> bytes:
    return tiff(*[(1000, 7, 20_000_000, 8)] * 65_000) + bytes(20_000_000)


def _many_segments() -> bytes:
    return b"\xff\xd8" + b"\xff\xfe\x00\x02" * 5_000_000 + FRAME


def _fill_bytes() -> bytes:
    return b"\xff\xd8" + b"\xff" * 30_000_000 + FRAME


def _many_blocks() -> bytes:
    return encoded("GIF", mode="P")[:13] + b"!\xfe\x01a\x00" * 5_000_000


def _long_comment() -> bytes:
    return b"P6\n#" + b"x" * 30_000_000


def _many_boxes() -> bytes:
    return box(b"ftyp", b"heic", bytes(4)) + box(b"free") * 3_000_000


def _many_properties() -> bytes:
    return heif_of(box(b"free") * 1_000_000, struct.pack(">I", 2**32 - 1) + b"\0\1\xff" * 9_000_000)


def _many_lists() -> bytes:
    """Each box claims to extend to the end of the file, over the next ones."""
    lists = box(b"ipma", struct.pack(">II", 0, 0x01000000)) * 4096
    meta = box(b"pitm", b"\xff\xfe", full=True) + box(b"iprp", box(b"ipco"), lists)
    return box(b"ftyp", b"heic", bytes(8)) + box(b"meta", meta, full=True) + bytes(60_000)


def _many_entries() -> bytes:
    lists = box(b"ipma", bytes(4), b"\xff" * 4, bytes(49_200)) * 100
    meta = box(b"pitm", b"\xff\xfe", full=True) + box(b"iprp", box(b"ipco"), lists)
    return box(b"ftyp", b"heic", bytes(8)) + box(b"meta", meta, full=True)


def _many_containers() -> bytes:
    known = box(b"ipco", box(b"free") * 4096) * 400
    meta = box(b"pitm", bytes(2), full=True) + box(b"iprp", known)
    return box(b"ftyp", b"heic", bytes(8)) + box(b"meta", meta, full=True)


def _far_size() -> bytes:
    return b"\xff\xd8" + (b"\xff\xe1\xff\xff" + bytes(65_533)) * 700 + FRAME


@pytest.mark.parametrize(
    "make",
    [
        *(_many_png_chunks, _inflating_profiles, _many_tags, _many_segments, _fill_bytes),
        *(_far_size, _many_blocks, _long_comment, _many_boxes, _many_properties),
        *(_many_lists, _many_entries, _many_containers),
    ],
)
def test_reading_a_hostile_header_is_fast(make: Callable[[], bytes]) -> None:
    """With Pillow these take from one to twenty seconds, in the supervisor's event loop."""
    data = make()
    took = []
    for _ in range(3):
        began = time.thread_time()
        with contextlib.suppress(UnknownFormat):
            read_header(data)
        took.append(time.thread_time() - began)
    assert min(took) < 0.05, f"{make.__name__}: {min(took):.3f} s of CPU"


def test_properties_of_an_item_end_with_their_box() -> None:
    """The next box is not a list of properties, whatever this one claims."""
    known = box(b"ipco", ispe(340, 120), ispe(9, 9))
    given = struct.pack(">IHBBHBBH", 9, 2, 1, 1, 1, 1, 1, 1)
    lists = box(b"ipma", given, full=True) + b"\x01\x02"
    meta = box(b"pitm", struct.pack(">H", 1), full=True) + box(b"iprp", known, lists)
    data = box(b"ftyp", b"heic", bytes(8)) + box(b"meta", meta, full=True) + bytes(99)
    assert read_header(data) == ("HEIC", 340, 120)


def test_as_many_segments_as_fit_are_walked() -> None:
    most = b"\xff\xd8" + b"\xff\xfe\x00\x02" * (MOST_SEGMENTS - 1) + FRAME
    assert read_header(most) == ("JPEG", 340, 120)
    with pytest.raises(UnknownFormat, match="more than 4096 segments"):
        read_header(b"\xff\xd8" + b"\xff\xfe\x00\x02" * MOST_SEGMENTS + FRAME)
