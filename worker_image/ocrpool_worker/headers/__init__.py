"""Read the format and the size of a picture from a file's header, in a bounded number of steps.

The supervisor reads headers in its event loop, so a hostile file must not take long. General
readers walk all chunks of a PNG, inflate its colour profile and load every tag of a TIFF, which
takes seconds for a few megabytes. This package stops at the size, and every loop has a bound.
"""

from ocrpool_worker.headers.detect import Format, read_header
from ocrpool_worker.headers.errors import UnknownFormat

__all__ = ["Format", "UnknownFormat", "read_header"]
