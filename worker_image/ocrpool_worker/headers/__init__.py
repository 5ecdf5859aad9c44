"""What a file is and how large its picture, out of its header, in a bounded number of steps.

The supervisor reads headers in its event loop, so a hostile file must not cost it time: general
readers walk all chunks of a PNG, inflate its colour profile and load every tag of a TIFF (seconds
for a few megabytes). Nothing here looks further than the size, and every walk has an end.
"""

from ocrpool_worker.headers.detect import Format, read_header
from ocrpool_worker.headers.errors import UnknownFormat

__all__ = ["Format", "UnknownFormat", "read_header"]
