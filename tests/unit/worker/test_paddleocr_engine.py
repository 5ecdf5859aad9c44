"""The conversion of PaddleX results: positions, order and warnings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from ocrpool.page import page_from_answer
from ocrpool_worker.admission import admit, check_size
from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.engine.margins import cut_margin, margin_of, with_margin
from ocrpool_worker.engine.orientation import (
    ScoreKeepingClassifier,
    keep_orientation_score,
    turned_back,
)
from ocrpool_worker.engine.paddleocr_engine import reading_of
from ocrpool_worker.engine.region_limit import RegionLimit
from ocrpool_worker.engine.result_warnings import detector_scale
from ocrpool_worker.errors import TooLarge
from ocrpool_worker.instance.answers import page_lines
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.side_limit import MAX_SIDE
from ocrpool_worker.supervisor.requests import PageAnswer
from tests.unit.worker.test_admission import png_header

DETECTION = {"limit_side_len": 64, "limit_type": "min", "max_side_limit": 4000}


class Result(dict[str, Any]):
    """A result as PaddleX gives it: `found` is (text, score, x, y, width, height) of each box; one
    with a text of None was dropped for its score."""

    def __init__(
        self,
        found: Sequence[tuple[str | None, float, int, int, int, int]],
        size: tuple[int, int] = (1000, 800),
        **preprocessed: Any,
    ) -> None:
        width, height = size
        polygons = [
            np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.int16)
            for _, _, x, y, w, h in found
        ]
        read = [at for at, each in enumerate(found) if each[0] is not None]
        super().__init__(
            doc_preprocessor_res={"output_img": np.zeros((height, width, 3), np.uint8)}
            | preprocessed,
            text_det_params=DETECTION,
            text_rec_score_thresh=0.0 if len(read) == len(found) else 0.3,
            dt_polys=polygons,
            rec_polys=[polygons[at] for at in read],
            rec_texts=[found[at][0] for at in read],
            rec_scores=[found[at][1] for at in read],
            rec_boxes=np.array([[x, y, x + w, y + h] for _, _, x, y, w, h in found]),
        )

    @property
    def json(self) -> dict[str, Any]:
        return {"res": {"rec_texts": self["rec_texts"], "input_path": None}}

    @property
    def img(self) -> dict[str, Any]:
        return {}


def reasons(result: Result, score: float | None = None) -> list[str]:
    return [one.reason for one in reading_of(result, orientation_score=score).warnings]


def rotated(pixels: Any, angle: int) -> Any:
    """`rotate_image` of PaddleX 3.7, line by line."""
    h, w = pixels.shape[:2]
    mat = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.0)
    cos, sin = np.abs(mat[0, 0]), np.abs(mat[0, 1])
    new_w, new_h = int((h * sin) + (w * cos)), int((h * cos) + (w * sin))
    mat[0, 2] += (new_w - w) / 2
    mat[1, 2] += (new_h - h) / 2
    return cv2.warpAffine(pixels, mat, (new_w, new_h), flags=cv2.INTER_CUBIC)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_polygon_is_turned_back_to_where_its_pixels_were(angle: int) -> None:
    page = np.zeros((300, 200, 3), np.uint8)
    page[40:70, 20:120] = 255
    read = rotated(page, angle) if angle else page
    rows, columns = np.nonzero(read[:, :, 0] > 127)
    left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    found = turned_back(corners, angle, (read.shape[1], read.shape[0]))
    # PaddleX turns about the corners of pixels, not their middles: off by one.
    assert min(x for x, _ in found) == pytest.approx(20, abs=1)
    assert max(x for x, _ in found) == pytest.approx(120, abs=1)
    assert min(y for _, y in found) == pytest.approx(40, abs=1)
    assert max(y for _, y in found) == pytest.approx(70, abs=1)


def test_an_angle_that_is_no_quarter_is_an_error() -> None:
    with pytest.raises(ValueError, match="quarters"):
        turned_back([(0, 0)], 45, (10, 10))


def test_polygons_of_a_turned_page_are_in_the_page_that_was_sent() -> None:
    # 1000×800 when it was read, so 800×1000 when it was sent.
    found = [("second", 0.9, 100, 200, 300, 30), ("first", 0.9, 100, 100, 300, 30)]
    reading = reading_of(Result(found, angle=90), orientation_score=0.98)
    assert [line.text for line in reading.lines] == ["first", "second"]
    assert reading.lines[0].polygon == ((700, 100), (700, 400), (670, 400), (670, 100))
    assert (reading.angle, reading.unwarped, reading.warnings) == (90, False, ())
    answer = page_lines(reading, 800, 1000)
    assert json.loads(answer)["angle"] == 90
    page = page_from_answer(PageAnswer(800, 1000, answer), 0, 0)
    assert (page.angle, page.unwarped) == (90, False)


def test_without_a_classifier_a_page_has_no_angle() -> None:
    reading = reading_of(Result([("text", 0.9, 10, 10, 300, 30)]))
    assert set(json.loads(page_lines(reading, 1000, 800))) == {"width", "height", "lines"}
    page = page_from_answer(PageAnswer(1000, 800, page_lines(reading, 1000, 800)), 0, 0)
    assert (page.angle, page.unwarped) == (None, False)
    # The preprocessor ran, but without the classifier.
    assert reading_of(Result([("text", 0.9, 10, 10, 300, 30)], angle=-1)).angle is None


def test_a_flattened_page_says_that_its_polygons_are_of_the_flat_page() -> None:
    settings = {"use_doc_orientation_classify": False, "use_doc_unwarping": True}
    result = Result([("text", 0.9, 10, 10, 300, 30)], angle=-1, model_settings=settings)
    reading = reading_of(result)
    assert json.loads(page_lines(reading, 1000, 800))["unwarped"] is True
    assert page_from_answer(PageAnswer(1000, 800, page_lines(reading, 1000, 800)), 0, 0).unwarped


def test_the_raw_result_keeps_the_order_of_paddlex() -> None:
    result = Result([("price", 0.9, 600, 100, 100, 30), ("article", 0.9, 10, 104, 300, 30)])
    reading = reading_of(result)
    assert [line.text for line in reading.lines] == ["article", "price"]
    assert reading.raw == {"rec_texts": ["price", "article"]}


def test_a_blank_page_has_no_lines_and_no_warning() -> None:
    assert reading_of(Result([])).lines == ()
    assert reasons(Result([])) == []
    # Dust and scratches, as the model reads them.
    specks = Result([("", 0.0, 663, 18, 19, 23), ("*", 0.8, 5, 476, 9, 8), ("", 0.0, 9, 9, 6, 5)])
    assert reasons(specks) == []
    assert [line.text for line in reading_of(specks).lines] == ["*"]


# The result of PP-OCRv5 mobile for an A4 page of the tests that was turned: 1052×744 pixels.
UPSIDE_DOWN = [
    ("", 0.0, 60, 50 * row, 420, 30) if row % 2 else ("'.:", 0.62, 60, 50 * row, 380, 30)
    for row in range(10)
]
ON_ITS_SIDE = [(text, score, y, x, h, w) for text, score, x, y, w, h in UPSIDE_DOWN]


@pytest.mark.parametrize(
    ("found", "way"), [(UPSIDE_DOWN, "be upside down"), (ON_ITS_SIDE, "be turned by 90°")]
)
def test_an_unreadable_page_has_an_orientation_warning(
    found: list[tuple[str, float, int, int, int, int]], way: str
) -> None:
    (warning,) = reading_of(Result(found)).warnings
    assert warning.reason == "OrientationUnsure"
    assert way in warning.message
    # If a model has determined the orientation with a high score, the cause is another.
    assert reasons(Result(found, angle=0), 0.99) == []


def test_dropped_lines_count_with_the_threshold_as_score() -> None:
    dropped: list[tuple[str | None, float, int, int, int, int]] = [
        (None, 0.0, *box) for _, _, *box in UPSIDE_DOWN
    ]  # type: ignore[misc]
    result = Result([*dropped, ("read", 0.9, 60, 700, 100, 30)])
    assert reasons(result) == ["OrientationUnsure"]
    assert [line.text for line in reading_of(result).lines] == ["read"]
    result["text_rec_score_thresh"] = 0.6
    assert reasons(result) == []


def test_vertical_text_that_can_be_read_is_not_turned() -> None:
    found = [("縦書きの本文", 0.89, 900 - 60 * n, 50, 40, 400) for n in range(8)]
    assert reasons(Result(found)) == []


@pytest.mark.parametrize(("score", "said"), [(0.49, ["OrientationUnsure"]), (0.51, [])])
def test_a_low_orientation_score_has_a_warning(score: float, said: list[str]) -> None:
    found = [("text", 0.9, 10, 10 + 40 * n, 300, 30) for n in range(5)]
    assert reasons(Result(found, angle=180), score) == said


def test_the_score_of_the_classifier_is_kept() -> None:
    class Pipeline:
        doc_ori_classify_model: Any = staticmethod(
            lambda images: iter([{"label_names": ["90"], "scores": np.array([0.41])}] * len(images))
        )

    class Wrapper:
        _pipeline = Pipeline()

    class Ocr:
        doc_preprocessor_pipeline = Wrapper()

    watched = keep_orientation_score(Ocr())
    assert isinstance(watched, ScoreKeepingClassifier)
    (found,) = Ocr.doc_preprocessor_pipeline._pipeline.doc_ori_classify_model(["page"])
    assert found["label_names"] == ["90"]
    assert watched.score == pytest.approx(0.41)
    assert keep_orientation_score(object()) is None


@pytest.mark.parametrize(("height", "said"), [(10, ["LowResolution"]), (11, [])])
def test_small_lines_have_a_low_resolution_warning(height: int, said: list[str]) -> None:
    found = [("small print", 0.9, 10, 10 + 15 * n, 300, height) for n in range(5)]
    assert reasons(Result(found)) == said
    # The same, scaled down to a third for detection.
    large = [("text", 0.9, 10, 10 + 50 * n, 900, 3 * height) for n in range(5)]
    assert reasons(Result(large, size=(1000, 12_000))) == said


@pytest.mark.parametrize(
    "found",
    [
        [],
        # The result of PP-OCRv5 mobile for letters of 18 pixels on a page of 16,000.
        [("", 0.0, 10, 200, 300, 120), ("|", 0.4, 10, 600, 300, 120), ("", 0.0, 9, 800, 300, 99)],
    ],
)
def test_a_page_scaled_down_without_text_has_a_warning(
    found: list[tuple[str, float, int, int, int, int]],
) -> None:
    result = Result(found, size=(440, 16_000))
    page = result["doc_preprocessor_res"]["output_img"]
    page[:] = 250
    assert "LowResolution" not in reasons(result)  # a blank one
    page[200:260:2, 20:400:3] = 30  # three lines
    (warning,) = reading_of(result).warnings
    assert warning.reason == "LowResolution"
    assert "scaled by 0.25" in warning.message
    assert "must be 44 pixels high" in warning.message
    read = Result([("a headline", 0.98, 10, 200, 400, 120)], size=(440, 16_000))
    read["doc_preprocessor_res"]["output_img"] = page
    assert reasons(read) == []


def test_scaling_up_does_not_hide_small_lines() -> None:
    assert detector_scale(300, 40, DETECTION) == 1.6
    found = [("ten pixels", 0.9, 10, 10, 200, 10)] * 3
    assert reasons(Result(found, size=(300, 40))) == ["LowResolution"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"limit_type": "max", "limit_side_len": 960}, 0.48),
        ({"limit_type": "min", "limit_side_len": 64}, 1.0),
        ({"limit_type": "min", "limit_side_len": 1500}, 1.5),
        ({"limit_type": "min", "limit_side_len": 4000}, 2.0),
        ({"limit_type": "resize_long", "limit_side_len": 1000}, 0.5),
    ],
)
def test_the_scale_of_the_detector(params: dict[str, Any], expected: float) -> None:
    assert detector_scale(1000, 2000, DETECTION | params) == pytest.approx(expected)


def boxes_from_below(count: int) -> Any:
    """Boxes in the order of OpenCV's contours: the lowest first."""
    tops = [10 * row for row in reversed(range(count))]
    return np.array([[[5, y], [50, y], [50, y + 8], [5, y + 8]] for y in tops], np.int16)


def test_the_regions_that_are_left_out_are_the_lowest() -> None:
    class PostProcess:
        max_candidates = 1000

        def __call__(self, maps: Any, shapes: Any, *, thresh: float) -> tuple[Any, Any]:
            boxes = boxes_from_below(3000)[: self.max_candidates]
            return [boxes], [[float(y) for y in boxes[:, 0, 1]]]

    limit = RegionLimit(PostProcess(), 2500)
    (boxes,), (scores,) = limit(None, None, thresh=0.3)
    assert boxes.tolist() == boxes_from_below(2500).tolist()
    assert scores == boxes[:, 0, 1].tolist()
    assert limit.left_out == 500
    assert len(RegionLimit(PostProcess(), 3000)(None, None, thresh=0.3)[0][0]) == 3000


@pytest.mark.parametrize("size", [(45, 18), (1, 1), (62, 1), (1, 62), (31, 32)])
def test_a_tiny_picture_gets_the_smallest_sufficient_margin(size: tuple[int, int]) -> None:
    width, height = size
    margin = margin_of(width, height)
    pixels = np.full((height, width, 3), (200, 220, 240), np.uint8)
    pixels[height // 3 : height // 2, width // 3 : width // 2] = 0
    padded = with_margin(pixels, margin)
    assert 64 <= sum(padded.shape[:2]) < 68
    assert (padded[margin:-margin, margin:-margin] == pixels).all()
    assert (padded[0] == padded[0, 0]).all()
    if min(size) > 2:
        assert padded[0, 0].tolist() == [200, 220, 240]


def test_other_pictures_get_no_margin() -> None:
    assert [margin_of(46, 18), margin_of(32, 32), margin_of(4000, 1)] == [0, 0, 0]


def test_boxes_of_a_tiny_picture_are_in_it() -> None:
    result = Result([("7,50", 0.99, 0, 1, 47, 19)], size=(47, 20))
    result["text_word_region"] = [[((0, 1), (47, 1), (47, 20), (0, 20))]]
    result["text_word_boxes"] = [np.array([[0, 1, 47, 20]])]
    cut_margin(result, 1)
    whole = [[0, 0], [45, 0], [45, 18], [0, 18]]
    assert result["doc_preprocessor_res"]["output_img"].shape == (18, 45, 3)
    assert [polygon.tolist() for polygon in result["rec_polys"]] == [whole]
    assert [polygon.tolist() for polygon in result["dt_polys"]] == [whole]
    assert result["rec_boxes"].tolist() == [[0, 0, 45, 18]]
    assert result["text_word_region"][0][0].tolist() == whole
    assert result["text_word_boxes"][0][0].tolist() == [0, 0, 45, 18]
    assert reading_of(result).lines[0].polygon[2] == (45, 18)


def test_a_side_that_opencv_cannot_cut_lines_out_of_is_refused_by_its_header() -> None:
    limits = AdmissionSettings(max_megapixels=16)
    assert admit(png_header(MAX_SIDE, 100), limits).width == MAX_SIDE == 32_766
    for size in ((MAX_SIDE + 1, 100), (100, MAX_SIDE + 1)):
        with pytest.raises(TooLarge, match=r"the longest side .* has 32766; .*cut") as caught:
            admit(png_header(*size), limits)
        assert (caught.value.status, caught.value.limit) == (413, MAX_SIDE)
        with pytest.raises(TooLarge):
            check_size(*size, limits)
        # A frame of a TIFF, a page of a PDF, an image whose first header said otherwise.
        with pytest.raises(TooLarge, match="page 3 is"):
            check_pixels(*size, limits.max_pixels, page=2)
