"""The instance's program, started by the supervisor with the numbers of three descriptors (socket,
parent_pipe, shared_buffer) and the supervisor's pid.

Boot: tie to the supervisor, receive the order, build the engine, warm it up, say `ready`. Then
one page at a time until the supervisor hangs up. It is exec'd, never forked, with its environment
set before any library is loaded.
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
from ocrpool_worker.instance.memory import Resident, first_to_go, limit_data
from ocrpool_worker.instance.parent_watch import die_with
from ocrpool_worker.instance.progress import Progress
from ocrpool_worker.instance.warmup import warm_up_pages
from ocrpool_worker.ipc.frames import ChannelClosed, InstanceChannel
from ocrpool_worker.ipc.shared_buffer import SharedBufferReader

EXIT_BOOT_FAILED = 3


class Instance:
    """Serves one supervisor over one channel."""

    def __init__(self, channel: InstanceChannel, shared_buffer: SharedBufferReader) -> None:
        self._channel = channel
        self._mailbox = shared_buffer
        self._max_pixels = 0
        self._progress = Progress(self._tell_progress, interval=1.0)
        self._resident = Resident()
        self._limited = False
        # The document that was read from last: its next page is likely to be asked for here.
        self._document: tuple[int, Document] | None = None

    def boot(self) -> Engine:
        """Build and warm up the engine. Any exception is a failed boot."""
        order = self._channel.receive().head
        self._max_pixels = int(order["maxPixels"])
        self._progress = Progress(self._tell_progress, interval=float(order["progressSeconds"]))
        context = EngineContext(
            device=order["device"],
            options=order["options"],
            models={role: Path(folder) for role, folder in order["models"].items()},
            cpu_threads=int(order["cpuThreads"]),
            max_regions=int(order["maxRegions"]),
            progress=self._progress,
        )
        started = time.monotonic()
        engine = load_engine(order["engine"])(context)
        built = time.monotonic()
        if order["dataLimit"] is not None and engine.device_memory() is None:
            limit_data(order["dataLimit"])
            self._limited = True
        # The last of them counts: the first also pays for what is made once.
        for page in warm_up_pages(self._max_pixels):
            self._progress.begin()
            engine.read_page(page, {})
            self._progress.end()
        warm = time.monotonic()
        # What was made while booting lives as long as the process: not worth looking at again.
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

    def fault(self, error: BaseException) -> FaultKind:
        """What an error of the engine means here."""
        return classify_error(error, limited=self._limited)

    def serve(self, engine: Engine) -> None:
        """Answer until the supervisor hangs up (ChannelClosed)."""
        while True:
            order = self._channel.receive().head
            self._mailbox.take(int(order["number"]))
            self._progress.begin(int(order["number"]))
            started = time.monotonic()
            try:
                head, payload = self._answer(engine, order)
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
                # Whatever the engine raises, a KeyboardInterrupt or SystemExit aside.
                text = " ".join(str(error).split()) or type(error).__name__
                kind = self.fault(error)
                head = {"op": "fault", "fault": kind, "message": f"{type(error).__name__}: {text}"}
                payload = b""
            self._progress.end()
            head |= {
                "number": order["number"],
                "seconds": time.monotonic() - started,
                **self._memory(engine),
            }
            self._channel.send(head, payload)

    def _tell_progress(self, number: int) -> None:
        if self._mailbox.given_up(number):
            raise Unavailable("nobody waits for this page any more")
        self._channel.send({"op": "progress", "number": number})

    def _answer(self, engine: Engine, order: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        size, kind = int(order["size"]), order["kind"]
        if kind in ("pdf", "tiff"):
            document = self._opened(int(order["job"]), kind, size)
            if order["op"] == "inspect":
                return self._inspect(document, order), b""
            page = DocumentPage(document, int(order["page"]))
            return self._read(engine, order, page)
        self._document = None
        data = self._mailbox.view(size)
        if kind == "pixels":
            return self._read(engine, order, RawImage(data, tuple(order["shape"])))
        return self._read(engine, order, EncodedImage(data, self._max_pixels))

    def _opened(self, job: int, kind: str, size: int) -> Document:
        if self._document is not None and self._document[0] == job:
            return self._document[1]
        self._document = None
        # A copy: the document is kept for its next pages, the buffer is not ours for so long.
        data = bytes(self._mailbox.view(size))
        document = open_document(kind, data, self._max_pixels)
        self._document = (job, document)
        return document

    def _inspect(self, document: Document, order: Mapping[str, Any]) -> dict[str, Any]:
        # Sizes only of as many pages as may be admitted: a lying count must not cost time.
        count = document.count
        known = range(count) if count <= order["maxPages"] else ()
        return {
            "op": "inspected",
            "count": count,
            "sizes": [_size(document, index, order["form"]) for index in known],
        }

    def _read(
        self,
        engine: Engine,
        order: Mapping[str, Any],
        page: EncodedImage | RawImage | DocumentPage,
    ) -> tuple[dict[str, Any], bytes]:
        params = order["params"]
        refusal = engine.unsupported_reason(params)
        if refusal is not None:
            raise BadRequest(refusal)
        reading: Reading = engine.read_page(page, params)
        given = order["form"] == "paddlex" and reading.raw is not None
        if params.get("return_word_box") and not given and answers.lacks_words(reading):
            raise BadRequest(
                "returnWordBox was asked for, and the engine gives no words; leave it out",
                field="returnWordBox",
            )
        if page.decoded is not None:
            height, width = page.decoded.shape[:2]
        else:  # an engine that looked at no pixel
            width, height = order["width"], order["height"]
        if order["form"] == "paddlex":
            payload = answers.page_paddlex(reading, page.pixels() if order["pictures"] else None)
        else:
            warnings = (*page.warnings, *reading.warnings)
            payload = answers.page_lines(reading, width, height, warnings)
        return {"op": "done", "width": width, "height": height}, payload

    def _memory(self, engine: Engine) -> dict[str, Any]:
        now, peak = self._resident.read()
        return {"rss": now, "rssPeak": peak, "device": engine.device_memory()}


def _size(document: Document, index: int, form: str) -> tuple[int, int]:
    """In pixels; none for a page that cannot be read, which is told when it is its turn, unless
    the answer has no place for that."""
    try:
        return document.size(index)
    except (NotAnImage, TooLarge):
        if form == "paddlex":
            raise
        return 0, 0


def main(arguments: list[str]) -> int:
    descriptor, parent_pipe, shared_buffer, supervisor = (int(argument) for argument in arguments)
    die_with(supervisor, parent_pipe)
    # Ctrl-C in a terminal reaches the whole group; ending instances is the supervisor's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for inherited in (descriptor, parent_pipe, shared_buffer):
        os.set_inheritable(inherited, False)
    channel = InstanceChannel(socket.socket(fileno=descriptor))
    instance = Instance(channel, SharedBufferReader(shared_buffer))
    try:
        try:
            with first_to_go():
                engine = instance.boot()
        except ChannelClosed:
            return 0
        except BaseException as error:
            text = " ".join(str(error).split()) or "no message"
            expected = isinstance(error, OcrPoolError)
            message = text if expected else f"{type(error).__name__}: {text}"
            with contextlib.suppress(ChannelClosed):
                channel.send({"op": "failed", "fault": instance.fault(error), "message": message})
            return EXIT_BOOT_FAILED
        instance.serve(engine)
    except ChannelClosed:
        pass
    # Not through the interpreter's end: native libraries are known to crash there, and nothing
    # here is worth saving.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
