"""Turns an input of the Python API into request bytes: the bytes of a file, or pixels.

Any fault of one input becomes the error of that input (a RequestError), so that a batch goes on.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ocrpool_worker.admission import admit, check_scaling, check_size
from ocrpool_worker.errors import BadRequest, RequestError, UnreadableInput
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.supervisor.requests import RequestSpec

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

_SUPPORTED = "an image is a path, bytes, a binary file object, a NumPy array or a Pillow image"


def iterate_inputs(images: Iterable[Any]) -> Iterator[Any]:
    """An iterator over `images`. Raises TypeError for a single input that is itself iterable."""
    one = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike)
    shape: Any = getattr(images, "shape", ())
    # More channels than four are a stack of pages, which is several inputs.
    page = len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4)
    if one or page or _is_stream(images):
        raise TypeError(f"map takes several inputs, this is one ({_name(images)}): use read")
    return iter(images)


def snapshot(image: Any, limits: AdmissionSettings) -> Any:
    """A copy of `image`, or its error (returned, not raised).

    Before the input's turn comes, the program may close a file object, go on to the next frame of a
    Pillow image, or refill its array.
    """
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


def request_of(
    image: Any, params: Mapping[str, Any], limits: AdmissionSettings
) -> tuple[Buffer, RequestSpec]:
    """The bytes to hand over and their description. Raises a RequestError."""
    data = file_bytes(image)
    if data is not None:
        admitted = admit(data, limits)
        spec = RequestSpec(admitted.kind, "lines", admitted.width, admitted.height, dict(params))
        check_scaling(spec.width, spec.height, params, limits)
        return data, spec
    pixels = page_of(image, limits)
    height, width = int(pixels.shape[0]), int(pixels.shape[1])
    check_scaling(width, height, params, limits)
    spec = RequestSpec("pixels", "lines", width, height, dict(params), shape=(height, width, 3))
    return pixels.data.cast("B"), spec


def file_bytes(image: Any) -> Buffer | None:
    """The bytes of a path, a buffer or a file object (from its position on); None for other types.
    Raises UnreadableInput, BadRequest, or the error that `snapshot` returned."""
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
    """The page of an array or a Pillow image, converted by the code that converts files.

    `own`: the result shares no memory with `image`. Raises a RequestError.
    """
    import numpy as np  # noqa: PLC0415

    from ocrpool_worker.decoding.document import decoder_errors  # noqa: PLC0415
    from ocrpool_worker.decoding.raster import from_array, from_pillow  # noqa: PLC0415

    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(image, pillow.Image):
        # Checked before the pixels are loaded: Pillow loads an opened image on first use.
        check_size(image.width, image.height, limits)
        with decoder_errors("the Pillow image cannot be read"):
            return from_pillow(image)
    if not isinstance(image, np.ndarray):
        if not hasattr(image, "__array__"):
            raise BadRequest(f"{_SUPPORTED}; this is {_name(image)}")
        with _reading(f"the object {_name(image)}"):
            image = np.asarray(image)
    if image.ndim >= 2:
        check_size(int(image.shape[1]), int(image.shape[0]), limits)
    page = from_array(image)
    return page.copy() if own and np.may_share_memory(page, image) else page


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turns any error of a library or the system about an input into UnreadableInput."""
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
            f"a string is a path, and this one is a URL ({path[:40]!r}); pass the bytes of the file"
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
        raise BadRequest(f"the file object {_name(stream)} returned {_name(data)} instead of bytes")
    return data


def _name(thing: object) -> str:
    return "None" if thing is None else type(thing).__name__
