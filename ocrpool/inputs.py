"""The bytes of a file, or the pixels of a page, as a program hands them over to the Python API.

Whatever is wrong with one input is that input's error (a RequestError), so that a batch goes on.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ocrpool_worker.admission import check_size
from ocrpool_worker.errors import BadRequest, RequestError, UnreadableInput
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import AdmissionSettings

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

_TAKEN = "an image is a path, bytes, a binary file object, a NumPy array or a Pillow image"


def several(images: Iterable[Any]) -> Iterator[Any]:
    """Raises TypeError for what is one input, though it can be iterated over."""
    one = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike)
    shape: Any = getattr(images, "shape", ())
    page = len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4)  # and not a stack of them
    if one or page or _is_stream(images):
        raise TypeError(f"map takes several inputs, this is one ({_name(images)}): use read")
    return iter(images)


def taken(image: Any, limits: AdmissionSettings) -> Any:
    """`image` as it is now: a program may close a file object, go on to the next frame of a Pillow
    image or fill its array anew before its turn comes. What is wrong with it is returned, not
    raised."""
    try:
        data = _read(image) if _is_stream(image) else image
        if isinstance(data, bytearray | memoryview):
            with _reading(f"the {_name(data)}"):
                return bytes(data)
        if data is not image:
            return data
        if isinstance(image, str | bytes | os.PathLike):
            return image
        return page_of(image, limits, own=True)
    except RequestError as error:
        return error


def file_bytes(image: Any) -> Buffer | None:
    """The bytes of a path, a buffer or a file object (from its position on); None for all else.
    Raises UnreadableInput, BadRequest, or what `taken` found."""
    if isinstance(image, RequestError):
        raise image
    if isinstance(image, str | os.PathLike):
        return _of_path(image)
    if isinstance(image, bytes | bytearray):
        return image
    if isinstance(image, memoryview):
        return image.cast("B") if image.c_contiguous else image.tobytes()
    if _is_stream(image):
        return _read(image)
    return None


def page_of(image: Any, limits: AdmissionSettings, *, own: bool = False) -> Pixels:
    """The page of an array or a Pillow image, made by the code that makes them of files. `own`: in
    memory that is nobody else's. Raises a RequestError."""
    import numpy as np  # noqa: PLC0415

    from ocrpool_worker.decoding.document import decoder_errors  # noqa: PLC0415
    from ocrpool_worker.decoding.raster import from_array, from_pillow  # noqa: PLC0415

    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(image, pillow.Image):
        # Before it is loaded: an image that was only opened has no pixels yet.
        check_size(image.width, image.height, limits)
        with decoder_errors("the Pillow image cannot be read"):
            return from_pillow(image)
    if not isinstance(image, np.ndarray):
        if not hasattr(image, "__array__"):
            raise BadRequest(f"{_TAKEN}; this is {_name(image)}")
        with _reading(f"the object {_name(image)}"):
            image = np.asarray(image)
    if image.ndim >= 2:
        check_size(int(image.shape[1]), int(image.shape[0]), limits)
    page = from_array(image)
    return page.copy() if own and np.may_share_memory(page, image) else page


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Any error of a library or the system over an input means that it cannot be read."""
    try:
        yield
    except (RequestError, MemoryError):
        raise
    except Exception as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableInput(f"{what} cannot be read: {why or type(error).__name__}") from error


def _of_path(path: str | os.PathLike[Any]) -> bytes:
    if isinstance(path, str) and path.startswith(("http://", "https://", "data:")):
        raise BadRequest(
            f"a text is taken as a path, and this one is a URL ({path[:40]!r}); give the bytes "
            "that it stands for"
        )
    with _reading("the path"):
        name = os.fspath(path)
    with _reading(f"the file {os.fsdecode(name)[:1000]!r}"), open(name, "rb") as file:
        return file.read()


def _is_stream(image: Any) -> bool:
    return not isinstance(image, os.PathLike) and callable(getattr(image, "read", None))


def _read(stream: Any) -> Buffer:
    text = "a file object must be binary: open the file with mode 'rb'"
    if isinstance(stream, io.TextIOBase):
        raise BadRequest(text)
    with _reading(f"the file object {_name(stream)}"):
        data = stream.read()
    if isinstance(data, str):
        raise BadRequest(text)
    if not isinstance(data, bytes | bytearray | memoryview):
        raise BadRequest(f"the file object {_name(stream)} gave {_name(data)} instead of bytes")
    return data


def _name(thing: object) -> str:
    return "None" if thing is None else type(thing).__name__
