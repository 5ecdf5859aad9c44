"""The Python pool with real processes: order, laziness, errors and its life cycle."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ocrpool import InstancePool
from ocrpool.instance_pool import Page, Word
from ocrpool_worker.errors import (
    BadRequest,
    BootError,
    NotAnImage,
    RequestError,
    SettingsError,
    TooLarge,
    Unavailable,
)
from tests.fake_engine import order_png, pdf_of
from tests.worker.client import wait_for
from tests.worker.harness import ENGINE, ROOT

SETTINGS: dict[str, Any] = {
    "admission": {"maxMegapixels": 0.25, "timeoutSeconds": 30},
    "memory": {"reserve": 0},
    "recycle": {"memoryGrowth": 0},
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances must find the fake engine."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def new_pool(instances: int = 2, **more: Any) -> InstancePool:
    return InstancePool(instances=instances, engine=ENGINE, **{"settings": SETTINGS, **more})


@pytest.fixture(scope="module")
def pool() -> Iterator[InstancePool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with new_pool() as pool:
            yield pool


def said(page: Page | RequestError) -> str:
    assert isinstance(page, Page), page
    return page.lines[0].text


def test_lines_have_their_words(pool: InstancePool) -> None:
    (page,) = pool.read(order_png(say="word", words=True), return_word_box=True)
    line = page.lines[0]
    assert line.words == (Word("word", line.polygon),)


def test_pages_come_in_the_order_of_their_inputs(pool: InstancePool) -> None:
    orders = [{"say": str(number), "sleep": 0.05 * (number % 3 == 0)} for number in range(12)]
    pages = list(pool.map(order_png(**order) for order in orders))
    assert [said(page) for page in pages] == [order["say"] for order in orders]
    assert [(page.source, page.number) for page in pages if isinstance(page, Page)] == [
        (number, 0) for number in range(12)
    ]


def test_a_document_gives_all_its_pages_in_its_place(pool: InstancePool) -> None:
    document = pdf_of([{"say": "b"}, {"say": "c"}])
    inputs = [order_png(say="a"), document, order_png(say="d")]
    pages = [page for page in pool.map(inputs) if isinstance(page, Page)]
    assert [said(page) for page in pages] == ["a", "b", "c", "d"]
    assert [(page.source, page.number) for page in pages] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert [said(page) for page in pool.read(document)] == ["b", "c"]


def test_inputs_are_drawn_as_they_are_needed(pool: InstancePool) -> None:
    drawn = 0

    def endless() -> Iterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 1
            yield order_png(say=str(drawn))

    pages = pool.map(endless())
    assert drawn == 0, "nothing is drawn before somebody asks"
    for number in range(1, 21):
        assert said(next(pages)) == str(number)
        assert drawn <= number + 6, "two instances, so at most six are on their way"
    pages.close()  # type: ignore[attr-defined]
    assert drawn <= 26
    assert said(pool.read(order_png(say="after"))[0]) == "after"


def test_an_error_is_raised_in_its_place(pool: InstancePool) -> None:
    pages = pool.map([order_png(say="a"), b"no image", order_png(say="c")])
    assert said(next(pages)) == "a"
    with pytest.raises(NotAnImage):
        next(pages)
    with pytest.raises(StopIteration):
        next(pages)


def test_errors_can_be_given_instead(pool: InstancePool) -> None:
    inputs = [b"no image", order_png(say="b"), b""]
    first, second, third = pool.map(inputs, return_errors=True)
    assert isinstance(first, NotAnImage)
    assert said(second) == "b"
    assert isinstance(third, NotAnImage)


def test_every_kind_of_input(pool: InstancePool, tmp_path: Path) -> None:
    data = order_png(say="me")
    path = tmp_path / "page.png"
    path.write_bytes(data)
    picture = Image.open(io.BytesIO(data))
    import numpy as np  # noqa: PLC0415

    array = np.asarray(picture.convert("RGB"))[:, :, ::-1]
    for image in (data, bytearray(data), path, str(path), picture, array, np.asfortranarray(array)):
        (page,) = pool.read(image)  # type: ignore[arg-type]
        assert said(page) == "me", type(image)
        assert (page.width, page.height) == picture.size


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((4,), "uint8"),
        ((4, 4, 5), "uint8"),
        ((2, 4, 4, 3), "uint8"),
        ((4, 4, 3), "complex64"),
        ((4, 4, 3), "object"),
        ((0, 4, 3), "uint8"),
        ((0, 0), "float32"),
    ],
)
def test_a_wrong_array_is_told_what_it_should_be(
    pool: InstancePool, shape: tuple[int, ...], dtype: str
) -> None:
    import numpy as np  # noqa: PLC0415

    with pytest.raises(BadRequest, match=r"an array must be H×W .* H×W×4 .BGRA. of bool, integers"):
        pool.read(np.zeros(shape, dtype))


def test_an_array_over_the_limit_is_refused(pool: InstancePool) -> None:
    import numpy as np  # noqa: PLC0415

    with pytest.raises(TooLarge, match=r"admission\.maxMegapixels"):
        pool.read(np.zeros((501, 500, 3), np.uint8))


def test_parameters_go_with_the_page(pool: InstancePool) -> None:
    (page,) = pool.read(order_png(say="x"), text_det_thresh=0.5)
    assert page.lines[2].text == '{"text_det_thresh": 0.5}'


def test_submit_gives_a_future(pool: InstancePool) -> None:
    futures = [pool.submit(order_png(say=str(number))) for number in range(6)]
    assert [said(future.result(30)[0]) for future in futures] == list("012345")
    assert isinstance(pool.submit(b"").exception(30), NotAnImage)


def test_a_cancelled_future_is_dropped(pool: InstancePool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = [pool.submit(order_png(gate=str(gate))) for _ in range(2)]
    waiting = pool.submit(order_png(say="never"))
    wait_for("it waits", lambda: pool.state().queue.depth == 1)
    waiting.cancel()
    wait_for("it is dropped", lambda: pool.state().queue.depth == 0)
    gate.touch()
    for future in held:
        future.result(30)
    with pytest.raises(CancelledError):
        waiting.result(0)


def test_several_threads_share_a_pool(pool: InstancePool) -> None:
    found: dict[int, list[str]] = {}

    def read(thread: int) -> None:
        pages = pool.map(order_png(say=f"{thread}/{number}") for number in range(8))
        found[thread] = [said(page) for page in pages]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {thread: [f"{thread}/{n}" for n in range(8)] for thread in range(4)}


def test_the_number_of_instances_can_change() -> None:
    settings = SETTINGS | {"instances": {"max": 3}}
    with new_pool(1, settings=settings) as pool:
        pool.resize(3)
        wait_for("three are ready", lambda: pool.state().instances.ready == 3)
        pool.resize(1)
        wait_for("one is left", lambda: len(pool.state().instances.each) == 1)
        with pytest.raises(ValueError, match=r"0 to 3 \(instances\.max\)"):
            pool.resize(4)
        assert said(pool.read(order_png(say="on"))[0]) == "on"


def test_two_pools_in_one_program() -> None:
    with new_pool(1) as first, new_pool(1) as second:
        pages = zip(
            first.map(order_png(say=f"a{n}") for n in range(5)),
            second.map(order_png(say=f"b{n}") for n in range(5)),
            strict=True,
        )
        assert [(said(a), said(b)) for a, b in pages] == [(f"a{n}", f"b{n}") for n in range(5)]
        (ours,), (theirs,) = first.state().instances.each, second.state().instances.each
        assert ours.pid != theirs.pid


def test_a_pool_is_open_only_inside_its_block() -> None:
    pool = new_pool(1)
    never_open = (
        lambda: pool.read(order_png(say="x")),
        lambda: pool.submit(order_png(say="x")),
        lambda: list(pool.map([order_png(say="x")])),
        pool.state,
        lambda: pool.resize(1),
    )
    for use in never_open:
        with pytest.raises(RuntimeError, match="use it with `with`"):
            use()
    with pool:
        assert said(pool.read(order_png(say="x"))[0]) == "x"
    for use in never_open:
        with pytest.raises(RuntimeError, match="use it with `with`"):
            use()


def test_a_pool_that_closes_answers_what_it_still_reads(tmp_path: Path) -> None:
    gate = tmp_path / "never"
    with new_pool(1) as pool:
        futures = [pool.submit(order_png(gate=str(gate))) for _ in range(3)]
        wait_for("two wait", lambda: pool.state().queue.depth == 2)
    for future in futures:
        assert isinstance(future.exception(30), Unavailable)


def test_a_pool_that_cannot_start_raises_and_cleans_up() -> None:
    before = threading.enumerate()
    with pytest.raises(SettingsError, match="InstancePool: device:"):
        InstancePool(device="tpu")
    options = {"boot": {"raise": "ValueError:odd"}}
    with pytest.raises(BootError, match="odd"), new_pool(1, options=options):
        pass
    with pytest.raises(SettingsError, match="no engine 'none'"), InstancePool(engine="none"):
        pass
    assert set(threading.enumerate()) <= set(before)
