"""An image file, and pixels that came as they are.

Images are decoded as PaddleX does it (`cv2.imdecode`), so that the text is the same. Every pixel is
of its own file: one that has not arrived as a whole is refused, and decoders work in memory
without a past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpool_worker.decoding import jpeg
from ocrpool_worker.decoding.clean import clean_memory
from ocrpool_worker.decoding.complete import check_complete, incomplete
from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.errors import NotAnImage, TooLarge

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels


class EncodedImage:
    """An image file (PNG, JPEG, …), decoded at most once."""

    warnings: tuple[PageWarning, ...] = ()

    def __init__(self, data: memoryview, max_pixels: int) -> None:
        self._data = data
        self._max_pixels = max_pixels
        self.decoded: Pixels | None = None

    def pixels(self) -> Pixels:
        if self.decoded is None:
            check_complete(self._data)
            pixels = self._decode()
            check_pixels(pixels.shape[1], pixels.shape[0], self._max_pixels)
            self._check_ending(pixels)
            self.decoded = pixels
        return self.decoded

    def _decode(self) -> Pixels:
        import cv2  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        try:
            with clean_memory():
                pixels: Pixels | None = cv2.imdecode(
                    np.frombuffer(self._data, np.uint8), cv2.IMREAD_COLOR
                )
        except cv2.error as error:
            # OpenCV has a limit of its own, set from ours; a header can lie to ours.
            if "MAX_IMAGE" in error.err:
                raise TooLarge(
                    f"the image has more than {self._max_pixels / 1e6:g} megapixels "
                    "(admission.maxMegapixels), whatever its first header says; send it "
                    "smaller or raise the limit",
                    field="file",
                    limit=self._max_pixels / 1e6,
                ) from None
            raise NotAnImage(f"the image cannot be decoded: {error.err}") from None
        if pixels is None:
            raise NotAnImage("the image is damaged, or of a kind that OpenCV cannot decode")
        return pixels

    def _check_ending(self, pixels: Pixels) -> None:
        if bytes(self._data[:2]) != b"\xff\xd8":
            return
        rows = jpeg.ends_early(self._data, pixels)
        if rows is not None:
            raise incomplete("the JPEG", f"its pixels end after {rows} rows")


class RawImage:
    """Pixels that a program handed over as they are (the Python API)."""

    warnings: tuple[PageWarning, ...] = ()

    def __init__(self, data: memoryview, shape: tuple[int, ...]) -> None:
        import numpy as np  # noqa: PLC0415

        # A copy: PaddleOCR may write into its input, and the mailbox is read-only and lent.
        self.decoded: Pixels = np.frombuffer(data, np.uint8).reshape(shape).copy()

    def pixels(self) -> Pixels:
        return self.decoded
