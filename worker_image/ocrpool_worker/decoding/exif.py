"""Read the orientation from EXIF data."""

from __future__ import annotations

import struct

# EXIF 2.3, tag 274: how the stored picture must be turned to be upright.
ORIENTATION = 274
_JPEG_START = b"Exif\0\0"
_MOST_TAGS = 1000
_SHORT, _LONG = 3, 4


def orientation_of(exif: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 if the data has none or is damaged. WebP and PNG hold EXIF data
    as a TIFF; some programs put JPEG's `Exif` in front."""
    # Some programs write it twice. It is not removed more often, because each time copies the data.
    exif = exif.removeprefix(_JPEG_START).removeprefix(_JPEG_START)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for number in range(min(count, _MOST_TAGS)):
            tag, kind, values = struct.unpack_from(order + "HHI", exif, at + 2 + 12 * number)
            if tag == ORIENTATION and kind in (_SHORT, _LONG) and values:
                letter = "H" if kind == _SHORT else "I"
                (value,) = struct.unpack_from(order + letter, exif, at + 10 + 12 * number)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
