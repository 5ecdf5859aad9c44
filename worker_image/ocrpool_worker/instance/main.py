"""The program of an instance.

Its arguments are the numbers of three descriptors (socket, parent pipe, shared buffer) and the
supervisor's pid. It receives the start command, builds the engine, warms it up and sends `ready`.
Then it reads one page at a time until the supervisor hangs up. It is exec'd and never forked, so
that its environment is set before any library is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocrpool_worker.decoding.document_page import (
    Document,
    DocumentPage,
    EncodedImage,
    RawImage,
    open_document,
)
from ocrpool_worker.engine.base import Engine, EngineContext, Reading, load_engine
from ocrpool_worker.engine.faults import FaultKind, classify_error
from ocrpool_worker.errors import (
    BadRequest,
    NotAnImage,
    OcrPoolError,
    RequestError,
    TooLarge,
    Unavailable,
)
from ocrpool_worker.instance import answers
from ocrpool_worker.instance.memory import ResidentMemory, limit_data, preferred_oom_victim
from ocrpool_worker.instance.parent_watch import exit_with_parent
from ocrpool_worker.instance.progress import ProgressReporter
from ocrpool_worker.instance.warmup import warm_up_pages
from ocrpool_worker.ipc.frames import ChannelClosed, InstanceChannel
from ocrpool_worker.ipc.shared_buffer import SharedBufferReader

EXIT_STARTUP_FAILED = 3


class InstanceServer:
    """Serves one supervisor over one channel."""

    def __init__(self, channel: InstanceChannel, buffer: SharedBufferReader) -> None:
        self._channel = channel
        self._buffer = buffer
        self._max_pixels = 0
        self._progress = ProgressReporter(self._report_progress, interval=1.0)
        self._resident = ResidentMemory()
        self._limited = False
        # The document of the last page, by its request's number: its next page often comes here.
        self._document: tuple[int, Document] | None = None

    def start(self) -> Engine:
        """Build and warm up the engine. Any exception is a failed startup."""
        command = self._channel.receive().head
        self._max_pixels = int(command["maxPixels"])
        self._progress = ProgressReporter(
            self._report_progress, interval=float(command["progressSeconds"])
        )
        context = EngineContext(
            device=command["device"],
            options=command["options"],
            models={role: Path(folder) for role, folder in command["models"].items()},
            cpu_threads=int(command["cpuThreads"]),
            max_regions=int(command["maxRegions"]),
            progress=self._progress,
        )
        started = time.monotonic()
        engine = load_engine(command["engine"])(context)
        built = time.monotonic()
        if command["dataLimit"] is not None and engine.device_memory() is None:
            limit_data(command["dataLimit"])
            self._limited = True
        # The last one's time counts: the first one also includes one-time initialisation.
        for page in warm_up_pages(self._max_pixels):
            self._progress.begin()
            engine.read_page(page, {})
            self._progress.end()
        warm = time.monotonic()
        # The garbage collector need not visit objects that live as long as the process.
        gc.collect()
        gc.freeze()
        self._channel.send(
            {
                "op": "ready",
                "buildSeconds": built - started,
                "warmSeconds": warm - built,
                "pageSeconds": self._progress.longest,
                **self._memory(engine),
            }
        )
        return engine

    def fault_of(self, error: BaseException) -> FaultKind:
        """The kind of an engine's error."""
        return classify_error(error, limited=self._limited)

    def serve(self, engine: Engine) -> None:
        """Answer commands until the supervisor hangs up (ChannelClosed)."""
        while True:
            command = self._channel.receive().head
            self._buffer.take(int(command["number"]))
            self._progress.begin(int(command["number"]))
            started = time.monotonic()
            try:
                head, payload = self._answer(engine, command)
            except RequestError as error:
                head = {
                    "op": "refused",
                    "reason": error.reason,
                    "status": error.status,
                    "message": error.message,
                    "field": error.field,
                    "limit": error.limit,
                }
                payload = b""
            except Exception as error:
                # An engine may raise anything. KeyboardInterrupt and SystemExit end the process.
                text = " ".join(str(error).split()) or type(error).__name__
                kind = self.fault_of(error)
                head = {"op": "fault", "fault": kind, "message": f"{type(error).__name__}: {text}"}
                payload = b""
            self._progress.end()
            head |= {
                "number": command["number"],
                "seconds": time.monotonic() - started,
                **self._memory(engine),
            }
            self._channel.send(head, payload)

    def _report_progress(self, number: int) -> None:
        if self._buffer.is_cancelled(number):
            raise Unavailable("no client waits for this page any more")
        self._channel.send({"op": "progress", "number": number})

    def _answer(self, engine: Engine, command: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        size, kind = int(command["size"]), command["kind"]
        if kind in ("pdf", "tiff"):
            document = self._open(int(command["request"]), kind, size)
            if command["op"] == "inspect":
                return self._inspect(document, command), b""
            page = DocumentPage(document, int(command["page"]))
            return self._read(engine, command, page)
        self._document = None
        data = self._buffer.view(size)
        if kind == "pixels":
            return self._read(engine, command, RawImage(data, tuple(command["shape"])))
        return self._read(engine, command, EncodedImage(data, self._max_pixels))

    def _open(self, request: int, kind: str, size: int) -> Document:
        if self._document is not None and self._document[0] == request:
            return self._document[1]
        self._document = None
        # A copy: the document is kept for its next pages, and the buffer gets other bodies.
        data = bytes(self._buffer.view(size))
        document = open_document(kind, data, self._max_pixels)
        self._document = (request, document)
        return document

    def _inspect(self, document: Document, command: Mapping[str, Any]) -> dict[str, Any]:
        # No sizes where there are more pages than allowed: a wrong count must not cost time.
        count = document.count
        known = range(count) if count <= command["maxPages"] else ()
        return {
            "op": "inspected",
            "count": count,
            "sizes": [_size(document, index, command["form"]) for index in known],
        }

    def _read(
        self,
        engine: Engine,
        command: Mapping[str, Any],
        page: EncodedImage | RawImage | DocumentPage,
    ) -> tuple[dict[str, Any], bytes]:
        params = command["params"]
        refusal = engine.unsupported_reason(params)
        if refusal is not None:
            raise BadRequest(refusal)
        reading: Reading = engine.read_page(page, params)
        complete = command["form"] == "paddlex" and reading.raw is not None
        if params.get("return_word_box") and not complete and answers.lacks_words(reading):
            raise BadRequest(
                "returnWordBox was asked for, and the engine returns no words; leave it out",
                field="returnWordBox",
            )
        if page.decoded is not None:
            height, width = page.decoded.shape[:2]
        else:  # an engine that decoded nothing
            width, height = command["width"], command["height"]
        if command["form"] == "paddlex":
            payload = answers.page_paddlex(reading, page.pixels() if command["pictures"] else None)
        else:
            warnings = (*page.warnings, *reading.warnings)
            payload = answers.page_lines(reading, width, height, warnings)
        return {"op": "done", "width": width, "height": height}, payload

    def _memory(self, engine: Engine) -> dict[str, Any]:
        now, peak = self._resident.measure()
        return {"rss": now, "rssPeak": peak, "device": engine.device_memory()}


def _size(document: Document, index: int, form: str) -> tuple[int, int]:
    """In pixels. (0, 0) for a page that cannot be read: the error is reported when it is read.
    Raises the error now for PaddleX's answer, which has no place for it."""
    try:
        return document.size(index)
    except (NotAnImage, TooLarge):
        if form == "paddlex":
            raise
        return 0, 0


def main(arguments: list[str]) -> int:
    descriptor, parent_pipe, buffer, supervisor = (int(argument) for argument in arguments)
    exit_with_parent(supervisor, parent_pipe)
    # Ctrl-C in a terminal reaches the whole group. The supervisor stops its instances itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for inherited in (descriptor, parent_pipe, buffer):
        os.set_inheritable(inherited, False)
    channel = InstanceChannel(socket.socket(fileno=descriptor))
    instance = InstanceServer(channel, SharedBufferReader(buffer))
    try:
        try:
            with preferred_oom_victim():
                engine = instance.start()
        except ChannelClosed:
            return 0
        except BaseException as error:
            text = " ".join(str(error).split()) or "no message"
            expected = isinstance(error, OcrPoolError)
            message = text if expected else f"{type(error).__name__}: {text}"
            with contextlib.suppress(ChannelClosed):
                channel.send(
                    {"op": "failed", "fault": instance.fault_of(error), "message": message}
                )
            return EXIT_STARTUP_FAILED
        instance.serve(engine)
    except ChannelClosed:
        pass
    # Without the interpreter's shutdown, in which native libraries crash. There is nothing to save.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
