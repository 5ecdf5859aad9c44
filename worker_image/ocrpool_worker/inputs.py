"""The bytes of a file, whichever way a program hands it over to the Python API.

Whatever is wrong with one input is that input's error (a RequestError), so that a batch goes on.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ocrpool_worker.errors import BadRequest, RequestError, UnreadableInput
from ocrpool_worker.ipc.mailbox import Buffer

_TAKEN = "an image is a path, bytes, a binary file object, a NumPy array or a Pillow image"


def drawn(image: Any) -> Any:
    """`image`, a file object already read: whoever gives one may close it before its turn comes.
    What is wrong with it is returned, not raised."""
    if not _is_stream(image):
        return image
    try:
        return _read(image)
    except RequestError as error:
        return error


def file_bytes(image: Any) -> Buffer | None:
    """The bytes of a path, a buffer or a file object (from its position on); None for an array or
    another object that holds pixels. Raises UnreadableInput, BadRequest, or what `drawn` found."""
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
    if not hasattr(image, "shape") and not hasattr(image, "convert"):
        raise BadRequest(f"{_TAKEN}; this is {_name(image)}")
    return None


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
