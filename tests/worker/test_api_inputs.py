"""Inputs of the Python API: all ways to pass a file, and errors of single inputs of a batch."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ocrpool import AsyncInstancePool, InstancePool
from ocrpool.instance_pool import Page
from ocrpool_worker.errors import BadRequest, NotAnImage, RequestError, UnreadableInput
from tests.fake_engine import order_png, pdf_of
from tests.worker.harness import ENGINE, ROOT
from tests.worker.test_api import SETTINGS, said


@pytest.fixture(scope="module")
def pool() -> Iterator[InstancePool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with InstancePool(instances=1, engine=ENGINE, settings=SETTINGS) as pool:
            yield pool


class Failing(io.RawIOBase):
    """A stream whose other end is closed."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("gone")


class Odd:
    """A stream without data yet."""

    def read(self) -> None:
        return None


def closed() -> io.BytesIO:
    stream = io.BytesIO(order_png(say="never"))
    stream.close()
    return stream


def broken_picture() -> Image.Image:
    out = io.BytesIO()
    Image.effect_noise((90, 70), 50).save(out, "PNG")
    return Image.open(io.BytesIO(out.getvalue()[:2000]))


BAD: dict[str, tuple[Callable[[], object], type[RequestError], str]] = {
    "missing path": (lambda: Path("/nowhere/none.png"), UnreadableInput, "/nowhere/none.png"),
    "missing path as text": (lambda: "/nowhere/none.png", UnreadableInput, "No such file"),
    "folder": (lambda: "/", UnreadableInput, "'/' cannot be read: Is a directory"),
    "no path at all": (lambda: "a\0b", UnreadableInput, "null"),
    "URL": (lambda: "https://example.org/a.png", BadRequest, "this one is a URL"),
    "data URL": (lambda: "data:image/png;base64,QUJD", BadRequest, "this one is a URL"),
    "broken Pillow image": (broken_picture, NotAnImage, "the Pillow image cannot be read"),
    "None": (lambda: None, BadRequest, "this is None"),
    "number": (lambda: 5, BadRequest, "this is int"),
    "list": (lambda: [b"a"], BadRequest, "this is list"),
    "text stream": (lambda: io.StringIO("text"), BadRequest, "mode 'rb'"),
    "failing stream": (Failing, UnreadableInput, "gone"),
    "closed stream": (closed, UnreadableInput, "closed file"),
    "stream without data": (Odd, BadRequest, "returned None"),
    "empty stream": (lambda: io.BytesIO(b""), NotAnImage, "empty"),
    "no image": (lambda: memoryview(b"no image"), NotAnImage, "no known format"),
}


def check(found: list[Page | RequestError]) -> None:
    """A good page, then an error and a good page for each of BAD."""
    errors, pages = found[1::2], found[::2]
    assert [said(page) for page in pages] == ["good"] * (len(BAD) + 1)
    for error, (name, (_, kind, words)) in zip(errors, BAD.items(), strict=True):
        assert type(error) is kind, (name, error)
        assert words in error.message, (name, error.message)
        assert error.status == 422


def batch() -> list[Any]:
    good = order_png(say="good")
    return [good, *(each for make, _, _ in BAD.values() for each in (make(), good))]


def test_bad_inputs_of_a_batch_are_errors_in_their_places(pool: InstancePool) -> None:
    check(list(pool.map(batch(), return_errors=True)))


def test_bad_inputs_of_a_batch_are_errors_in_their_places_with_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    async def use() -> None:
        async with AsyncInstancePool(instances=1, engine=ENGINE, settings=SETTINGS) as pool:
            check([one async for one in pool.map(batch(), return_errors=True)])
            with pytest.raises(UnreadableInput, match="No such file"):
                await pool.read("/nowhere/none.png")
            ours = [one async for one in pool.map(opened_and_closed(4))]
            assert [said(page) for page in ours] == list("0123")

    asyncio.run(use())


@pytest.mark.parametrize(("make", "kind", "words"), BAD.values(), ids=BAD.keys())
def test_read_raises_the_error_of_a_bad_input(
    pool: InstancePool, make: Callable[[], Any], kind: type[RequestError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        pool.read(make())
    assert words in caught.value.message


def test_the_cause_is_the_systems_error(pool: InstancePool) -> None:
    with pytest.raises(UnreadableInput) as caught:
        pool.read("/nowhere/none.png")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


class Wrapped:
    """A path object of another library."""

    def __init__(self, path: Path, kind: type = str) -> None:
        self._path = str(path) if kind is str else os.fsencode(path)

    def __fspath__(self) -> str | bytes:
        return self._path


def test_every_way_to_hand_over_a_file(pool: InstancePool, tmp_path: Path) -> None:
    data = order_png(say="me")
    path = tmp_path / "page.png"
    path.write_bytes(data)
    behind = io.BytesIO(b"head" + data)
    behind.seek(4)
    spooled = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    spooled.write(data)
    spooled.seek(0)
    doubled = bytes(byte for pair in zip(data, data, strict=True) for byte in pair)
    with path.open("rb") as file, path.open("rb", buffering=0) as raw, spooled:
        inputs: list[Any] = [
            memoryview(data),
            memoryview(doubled)[::2],
            Wrapped(path),
            Wrapped(path, bytes),
            io.BytesIO(data),
            behind,
            file,
            raw,
            spooled,
        ]
        assert [said(page) for page in pool.map(inputs)] == ["me"] * len(inputs)
        assert not file.closed
        assert file.read() == b"", "it was read to its end"
        for each in (file, raw, behind, spooled):
            each.seek(4 if each is behind else 0)
        assert all(said(pool.read(each)[0]) == "me" for each in inputs if each is not inputs[4])


def opened_and_closed(count: int) -> Iterator[io.BytesIO]:
    for number in range(count):
        with io.BytesIO(order_png(say=str(number))) as stream:
            yield stream


def test_a_file_that_is_closed_as_the_next_is_drawn_was_read(pool: InstancePool) -> None:
    assert [said(page) for page in pool.map(opened_and_closed(5))] == list("01234")


def test_what_the_iterable_raises_comes_after_what_it_gave(pool: InstancePool) -> None:
    def ends() -> Iterator[bytes]:
        yield order_png(say="a")
        yield pdf_of([{"say": "b"}, {"say": "c"}])
        raise KeyError("mine")

    for return_errors in (False, True):
        pages = pool.map(ends(), return_errors=return_errors)
        assert [said(next(pages)) for _ in range(3)] == ["a", "b", "c"]
        with pytest.raises(KeyError, match="mine"):
            next(pages)


def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(pool: InstancePool) -> None:
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")
    picture = Image.open(io.BytesIO(out.getvalue()[:60]))  # its pixels could not even be read
    (error,) = pool.map([picture], return_errors=True)
    assert isinstance(error, RequestError)
    assert error.reason == "TooLarge"


def frames(count: int) -> list[Image.Image]:
    return [Image.open(io.BytesIO(order_png(say=f"frame {n}", sleep=0.05))) for n in range(count)]


def one_array(count: int) -> Iterator[Any]:
    """A program that reuses one array for all pages."""
    pages = [np.asarray(frame.convert("RGB")) for frame in frames(count)]
    buffer = np.empty_like(max(pages, key=np.size))
    for page in pages:
        buffer = buffer if buffer.shape == page.shape else np.empty_like(page)
        buffer[:] = page
        yield buffer


def one_bytearray(count: int) -> Iterator[Any]:
    buffer = bytearray()
    for n in range(count):
        buffer[:] = order_png(say=f"frame {n}", sleep=0.05)
        yield buffer


def one_image(count: int) -> Iterator[Any]:
    out = io.BytesIO()
    first, *others = (frame.convert("RGB") for frame in frames(count))
    first.save(out, "TIFF", save_all=True, append_images=others)
    yield from ImageSequence.Iterator(Image.open(out))


def closed_behind(count: int) -> Iterator[Any]:
    for frame in frames(count):
        with frame:
            yield frame


USED_AGAIN = pytest.mark.parametrize(
    "draw", [one_array, one_bytearray, one_image, closed_behind], ids=lambda draw: draw.__name__
)


@USED_AGAIN
def test_an_input_is_read_as_it_was_when_it_was_drawn(pool: InstancePool, draw: Any) -> None:
    assert [said(page) for page in pool.map(draw(5))] == [f"frame {n}" for n in range(5)]


@USED_AGAIN
def test_an_input_is_read_as_it_was_when_it_was_drawn_with_asyncio(
    draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    async def read() -> list[str]:
        async with AsyncInstancePool(engine=ENGINE, settings=SETTINGS) as pool:
            return [said(page) async for page in pool.map(draw(5))]

    assert asyncio.run(read()) == [f"frame {n}" for n in range(5)]


def test_a_submitted_array_may_be_filled_anew(pool: InstancePool) -> None:
    drawing = one_array(4)
    futures = [pool.submit(next(drawing)) for _ in range(4)]
    assert [said(future.result()[0]) for future in futures] == [f"frame {n}" for n in range(4)]


class Lookalike:
    shape = (3, 4)


class Tensor:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(Image.open(io.BytesIO(order_png(say="tensor"))).convert("RGB"))


def test_array_like_inputs_are_converted_or_refused(pool: InstancePool) -> None:
    found = list(pool.map([Lookalike(), np.float64(3), Tensor()], return_errors=True))
    assert [type(each) for each in found[:2]] == [BadRequest, BadRequest], found
    assert said(found[2]) == "tensor"


def released() -> memoryview:
    view = memoryview(bytearray(order_png(say="never")))
    view.release()
    return view


def test_a_buffer_that_is_gone_is_its_own_error(pool: InstancePool) -> None:
    good = order_png(say="good")
    found = list(pool.map([released(), good], return_errors=True))
    assert isinstance(found[0], UnreadableInput), found
    assert said(found[1]) == "good"


@pytest.mark.parametrize(
    "one",
    [
        "scan.png",
        b"bytes",
        Path("scan.png"),
        io.BytesIO(b"a\nb\nc"),
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 3), np.uint8),
    ],
    ids=["text", "bytes", "path", "file object", "grey page", "page"],
)
def test_a_single_input_is_not_a_batch(pool: InstancePool, one: Any) -> None:
    with pytest.raises(TypeError, match="use read"):
        list(pool.map(one))


def test_a_stack_of_pages_is_a_batch(pool: InstancePool) -> None:
    page = np.asarray(Image.open(io.BytesIO(order_png(say="page"))).convert("RGB"))
    assert [said(each) for each in pool.map(np.stack([page, page]))] == ["page", "page"]
