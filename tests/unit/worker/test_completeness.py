"""The detection of incomplete files, its messages, and its cost."""

from __future__ import annotations

import contextlib
import ctypes
import io
import random
import struct
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ocrpool_worker.decoding import jpeg_markers, memory_fill
from ocrpool_worker.decoding.completeness import check_complete
from ocrpool_worker.decoding.document_page import open_document
from ocrpool_worker.decoding.image import EncodedImage
from ocrpool_worker.decoding.memory_fill import clean_memory
from ocrpool_worker.decoding.pdf_images import MOST_BYTES, MOST_WARNINGS, expanded
from ocrpool_worker.decoding.pdf_stream_ends import ccitt_ends, jbig2_ends, jpx_ends
from ocrpool_worker.decoding.tiff_frames import count_frames
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.headers import gif as header
from tests.worker import bombs, cut_files

JPEG = cut_files.encoded("JPEG")
END = b"\xff\xd9"


def test_an_end_marker_in_a_thumbnail_is_not_the_end() -> None:
    data = cut_files.with_thumbnail(JPEG)
    check_complete(data)
    for cut in (data[:-2], data[: len(data) // 2]):
        assert END in cut
        with pytest.raises(NotAnImage, match=r"the JPEG is not complete: \d+ of its 240 rows"):
            check_complete(cut)


@pytest.mark.parametrize(
    "data",
    [
        JPEG + b"\r\n" + bytes(100_000),
        JPEG + JPEG[:300],  # a second picture, as phones write it, that breaks off
        JPEG[:2] + b"\xff" * 50 + JPEG[2:],
        JPEG[:-2] + b"\xff\xff" + END,
        JPEG[:-2] + b"garbage" + END,
        cut_files.encoded("PNG") + bytes(9),
        cut_files.encoded("BMP") + bytes(9),
        cut_files.encoded("WEBP") + bytes(9),
    ],
)
def test_extra_bytes_do_not_make_a_file_incomplete(data: bytes) -> None:
    check_complete(data)
    check_complete(memoryview(data))


def test_a_gif_may_end_after_a_frame() -> None:
    """As in browsers, because some programs omit the last byte."""
    one = cut_files.encoded("GIF", "P")
    assert (decoded(one[:-1]) == decoded(one)).all()
    three = cut_files.encoded("GIF", "P", **cut_files.frames())
    check_complete(three[:-1])
    first, second, third = header.frames(three, 10**6)
    check_complete(three[:third])
    for end, whole in [(len(three) - 2, 2), (third - 1, 1), (second + 20, 1), (first + 500, 0)]:
        with pytest.raises(NotAnImage, match=f": {whole} complete frames arrived"):
            check_complete(three[:end])


def decoded(data: bytes) -> NDArray[np.uint8]:
    return EncodedImage(memoryview(data), 10**6).pixels()


def test_a_grey_jpeg_is_not_reported_as_truncated() -> None:
    """Missing rows have libjpeg's grey, but grey rows are not always missing."""
    out = io.BytesIO()
    Image.new("RGB", (90, 70), (128, 128, 128)).save(out, "JPEG")
    data = out.getvalue()
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert (pixels == 128).all()
    assert jpeg_markers.ends_early(data, pixels) is None
    cut = data[:-40] + END
    pixels = cv2.imdecode(np.frombuffer(cut, np.uint8), cv2.IMREAD_COLOR)
    assert jpeg_markers.ends_early(cut, pixels) in range(70)


def many_segments() -> bytes:
    return b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2_000_000


def many_markers() -> bytes:
    scan = JPEG[: JPEG.index(b"\xff\xda") + 14]
    return scan + b"\xff\x01" * 2_000_000


def fill_bytes() -> bytes:
    return b"\xff\xd8" + b"\xff" * 5_000_000


def many_chunks() -> bytes:
    return bombs.png_of(9, 9)[:-12] + bombs.png_chunk(b"abCd") * 1_000_000


def inflating_png() -> bytes:
    packed = zlib.compress(bytes(40_000_000), 1)
    return bombs.png_of(400, 400, packed=packed)[:-12]


def many_strips() -> bytes:
    tags = bombs.size_tags(10, 10)
    tags[5] = (273, 3, 9_000_000, 8)
    tags[8] = (279, 3, 9_000_000, 8)
    return bombs.tiff_of(bombs.tiff_frame(8, tags, 0)) + bytes(40_000_000)


def frames_that_share_their_strips() -> bytes:
    """20,000 frames, each of which lists the same 500,000 strips."""
    tags = bombs.size_tags(10, 10)
    tags[5] = (273, 3, 500_000, 8)
    size = 6 + 12 * len(tags)
    frames = (bombs.tiff_frame(8, tags, 8 + size * (number + 1)) for number in range(20_000))
    return bombs.tiff_of(*frames) + bytes(2_000_000)


def many_boxes_in_many() -> bytes:
    def box(kind: bytes, data: bytes = b"") -> bytes:
        return struct.pack(">I4s", 8 + len(data), kind) + data

    meta = box(b"meta", bytes(4) + box(b"free") * 4096)
    return bombs.heic_of(9, 9) + meta * 2000


@pytest.mark.parametrize(
    "make",
    [
        many_boxes_in_many,
        many_segments,
        many_markers,
        fill_bytes,
        many_chunks,
        inflating_png,
        many_strips,
        frames_that_share_their_strips,
    ],
)
def test_checking_a_hostile_file_is_fast(make: Callable[[], bytes]) -> None:
    data = make()
    took = []
    for _ in range(3):
        began = time.thread_time()
        with contextlib.suppress(NotAnImage):
            (count_frames if data.startswith(b"II") else check_complete)(data)
        took.append(time.thread_time() - began)
    assert min(took) < 0.5, f"{min(took):.2f} s of CPU"


def test_compressed_pixels_are_expanded_up_to_a_bound() -> None:
    packed = zlib.compress(bytes(10_000_000))
    assert expanded(packed, 10**9) == (10_000_000, True)
    size, ended = expanded(packed, 1_000_000)
    assert 1_000_000 <= size < 2_000_000
    assert not ended
    assert expanded(packed[:-1], 10**9) == (10_000_000, False)
    assert expanded(b"no zlib", 10**9) == (0, False)
    assert MOST_BYTES < 2**28


def test_many_broken_pictures_give_a_bounded_number_of_warnings() -> None:
    entries = b"/Filter/DCTDecode" + cut_files.RGB
    draw = b"q 90 0 0 90 5 5 cm /I Do Q " * 500
    image = b"<</Type/XObject/Subtype/Image/Width 360/Height 240%s/Length %d>>stream\n%s\nendstream"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox [0 0 99 99]/Contents 4 0 R"
    page += b"/Resources<</XObject<</I 5 0 R>>>>>>"
    data = bombs.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw),
        image % (entries, 3000, JPEG[:3000]),
    )
    _, warnings = open_document("pdf", data, 1_000_000).render(0)
    assert len(warnings) == MOST_WARNINGS


def test_truncated_pictures_of_a_pdf_are_detected() -> None:
    assert jpx_ends(b"\xff\x4f...\xff\xd9\r\n")
    assert not jpx_ends(b"\xff\x4f...")
    end_of_block = bytes((0x00, 0x10, 0x01))
    assert ccitt_ends(b"\x26\xa0" + end_of_block, lambda: None)
    white = np.full((9, 8), 255, np.uint8)
    # No end of block, and nine empty rows: a bit for each must be there.
    assert ccitt_ends(b"\xff\x80", lambda: white)
    assert not ccitt_ends(b"\xfe\x00", lambda: white)
    segment = struct.pack(">IBBBI", 0, 48, 0, 1, 19) + bytes(19)
    assert jbig2_ends(segment * 2)
    assert jbig2_ends(segment + b"\r\n")
    assert not jbig2_ends(segment + segment[:-1])
    assert not jbig2_ends(segment + segment[:7])


def test_memory_is_filled_while_a_decoder_runs() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = (ctypes.c_size_t,)
    libc.free.argtypes = (ctypes.c_void_p,)
    mark = random.Random(0).randbytes(64)
    sizes = (2000, 9000, 60_000, 100_000)

    def fill() -> None:
        blocks = [libc.malloc(size) for size in sizes * 50]
        for block, size in zip(blocks, sizes * 50, strict=True):
            ctypes.memmove(block, mark * (size // 64), size // 64 * 64)
        libc.malloc(32)  # stays, so that what is freed below it does so, too
        for block in blocks:
            libc.free(block)

    def found() -> int:
        blocks = [np.empty(size - 100, np.uint8) for size in sizes * 20]
        return sum(mark in block.tobytes() for block in blocks)

    fill()
    assert found() > 0, "this test's own fill does not show"
    fill()
    with clean_memory():
        assert found() == 0


def test_without_glibc_clean_memory_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_fill, "_mallopt", None)
    with clean_memory():
        pass
