"""Map coordinates from the picture that PaddleX read back to the page that was sent.

PaddleX turns a page by the angle that its classifier finds (`rotate_image`: counter-clockwise by 0,
90, 180 or 270 degrees), and returns polygons in the turned picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Polygon: TypeAlias = "tuple[tuple[float, float], ...]"


def turned_back(
    points: Iterable[tuple[float, float]], angle: int, size: tuple[int, int]
) -> Polygon:
    """Map `points` of a picture that was turned by `angle` back to the picture before that.

    `size`: (width, height) of the turned picture in pixels. Raises ValueError for another angle.
    """
    width, height = size
    if angle == 0:
        return tuple((x, y) for x, y in points)
    if angle == 90:
        return tuple((height - y, x) for x, y in points)
    if angle == 180:
        return tuple((width - x, height - y) for x, y in points)
    if angle == 270:
        return tuple((y, width - x) for x, y in points)
    raise ValueError(f"PaddleX turns by quarters, not by {angle} degrees")


class ScoreKeepingClassifier:
    """Wraps PaddleX's classifier of a page's orientation and keeps its score, which the pipeline
    discards."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier
        self.score: float | None = None  # of the page that was read last

    def __call__(self, *arguments: Any, **options: Any) -> list[Any]:
        found = list(self._classifier(*arguments, **options))
        self.score = float(found[0]["scores"][0])
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)


def keep_orientation_score(pipeline: Any) -> ScoreKeepingClassifier | None:
    """Wrap the orientation classifier of a PaddleX OCR pipeline. None if it has none."""
    preprocessor = getattr(pipeline, "doc_preprocessor_pipeline", None)
    inner: Any = getattr(preprocessor, "_pipeline", preprocessor)
    if not hasattr(inner, "doc_ori_classify_model"):
        return None
    inner.doc_ori_classify_model = ScoreKeepingClassifier(inner.doc_ori_classify_model)
    classifier: ScoreKeepingClassifier = inner.doc_ori_classify_model
    return classifier
