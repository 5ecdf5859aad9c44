"""The pool for programs, without a server.

    with InstancePool(instances=4, device="gpu:0", models="models") as pool:
        for page in pool.map(images):
            print(page.text)

An image is a path, the bytes of a file, a binary file object (read from its position on), a NumPy
array as OpenCV reads it, or a Pillow image of any mode. An array is H×W or H×W×1 (grey), H×W×2
(grey, alpha), H×W×3 (BGR) or H×W×4 (BGRA), of uint8, of other integers, of floats or of bool;
`docs/pages.md` says how it is made a page, the same as a file of that picture. Documents (PDF, TIFF
of several frames) have several pages: `read` gives them all.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

from ocrpool.inputs import file_bytes, page_of, several, taken
from ocrpool.protocol import State
from ocrpool_worker.admission import admit, check_scaling
from ocrpool_worker.devices import probe_for
from ocrpool_worker.engine.base import Line, PageWarning, Word
from ocrpool_worker.errors import RequestError
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import WorkerSettings, settings_from
from ocrpool_worker.supervisor.requests import PageAnswer, RequestSpec
from ocrpool_worker.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

    Input = str | os.PathLike[str] | Buffer | BinaryIO | NDArray[Any] | PillowImage

__all__ = ["AsyncInstancePool", "InstancePool", "Line", "Page", "PageWarning", "Word"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Page:
    """What was read on one page. `source` is the index of its input in `map`, `number` its index
    in that document; both start at 0. Sizes and polygons are in pixels. `warnings` say what is
    missing on a page that was read all the same, such as a part of a picture in a PDF. `error`:
    why this page of a document cannot be read; it has no lines then, and its sizes are 0.

    `angle`: degrees counter-clockwise by which the page was turned to be read, None where no model
    looked for it; polygons are in the page as it was given. `unwarped`: it was flattened before it
    was read, and polygons are in the flattened page."""

    width: int
    height: int
    lines: tuple[Line, ...]
    source: int = 0
    number: int = 0
    warnings: tuple[PageWarning, ...] = ()
    angle: int | None = None
    unwarped: bool = False
    error: RequestError | None = None

    @property
    def text(self) -> str:
        """All lines, one under the other."""
        return "\n".join(line.text for line in self.lines)


class AsyncInstancePool:
    """Several OCR processes in an asyncio program. Use it with `async with`."""

    def __init__(
        self,
        *,
        instances: int = 1,
        device: str = "cpu",
        models: str | os.PathLike[str] | None = None,
        engine: str = "paddleocr",
        options: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`models`: a folder of staged models; `options` go to the engine as they are; `settings`:
        anything else, in the words of the worker's settings file. Raises SettingsError."""
        raw: dict[str, Any] = {**(settings or {})}
        raw["device"] = device
        named = {"name": engine, "options": dict(options or {})}
        raw["engine"] = {**dict(raw.get("engine") or {}), **named}
        if models is not None:
            raw["models"] = {"dir": os.fspath(models)}
        counts = {"min": instances, "max": max(1, instances)}
        raw["instances"] = {**counts, **dict(raw.get("instances") or {})}
        # The program waits for its own turn; it is never told to come back later.
        window = 2 * max(1, instances) + 2
        raw["admission"] = {"queue": 10**6, **dict(raw.get("admission") or {})}
        self._settings: WorkerSettings = settings_from(raw, origin="InstancePool")
        self._instances = instances
        self._window = window
        self._pool: Supervisor | None = None

    async def __aenter__(self) -> Self:
        """Start the instances and wait for the first warm one. Raises BootError."""
        pool = Supervisor(
            self._settings, probe=probe_for(self._settings.device), instances=self._instances
        )
        pool.start()
        try:
            await pool.wait_until_ready()
        except BaseException:
            await pool.close()
            raise
        self._pool = pool
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def read(self, image: Input, *, return_errors: bool = False, **params: Any) -> list[Page]:
        """All pages of one image or document. `params` are PaddleOCR's, such as
        `text_det_thresh`. Raises a RequestError; RuntimeError outside of `async with`.

        A page of a document that cannot be read raises its error as well, so that no text is lost
        unnoticed; with `return_errors` it has it as `error`, and the others their text. Where no
        page can be read the error is raised in any case.
        """
        pages = await self._read(image, params, 0)
        return pages if return_errors else [_sound(page) for page in pages]

    async def map(
        self, images: Iterable[Input], *, return_errors: bool = False, **params: Any
    ) -> AsyncIterator[Page | RequestError]:
        """Pages in the order of their inputs, read side by side; inputs are drawn as needed.

        An input that fails raises its RequestError in its place, or, with `return_errors`, is
        given as that error and the rest goes on: a path that is not there (UnreadableInput) as well
        as a file that is no image, or an object that is none of the kinds above. So does one page
        of a document: with `return_errors` it is a page with `error`. Each input is taken as it is
        when it is drawn: a file object may be closed, and an array filled anew, before the next.
        What `images` itself raises is raised, after the pages before it.
        """
        running: deque[asyncio.Task[list[Page | RequestError]]] = deque()
        limits = self._settings.admission

        async def read(image: Input, source: int, now: asyncio.Event) -> list[Page | RequestError]:
            try:
                image = await asyncio.to_thread(taken, image, limits)
            finally:
                now.set()
            return await self._found(image, params, source)

        begun = asyncio.Event()

        def begin(image: Input, source: int) -> asyncio.Task[list[Page | RequestError]]:
            begun.clear()
            return asyncio.ensure_future(read(image, source, begun))

        try:
            for found in _in_order(images, begin, running, self._window):
                if found is None:
                    await begun.wait()
                    continue
                for page in await found:
                    yield page if return_errors else _sound(page)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def resize(self, instances: int) -> None:
        """Ask for another number of instances, up to `instances.max`. Raises ValueError."""
        self._open().set_target(instances)

    def state(self) -> State:
        """What the worker's `GET /v1/state` would say."""
        return self._open().state()

    def _open(self) -> Supervisor:
        if self._pool is None:
            raise RuntimeError("the pool is not open; use it with `with` or `async with`")
        return self._pool

    async def _found(
        self, image: Input, params: Mapping[str, Any], source: int
    ) -> list[Page | RequestError]:
        """The pages of one input of `map`, or its error."""
        try:
            return [*await self._read(image, params, source)]
        except RequestError as error:
            return [error]

    async def _read(self, image: Input, params: Mapping[str, Any], source: int) -> list[Page]:
        pool = self._open()
        data, spec = await asyncio.to_thread(_request_spec, image, params, self._settings)
        answers = await pool.process(data, spec)
        return [_page(answer, source, number) for number, answer in enumerate(answers)]


class InstancePool:
    """The same for programs without asyncio: its event loop runs in a thread of its own.

    Takes the arguments of AsyncInstancePool. Safe to use from several threads.
    """

    def __init__(self, **arguments: Any) -> None:
        self._pool = AsyncInstancePool(**arguments)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ocrpool", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait(self._pool.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._wait(self._pool.__aexit__(kind, error, trace))
        finally:
            self._stop()

    def submit(
        self, image: Input, *, return_errors: bool = False, **params: Any
    ) -> concurrent.futures.Future[list[Page]]:
        """Start to read one input as it is now; the future gives its pages, or raises its
        RequestError. See AsyncInstancePool.read."""
        now = taken(image, self._pool._settings.admission)
        return self._begin(self._pool.read(now, return_errors=return_errors, **params))

    def read(self, image: Input, *, return_errors: bool = False, **params: Any) -> list[Page]:
        """All pages of one image or document. Raises a RequestError. See AsyncInstancePool.read."""
        return self._wait(self._pool.read(image, return_errors=return_errors, **params))

    def map(
        self, images: Iterable[Input], *, return_errors: bool = False, **params: Any
    ) -> Iterator[Page | RequestError]:
        """See AsyncInstancePool.map. `images` is drawn from in the caller's thread."""
        running: deque[concurrent.futures.Future[list[Page | RequestError]]] = deque()
        limits = self._pool._settings.admission

        def begin(
            image: Input, source: int
        ) -> concurrent.futures.Future[list[Page | RequestError]]:
            now = taken(image, limits)
            return self._begin(self._pool._found(now, params, source))

        try:
            for found in _in_order(images, begin, running, self._pool._window):
                if found is None:
                    continue
                for page in found.result():
                    yield page if return_errors else _sound(page)
        finally:
            for future in running:
                future.cancel()

    def resize(self, instances: int) -> None:
        """Ask for another number of instances, up to `instances.max`. Raises ValueError."""
        self._call(lambda: self._pool.resize(instances))

    def state(self) -> State:
        """What the worker's `GET /v1/state` would say."""
        return self._call(self._pool.state)

    def _call(self, function: Callable[[], _T]) -> _T:
        async def call() -> _T:
            return function()

        return self._wait(call())

    def _begin(self, coroutine: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        if not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("the pool is not open; use it with `with`")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        future = self._begin(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        with contextlib.suppress(RuntimeError):
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def _in_order(
    images: Iterable[Input], begin: Callable[[Input, int], _T], running: deque[_T], window: int
) -> Iterator[_T | None]:
    """What `begin` made of each input, in order; up to `window` of them are begun ahead, and those
    that nobody has asked for yet are in `running`. None comes after each that was begun: the next
    is not drawn before it was taken. What `images` raises comes after the inputs that it gave
    before."""
    drawing = several(images)
    failed: Exception | None = None
    for source in itertools.count():
        try:
            image = next(drawing)
        except StopIteration:
            break
        except Exception as error:
            failed = error
            break
        running.append(begin(image, source))
        yield None
        if len(running) == window:
            yield running.popleft()
    while running:
        yield running.popleft()
    if failed is not None:
        raise failed


def _request_spec(
    image: Input, params: Mapping[str, Any], settings: WorkerSettings
) -> tuple[Buffer, RequestSpec]:
    """The bytes to hand over and what they are. Raises a RequestError."""
    limits = settings.admission
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


def _sound(found: Page | RequestError) -> Page:
    """Raises an error, also that of a page that could not be read."""
    if isinstance(found, RequestError):
        raise found
    if found.error is not None:
        raise found.error
    return found


def _line(item: Mapping[str, Any]) -> Line:
    words = tuple(Word(word["text"], _polygon(word)) for word in item.get("words", ()))
    return Line(item["text"], item["score"], _polygon(item), words)


def _polygon(item: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in item["polygon"])


def _page(answer: PageAnswer, source: int, number: int) -> Page:
    found = json.loads(answer.json)
    lines = tuple(_line(item) for item in found["lines"])
    warnings = tuple(PageWarning(**each) for each in found.get("warnings", ()))
    return Page(
        answer.width,
        answer.height,
        lines,
        source,
        number,
        warnings,
        found.get("angle"),
        found.get("unwarped", False),
        answer.error,
    )
