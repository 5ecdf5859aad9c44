"""Documents in an instance: bounds of their structure, and the sizes of their pages."""

from __future__ import annotations

import math
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.decoding.document_page import open_document
from ocrpool_worker.decoding.pdf_scale import (
    LONGEST_SIDE,
    LOW_RESOLUTION,
    PDF_SCALE,
    PDF_SCALE_LEAST,
    pdf_scale,
)
from ocrpool_worker.decoding.tiff_frames import MOST_FRAMES, count_frames
from ocrpool_worker.errors import NotAnImage, TooLarge
from ocrpool_worker.side_limit import MAX_SIDE
from tests.worker import bombs

TAGS = bombs.size_tags(10, 10)
SECOND = 8 + 6 + 12 * len(TAGS)


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (bombs.tiff_of(bombs.tiff_frame(8, TAGS, 0)), 1),
        (bombs.tiff_chain(1), 2),
        (bombs.tiff_chain(150), 151),
        (bombs.tiff_of(bombs.tiff_frame(8, TAGS, 8)), 1),
        (
            bombs.tiff_of(bombs.tiff_frame(8, TAGS, SECOND), bombs.tiff_frame(SECOND, TAGS, 8)),
            2,
        ),
        (b"MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00", 1),
    ],
)
def test_frames_are_counted(data: bytes, frames: int) -> None:
    assert count_frames(data) == frames
    assert count_frames(memoryview(data)) == frames  # type: ignore[arg-type]


def test_frames_are_counted_up_to_a_bound() -> None:
    data = bombs.tiff_chain(MOST_FRAMES + 1)
    began = time.thread_time()
    assert count_frames(data) == MOST_FRAMES
    assert time.thread_time() - began < 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bombs.document_bombs()["tiff of the same bytes in all tags"], "360000000 bytes"),
        (bombs.document_bombs()["tiff of too long strips"], "8589934592 bytes"),
        (bombs.tiff_of(bombs.tiff_frame(8, TAGS, 0))[:50], "within its first frame"),
        (b"II*\x00\xff\xff\xff\xff", "within its first frame"),
        (b"II*\x00", "within its first frame"),
        # Frames that have not arrived are not silently omitted.
        (bombs.tiff_of(bombs.tiff_frame(8, TAGS, 10**6)), "within frame 2 .* 1 frames and 122"),
    ],
)
def test_tags_that_would_take_memory_or_time_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(NotAnImage, match=words):
        count_frames(data)


def many_tags() -> bytes:
    """Seventeen frames of 60,000 tags."""
    size = 2 + 60_000 * 12 + 4
    entries = bytes(60_000 * 12)
    frames = (
        struct.pack("<H", 60_000) + entries + struct.pack("<I", 8 + size * (number + 1))
        for number in range(17)
    )
    return bombs.tiff_of(*frames)


def test_more_tags_than_any_file_has_are_refused() -> None:
    with pytest.raises(NotAnImage, match="more than 1000000 tags"):
        count_frames(many_tags())


SIDES = st.floats(min_value=0.01, max_value=1e7)
LIMITS = st.integers(min_value=10_000, max_value=300_000_000)


@given(SIDES, SIDES, LIMITS)
def test_a_pdf_page_comes_out_as_large_as_the_limit_allows(
    width: float, height: float, most: int
) -> None:
    def fits(scale: float) -> bool:
        across, down = math.ceil(width * scale), math.ceil(height * scale)
        return across * down <= most and max(across, down) <= LONGEST_SIDE

    least = math.ceil(width * PDF_SCALE_LEAST), math.ceil(height * PDF_SCALE_LEAST)
    if math.prod(least) > most or max(least) > MAX_SIDE:
        with pytest.raises(TooLarge):
            pdf_scale((width, height), 0, most)
        return
    scale = pdf_scale((width, height), 0, most)
    assert PDF_SCALE_LEAST <= scale <= PDF_SCALE
    assert fits(scale) or scale == PDF_SCALE_LEAST
    # A side of a few pixels doubles in one step, with no size in between.
    assert scale == PDF_SCALE or not fits(scale * 1.000001)


PIXELS = st.integers(min_value=60, max_value=LONGEST_SIDE - 10)


@given(PIXELS, PIXELS, st.floats(min_value=0.11, max_value=1.9))
def test_a_large_pdf_page_has_nearly_all_pixels_of_the_limit(
    across: int, down: int, scale: float
) -> None:
    most = across * down
    found = pdf_scale((across / scale, down / scale), 0, most)
    width, height = math.ceil(across / scale * found), math.ceil(down / scale * found)
    assert 0.95 * most <= width * height <= most


@pytest.mark.parametrize(
    ("size", "most", "sides"),
    [
        ((14_400, 14_400), 16_000_000, (4000, 4000)),  # the largest of PDF 1.7
        ((2384, 3370), 1_000_000, (841, 1189)),  # A0
        ((40_000, 300), 16_000_000, (32_000, 240)),
        ((0.4, 14_400), 16_000_000, (1, 28_800)),
    ],
)
def test_posters_and_plotter_strips_come_out_large(
    size: tuple[float, float], most: int, sides: tuple[int, int]
) -> None:
    box = b"[0 0 %g %g]" % size
    document = open_document("pdf", bombs.pdf_page(box), most)
    width, height = document.size(0)
    assert abs(width - sides[0]) <= 1
    assert abs(height - sides[1]) <= 1
    pixels, warnings = document.render(0)
    assert pixels.shape == (height, width, 3)
    low = max(sides) < max(size)
    assert [warning.reason for warning in warnings] == ([LOW_RESOLUTION] if low else [])
    assert not low or ("admission.maxMegapixels" in warnings[0].message) == (
        max(sides) < LONGEST_SIDE
    )


def test_a_pdf_page_too_long_for_any_scale_is_refused() -> None:
    with pytest.raises(TooLarge, match="page 1 is 100000×1 pixels, and the longest side"):
        pdf_scale((1_000_000, 10), 0, 16_000_000)


def test_a_page_of_72_dpi_and_more_has_no_warning() -> None:
    document = open_document("pdf", bombs.pdf_page(b"[0 0 1000 1000]"), 1_000_000)
    assert document.size(0) == (1000, 1000)
    assert document.render(0)[1] == ()
    (warning,) = open_document("pdf", bombs.pdf_page(b"[0 0 1000 1000]"), 810_000).render(0)[1]
    assert "13.9×13.9 inches and is drawn at 64.8 dpi" in warning.message


def test_an_ordinary_pdf_page_is_rendered_as_paddlex_does() -> None:
    assert pdf_scale((595, 842), 0, 16_000_000) == 2.0


@pytest.mark.parametrize(
    "size", [(0, 5), (5, 0), (-5, 5), (math.nan, 5), (5, math.inf), (math.inf, math.nan)]
)
def test_a_page_without_a_size_is_refused(size: tuple[float, float]) -> None:
    with pytest.raises(NotAnImage, match="page 3 of the PDF"):
        pdf_scale(size, 2, 16_000_000)


@pytest.mark.parametrize("kind", [2, 5, 7, 12])
def test_any_pillow_exception_becomes_not_an_image(kind: int) -> None:
    """A second frame whose width is a text or a fraction: Pillow raises TypeError. Anything else
    than NotAnImage would count as a failure of the engine, and cost the instance."""
    odd = [(256, kind, 1, 8), *TAGS[1:]]
    data = bombs.tiff_of(bombs.tiff_frame(8, TAGS, SECOND), bombs.tiff_frame(SECOND, odd, 0))
    document = open_document("tiff", data + bytes(200), 1_000_000)  # type: ignore[arg-type]
    assert document.size(0) == (10, 10)
    with pytest.raises(NotAnImage, match="page 2 of the TIFF"):
        document.render(1)
