"""A bare aiohttp handler that decodes in place, to compare the serving layer with.

`--parser fastest` uses the fastest JSON parser and base64 decoder that are installed, timed on a
body like the real ones, instead of the standard library's.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tools.bench.compare.peers.noop_answer import noop_answer
from tools.bench.lib.payload import json_body

Loads = Callable[[bytes], Any]
Decode = Callable[[str], bytes]
_PARSERS = (("orjson", "loads"), ("msgspec.json", "decode"), ("ujson", "loads"), ("json", "loads"))
_DECODERS = (("pybase64", "b64decode"), ("binascii", "a2b_base64"), ("base64", "b64decode"))


def handler(loads: Loads | None, decode: Decode) -> Callable[[web.Request], Any]:
    async def ocr(request: web.Request) -> web.Response:
        body = await request.json() if loads is None else loads(await request.read())
        decode(body["file"])
        return web.json_response(noop_answer())

    return ocr


def fastest(candidates: tuple[tuple[str, str], ...], value: Any) -> tuple[str, Callable[..., Any]]:
    """The fastest installed function for `value`."""
    times = []
    for module, name in candidates:
        try:
            function = getattr(importlib.import_module(module), name)
        except ImportError:
            continue
        best = min(_timed(function, value) for _ in range(50))
        times.append((best, f"{module}.{name}", function))
    _, name, function = min(times, key=lambda item: item[0])
    return name, function


def _timed(function: Callable[..., Any], value: Any) -> float:
    start = time.perf_counter()
    function(value)
    return time.perf_counter() - start


async def health(request: web.Request) -> web.Response:
    return web.Response()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parser", choices=("standard", "fastest"), default="standard")
    given = parser.parse_args()
    loads: Loads | None = None
    decode: Decode = base64.b64decode
    if given.parser == "fastest":
        body = json_body(bytes(70_000))
        json_name, loads = fastest(_PARSERS, body)
        base64_name, decode = fastest(_DECODERS, json.loads(body)["file"])
        print(f"{json_name}, {base64_name}", flush=True)
    logging.getLogger("aiohttp.access").disabled = True
    app = web.Application(client_max_size=2**24)
    app.add_routes([web.post("/ocr", handler(loads, decode)), web.get("/health", health)])
    web.run_app(app, host="127.0.0.1", port=given.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
