"""Add a margin in the background colour around a tiny picture.

PaddleX pads a picture whose sides sum to less than 64 pixels with black, and then scales the boxes
by the size of the picture without the padding. So text is read worse, and boxes lie outside the
picture. With a margin the picture is large enough not to be padded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# `DetResizeForTest.resize` of PaddleX 3.7.
LEAST_SUM = 64


def margin_of(width: int, height: int) -> int:
    """The margin in pixels that a picture needs on each side; 0 for all but tiny pictures."""
    return max(0, -((width + height - LEAST_SUM) // 4))


def with_margin(pixels: Pixels, margin: int) -> Pixels:
    """The picture with `margin` pixels around it, in the most frequent colour of its border."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colours, counts = np.unique(border, axis=0, return_counts=True)
    paper = [int(part) for part in colours[counts.argmax()]]
    padded: Pixels = cv2.copyMakeBorder(
        pixels, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=paper
    )
    return padded


def cut_margin(result: Any, margin: int) -> None:
    """Remove the margin from a result of PaddleX's OCR pipeline, in place.

    Its pictures are cut, and its boxes are moved and clipped.
    """
    import numpy as np  # noqa: PLC0415

    pictures = result["doc_preprocessor_res"]
    for name in ("input_img", "rot_img", "output_img"):
        if name in pictures:
            pictures[name] = pictures[name][margin:-margin, margin:-margin]
    height, width = pictures["output_img"].shape[:2]

    def moved(points: Any) -> Any:
        corners = np.asarray(points)
        shape = corners.shape
        within = np.clip(corners.reshape(-1, 2) - margin, 0, (width, height))
        return within.reshape(shape).astype(corners.dtype)

    for name in ("dt_polys", "rec_polys", "rec_boxes"):
        found = result[name]
        result[name] = moved(found) if hasattr(found, "dtype") else [moved(each) for each in found]
    for name in ("text_word_region", "text_word_boxes"):
        if name in result:
            result[name] = [[moved(word) for word in line] for line in result[name]]
