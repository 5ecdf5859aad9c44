"""The OCR pool for Python programs, without a server.

    with InstancePool(instances=4, device="gpu:0", models="models") as pool:
        for page in pool.map(images):
            print(page.text)

An image is a path, the bytes of a file, a binary file object (read from its position on), a NumPy
array as OpenCV reads it, or a Pillow image of any mode. An array is H×W or H×W×1 (grey), H×W×2
(grey, alpha), H×W×3 (BGR) or H×W×4 (BGRA), of uint8, of other integers, of floats or of bool.
`docs/pages.md` describes the conversion, which is the one for files. Documents (PDF, TIFF with
several frames) have several pages: `read` returns them all.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

from ocrpool.inputs import iterate_inputs, request_of, snapshot
from ocrpool.page import Page, page_from_answer, raise_error
from ocrpool.protocol import State
from ocrpool.read_ahead import in_order
from ocrpool_worker.devices import probe_for
from ocrpool_worker.engine.base import Line, PageWarning, Word
from ocrpool_worker.errors import RequestError
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import WorkerSettings, settings_from
from ocrpool_worker.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

    Input = str | os.PathLike[str] | Buffer | BinaryIO | NDArray[Any] | PillowImage

__all__ = [
    "AsyncInstancePool",
    "InstancePool",
    "Line",
    "Page",
    "PageWarning",
    "RequestError",
    "Word",
]

_T = TypeVar("_T")


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
        """`models`: a folder of staged models. `options` are passed to the engine unchanged.
        `settings`: any other settings, with the keys of the worker's settings file. Raises
        SettingsError."""
        raw: dict[str, Any] = {**(settings or {})}
        raw["device"] = device
        named = {"name": engine, "options": dict(options or {})}
        raw["engine"] = {**dict(raw.get("engine") or {}), **named}
        if models is not None:
            raw["models"] = {"dir": os.fspath(models)}
        counts = {"min": instances, "max": max(1, instances)}
        raw["instances"] = {**counts, **dict(raw.get("instances") or {})}
        # The program waits for its turn; its requests are never rejected for a full queue.
        window = 2 * max(1, instances) + 2
        raw["admission"] = {"queue": 10**6, **dict(raw.get("admission") or {})}
        self._settings: WorkerSettings = settings_from(raw, origin="InstancePool")
        self._instances = instances
        self._window = window
        self._supervisor: Supervisor | None = None

    async def __aenter__(self) -> Self:
        """Start the instances and wait until the first one is warm. Raises BootError."""
        supervisor = Supervisor(
            self._settings, probe=probe_for(self._settings.device), instances=self._instances
        )
        supervisor.start()
        try:
            await supervisor.wait_until_ready()
        except BaseException:
            await supervisor.close()
            raise
        self._supervisor = supervisor
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._supervisor is not None:
            supervisor, self._supervisor = self._supervisor, None
            await supervisor.close()

    async def read(self, image: Input, *, return_errors: bool = False, **params: Any) -> list[Page]:
        """All pages of one image or document.

        `params` are PaddleOCR's, such as `text_det_thresh`. A page of a document that cannot be
        read raises its error, so that no text is lost unnoticed; with `return_errors` the page has
        it as `error`, and the other pages have their text. If no page can be read, the error is
        raised in any case. Raises a RequestError, or RuntimeError outside of `async with`.
        """
        pages = await self._read(image, params, 0)
        return pages if return_errors else [raise_error(page) for page in pages]

    async def map(
        self, images: Iterable[Input], *, return_errors: bool = False, **params: Any
    ) -> AsyncIterator[Page | RequestError]:
        """Pages in the order of their inputs, read in parallel. Inputs are drawn as needed.

        A failed input raises its RequestError in its place; with `return_errors` the error is
        yielded instead and the other inputs are read. This holds for a missing path
        (UnreadableInput), a file that is no image, and an object of an unsupported type. A page of
        a document that cannot be read is yielded with `error`. Each input is copied when it is
        drawn: a file object may be closed, and an array refilled, before the next one. An error
        that `images` raises is raised after the pages of the inputs before it.
        """
        running: deque[asyncio.Task[list[Page | RequestError]]] = deque()
        limits = self._settings.admission

        async def read(
            image: Input, source: int, copied: asyncio.Event
        ) -> list[Page | RequestError]:
            try:
                image = await asyncio.to_thread(snapshot, image, limits)
            finally:
                copied.set()
            return await self._pages_or_error(image, params, source)

        copied = asyncio.Event()

        def start(image: Input, source: int) -> asyncio.Task[list[Page | RequestError]]:
            copied.clear()
            return asyncio.ensure_future(read(image, source, copied))

        try:
            for result in in_order(iterate_inputs(images), start, running, self._window):
                if result is None:
                    await copied.wait()
                    continue
                for page in await result:
                    yield page if return_errors else raise_error(page)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def resize(self, instances: int) -> None:
        """Set the number of instances, up to `instances.max`. Raises ValueError."""
        self._running_supervisor().set_target(instances)

    def state(self) -> State:
        """The state that a worker's `GET /v1/state` would return."""
        return self._running_supervisor().state()

    def _running_supervisor(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("the pool is not open; use it with `with` or `async with`")
        return self._supervisor

    async def _pages_or_error(
        self, image: Input, params: Mapping[str, Any], source: int
    ) -> list[Page | RequestError]:
        """The pages of one input of `map`, or its error."""
        try:
            return [*await self._read(image, params, source)]
        except RequestError as error:
            return [error]

    async def _read(self, image: Input, params: Mapping[str, Any], source: int) -> list[Page]:
        supervisor = self._running_supervisor()
        data, spec = await asyncio.to_thread(request_of, image, params, self._settings.admission)
        answers = await supervisor.process(data, spec)
        return [page_from_answer(answer, source, number) for number, answer in enumerate(answers)]


class InstancePool:
    """The pool for programs without asyncio: its event loop runs in a thread of its own.

    It takes the arguments of AsyncInstancePool and is safe to use from several threads.
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
            self._stop_loop()
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
            self._stop_loop()

    def submit(
        self, image: Input, *, return_errors: bool = False, **params: Any
    ) -> concurrent.futures.Future[list[Page]]:
        """Copy one input and start to read it. The future has its pages, or its RequestError.

        See AsyncInstancePool.read.
        """
        copied = snapshot(image, self._pool._settings.admission)
        return self._start(self._pool.read(copied, return_errors=return_errors, **params))

    def read(self, image: Input, *, return_errors: bool = False, **params: Any) -> list[Page]:
        """All pages of one image or document. Raises a RequestError. See AsyncInstancePool.read."""
        return self._wait(self._pool.read(image, return_errors=return_errors, **params))

    def map(
        self, images: Iterable[Input], *, return_errors: bool = False, **params: Any
    ) -> Iterator[Page | RequestError]:
        """See AsyncInstancePool.map. `images` is drawn from in the caller's thread."""
        running: deque[concurrent.futures.Future[list[Page | RequestError]]] = deque()
        limits = self._pool._settings.admission

        def start(
            image: Input, source: int
        ) -> concurrent.futures.Future[list[Page | RequestError]]:
            copied = snapshot(image, limits)
            return self._start(self._pool._pages_or_error(copied, params, source))

        try:
            for result in in_order(iterate_inputs(images), start, running, self._pool._window):
                if result is None:
                    continue
                for page in result.result():
                    yield page if return_errors else raise_error(page)
        finally:
            for future in running:
                future.cancel()

    def resize(self, instances: int) -> None:
        """Set the number of instances, up to `instances.max`. Raises ValueError."""
        self._call(lambda: self._pool.resize(instances))

    def state(self) -> State:
        """The state that a worker's `GET /v1/state` would return."""
        return self._call(self._pool.state)

    def _call(self, function: Callable[[], _T]) -> _T:
        async def call() -> _T:
            return function()

        return self._wait(call())

    def _start(self, coroutine: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        if not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("the pool is not open; use it with `with`")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        future = self._start(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _stop_loop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        with contextlib.suppress(RuntimeError):
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
