"""Decode BMP files, including the alpha of 32-bit files, which OpenCV drops."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ocrpool_worker.decoding.opencv import imdecode
from ocrpool_worker.decoding.raster import from_array
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ocrpool_worker.engine.base import Pixels

_RGB, _BITFIELDS, _ALPHA_BITFIELDS = 0, 3, 6
# Size of the first header that has a mask for alpha (BITMAPV3INFOHEADER), and the mask's offset.
_HEADER_WITH_ALPHA, _ALPHA_MASK_AT = 56, 14 + 52
_BYTE_OF_MASK = {0xFF: 0, 0xFF00: 1, 0xFF0000: 2, 0xFF000000: 3}


def decode(data: Buffer, max_pixels: int) -> Pixels:
    """Decode a BMP. Raises NotAnImage or TooLarge.

    Without a mask for alpha the fourth byte is reserved, and most programs write one value
    everywhere. If it varies, it is alpha (as Pillow and OpenCV write it).
    """
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    pixels = imdecode(data, cv2.IMREAD_COLOR, max_pixels)
    alpha = _alpha(data, pixels.shape[1], pixels.shape[0])
    return from_array(pixels if alpha is None else np.dstack([pixels, alpha]))


def _alpha(data: Buffer, width: int, height: int) -> NDArray[np.uint8] | None:
    """The alpha of each pixel, or None for an opaque picture."""
    import numpy as np  # noqa: PLC0415

    try:
        start, header, stored_width, stored_height = struct.unpack_from("<IIii", data, 10)
        bits, compression = struct.unpack_from("<HI", data, 28)
        if header < 40 or bits != 32 or (stored_width, abs(stored_height)) != (width, height):
            return None
        byte = 3 if compression == _RGB else None
        masked = header >= _HEADER_WITH_ALPHA and compression in (_BITFIELDS, _ALPHA_BITFIELDS)
        if masked or (compression == _ALPHA_BITFIELDS and header == 40):
            # With the oldest header the masks follow it, at the same offset.
            byte = _BYTE_OF_MASK.get(struct.unpack_from("<I", data, _ALPHA_MASK_AT)[0])
    except struct.error:
        return None
    if byte is None or len(data) < start + 4 * width * height:
        return None
    stored = np.frombuffer(data, np.uint8, 4 * width * height, start)
    alpha = stored.reshape(height, width, 4)[:, :, byte]
    if (alpha == alpha[0, 0]).all():
        return None
    return alpha if stored_height < 0 else alpha[::-1]
