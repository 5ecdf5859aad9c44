"""Sides that are too long for OpenCV are refused over every endpoint."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocrpool.inputs import request_of
from ocrpool_worker.decoding.document_page import open_document
from ocrpool_worker.errors import TooLarge
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.side_limit import MAX_SIDE

SETTINGS = WorkerSettings()
SIZES = [(MAX_SIDE + 1, 8), (8, MAX_SIDE + 1)]


def encoded(form: str, *pictures: Image.Image) -> bytes:
    out = io.BytesIO()
    first, *others = pictures
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(out, form, **more)
    return out.getvalue()


def ways(size: tuple[int, int]) -> dict[str, Any]:
    picture = Image.new("L", size, 255)
    return {
        "array": np.asarray(picture.convert("RGB")),
        "Pillow": picture,
        **{form: encoded(form, picture) for form in ("PNG", "JPEG", "BMP", "TIFF")},
    }


@pytest.mark.parametrize("way", ["array", "Pillow", "PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("size", SIZES)
def test_too_long_a_side_is_refused_at_admission(size: tuple[int, int], way: str) -> None:
    with pytest.raises(TooLarge, match="longest side that can be read has 32766") as caught:
        request_of(ways(size)[way], {}, SETTINGS.admission)
    assert caught.value.limit == MAX_SIDE
    longest = tuple(min(side, MAX_SIDE) for side in size)
    _, spec = request_of(ways((longest[0], longest[1]))[way], {}, SETTINGS.admission)
    assert max(spec.width, spec.height) == MAX_SIDE


@pytest.mark.parametrize("size", SIZES)
def test_a_later_frame_of_a_tiff_is_refused_by_itself(size: tuple[int, int]) -> None:
    data = encoded("TIFF", Image.new("L", (20, 20), 255), Image.new("L", size, 255))
    request_of(data, {}, SETTINGS.admission)
    document = open_document("tiff", data, SETTINGS.admission.max_pixels)
    assert document.size(0) == (20, 20)
    with pytest.raises(TooLarge, match=r"page 2 is .* cut it into parts"):
        document.size(1)
