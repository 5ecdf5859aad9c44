"""Pages that PaddleX itself reads wrongly or silently incompletely, read by the real PaddleOCR."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocrpool import InstancePool
from ocrpool.instance_pool import Page
from ocrpool_worker.engine.region_limit import RegionLimit
from tests.worker.calls import file_request, post_json
from tests.worker.client import Worker
from tests.worker.partial import DENSE
from tools.bench.lib.page_image import PageImage, font, png, tilt

pytestmark = pytest.mark.timeout(400)
TEXTS = ["Northwind Tea Company", "Green tea twelve boxes", "Please pay by Thursday"]


def sheet(width: int = 520, height: int = 240, size: int = 32) -> PageImage:
    paper = PageImage(width, height)
    paper.column(30, 24, TEXTS, size, 2 * size)
    return paper


def v1(worker: Worker, image: Image.Image) -> dict[str, Any]:
    answer = worker.post(png(image), timeout=300)
    assert answer.status == 200, answer
    (page,) = answer.json["pages"]
    found: dict[str, Any] = page
    return found


def texts(page: dict[str, Any]) -> list[str]:
    return [line["text"] for line in page["lines"]]


def reasons(page: dict[str, Any]) -> list[str]:
    return [warning["reason"] for warning in page.get("warnings", ())]


def paddlex(worker: Worker, image: Image.Image, **fields: Any) -> dict[str, Any]:
    answer = post_json(worker.port, file_request(png(image), **{"visualize": False, **fields}))
    assert answer.status == 200, answer
    (found,) = answer.json["result"]["ocrResults"]
    page: dict[str, Any] = found
    return page


def test_a_scan_of_300_dpi_that_is_turned_a_little(paddle_worker: Worker) -> None:
    """Article and price 7 inches apart: turned by 0.4°, the price is 14 pixels higher."""
    paper = PageImage(2300, 330)
    rows = ("Apple", "Butter", "Coffee")
    for number, article in enumerate(rows):
        paper.text(60, 40 + 80 * number, article, 42)
        paper.text(2100, 40 + 80 * number, f"{number + 3}.75", 42)
    image = tilt(paper.image, 0.4, (255, 255, 255))
    expected = [text for number, row in enumerate(rows) for text in (row, f"{number + 3}.75")]
    assert texts(v1(paddle_worker, image)) == expected
    # PaddleX's own order, which `/ocr` keeps.
    assert paddlex(paddle_worker, image)["prunedResult"]["rec_texts"][:2] == ["3.75", "Apple"]


# Text, size of the picture, size of the letters, and their position.
TINY = [
    ("7,50", (45, 18), 15, (4, -1)),
    ("Tea", (40, 20), 16, (4, 0)),
    ("2026", (40, 12), 10, (5, -1)),
    ("42", (30, 14), 12, (5, 0)),
]


@pytest.mark.parametrize(("text", "frame", "size", "at"), TINY)
def test_a_tiny_picture_is_read_within_its_frame(
    paddle_worker: Worker, text: str, frame: tuple[int, int], size: int, at: tuple[int, int]
) -> None:
    width, height = frame
    paper = PageImage(width, height)
    paper.text(*at, text, size)
    (line,) = v1(paddle_worker, paper.image)["lines"]
    assert line["text"] == text
    found = paddlex(paddle_worker, paper.image, visualize=True)
    assert found["prunedResult"]["rec_texts"] == [text]
    assert found["prunedResult"]["rec_polys"] == [line["polygon"]]
    ((left, top, right, bottom),) = found["prunedResult"]["rec_boxes"]
    ink = paper.draw.textbbox(at, text, font=font(size))
    drawn = (max(0, ink[0]), max(0, ink[1]), min(width, ink[2]), min(height, ink[3]))
    assert 0 <= left <= drawn[0] + 2
    assert 0 <= top <= drawn[1] + 2
    assert drawn[2] - 2 <= right <= width
    assert drawn[3] - 2 <= bottom <= height
    assert found["ocrImage"]


def test_an_upside_down_page_has_a_warning_and_others_have_none(paddle_worker: Worker) -> None:
    upright = v1(paddle_worker, sheet().image)
    assert texts(upright) == TEXTS
    assert "warnings" not in upright
    for quarters, way in (
        (Image.Transpose.ROTATE_180, "upside down"),
        (Image.Transpose.ROTATE_90, "90°"),
    ):
        page = v1(paddle_worker, sheet().image.transpose(quarters))
        assert reasons(page) == ["OrientationUnsure"]
        assert way in page["warnings"][0]["message"]
    # On a page turned clockwise, PaddleX turns each line upright, and the columns are in order.
    clockwise = v1(paddle_worker, sheet().image.transpose(Image.Transpose.ROTATE_270))
    assert (texts(clockwise), reasons(clockwise)) == (TEXTS, [])
    for line in clockwise["lines"]:  # as it is drawn, not as it is read
        across, down = zip(*line["polygon"], strict=True)
        assert line["polygon"][0] == pytest.approx([min(across), min(down)], abs=12)
    blank = v1(paddle_worker, PageImage(520, 240).image)
    assert blank["lines"] == []
    assert "warnings" not in blank


def test_small_letters_have_a_warning(paddle_worker: Worker) -> None:
    assert reasons(v1(paddle_worker, sheet(size=5).image)) == ["LowResolution"]
    assert reasons(v1(paddle_worker, sheet(size=10).image)) == []


def test_the_longest_side_that_can_be_read(paddle_worker: Worker) -> None:
    """With one pixel more, OpenCV cannot cut the lines out."""
    paper = PageImage(32_766, 120)
    paper.text(32_000, 4, "2026", 100)
    assert texts(v1(paddle_worker, paper.image)) == ["2026"]
    for size in ((32_767, 40), (40, 32_767)):
        answer = paddle_worker.post(png(Image.new("L", size, 255)))
        assert (answer.status, answer.reason) == (413, "TooLarge")
        assert "the longest side that can be read has 32766" in answer.message


@pytest.fixture(scope="module")
def pool(models: Path) -> Iterator[InstancePool]:
    """PaddleOCR with an optional recogniser, and pages that can be turned."""
    settings = {"admission": {"maxMegapixels": 1.3}, "recycle": {"memoryGrowth": 0}}
    with InstancePool(
        models=models,
        engine="tests.worker.partial:PartialEngine",
        options={"cpu_threads": 1},
        settings=settings | {"engine": {"maxRegions": 1150}},
    ) as pool:
        yield pool


def dense(rows: int) -> Image.Image:
    """`rows` rows of 39 digits."""
    width, height = DENSE
    paper = PageImage(width, height)
    for row in range(rows):
        for column in range(39):
            paper.text(8 + 31 * column, 8 + 31 * row, "8", 14)
    return paper.image


def read(pool: InstancePool, image: Image.Image, **params: Any) -> Page:
    (page,) = pool.read(np.asarray(image)[:, :, ::-1], **params)
    return page


def test_a_page_of_more_than_1000_regions_is_read_from_top_to_bottom(pool: InstancePool) -> None:
    page = read(pool, dense(28))
    assert len(page.lines) == 28 * 39 > 1000
    assert min(y for line in page.lines for _, y in line.polygon) < 20
    assert page.warnings == ()


def test_a_page_with_too_many_regions_has_a_warning(pool: InstancePool) -> None:
    page = read(pool, dense(31))
    assert len(page.lines) == 1150
    assert min(y for line in page.lines for _, y in line.polygon) < 20
    (warning,) = page.warnings
    assert warning.reason == "RegionsLimited"
    assert "the page has 1209 pieces of text and 1150 were read" in warning.message


@pytest.mark.parametrize("box_type", ["quad", "poly"])
def test_the_detector_reports_progress_at_each_contour(box_type: str) -> None:
    """Noise has 100,000 of them on a page of 16 megapixels, and takes PaddleX 10 seconds."""
    from paddlex.inference.models.text_detection.processors import DBPostProcess  # noqa: PLC0415

    cell = np.zeros((16, 16), np.float32)
    cell[:6, :8] = 0.9
    noise = np.tile(cell, (12, 12))
    detector = DBPostProcess(thresh=0.3, box_thresh=0.6, box_type=box_type)
    calls, patience = 0, 10_000

    def progress() -> None:
        nonlocal calls
        calls += 1
        if calls > patience:
            raise TimeoutError("nobody waits any more")

    limit = RegionLimit(detector, 50, progress)
    (boxes,), _ = limit([noise[None, None]], [(*noise.shape, 1.0, 1.0)])
    assert (len(boxes), limit.left_out) == (50, 144 - 50)
    assert calls > 144
    patience = calls + 100
    with pytest.raises(TimeoutError):  # in the middle of the next one
        limit([noise[None, None]], [(*noise.shape, 1.0, 1.0)])


def test_a_turned_page_has_its_polygons_in_the_picture_that_was_sent(pool: InstancePool) -> None:
    upright = read(pool, sheet().image)
    assert (upright.angle, [line.text for line in upright.lines]) == (0, TEXTS)
    width, height = sheet().image.size
    # Turned by Pillow clockwise, so that PaddleX turns it back counter-clockwise.
    for quarters in (1, 2, 3):
        image = sheet().image.rotate(-90 * quarters, expand=True)
        image.putpixel((0, 0), (255, 255, quarters))
        page = read(pool, image)
        assert (page.angle, page.width, page.height) == (90 * quarters, *image.size)
        assert [line.text for line in page.lines] == TEXTS
        for line, straight in zip(page.lines, upright.lines, strict=True):
            points = straight.polygon
            for _ in range(quarters):  # clockwise, within a frame that turns as well
                points = tuple((-y, x) for x, y in points)
            move = {1: (height, 0), 2: (width, height), 3: (0, width)}[quarters]
            expected = [(x + move[0], y + move[1]) for x, y in points]
            for found, there in zip(line.polygon, expected, strict=True):
                assert found == pytest.approx(there, abs=3)


def test_a_tiny_turned_picture_has_its_polygons_in_the_picture_that_was_sent(
    pool: InstancePool,
) -> None:
    """The margin around it is turned as well."""
    paper = PageImage(40, 20)
    paper.text(4, 0, "Tea", 16)
    image = paper.image.rotate(-90, expand=True)
    image.putpixel((0, 0), (255, 255, 1))
    page = read(pool, image)
    (line,) = page.lines
    assert (page.width, page.height, page.angle, line.text) == (20, 40, 90, "Tea")
    across, down = zip(*line.polygon, strict=True)
    assert 0 <= min(across) < max(across) <= 20
    assert 0 <= min(down) < 8
    assert 28 < max(down) <= 40
