"""Single HTTP calls with any header, and raw bytes over a socket, for tests of the two ports."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
from collections.abc import Mapping

from tests.worker.client import Answer


def call(
    port: int,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float = 60,
) -> Answer:
    """One request on its own connection."""
    data = body.encode() if isinstance(body, str) else body
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=data, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def post_json(port: int, body: object, path: str = "/ocr", *, timeout: float = 300) -> Answer:
    """POST a value as JSON, or a text unchanged. Real OCR may wait long in the queue."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Content-Type": "application/json"}
    return call(port, "POST", path, text, headers, timeout=timeout)


def file_request(data: bytes, **fields: object) -> dict[str, object]:
    """The body of a `POST /ocr`."""
    return {"file": base64.b64encode(data).decode(), **fields}


def raw_exchange(port: int, sent: bytes, *, timeout: float = 30) -> bytes:
    """Send bytes and return the first response, or the bytes before the worker closed the
    connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        received = b""
        # Closing the connection is an answer to invalid bytes, too.
        with contextlib.suppress(ConnectionError):
            sock.sendall(sent)
            while not whole(received) and (chunk := sock.recv(65536)):
                received += chunk
        return received


def whole(response: bytes) -> bool:
    """Whether a response has all the bytes that it declares."""
    head, end, body = response.partition(b"\r\n\r\n")
    declared = re.search(rb"\r\nContent-Length: (\d+)", head, re.IGNORECASE)
    return bool(end) and declared is not None and len(body) >= int(declared[1])


def status_of(response: bytes) -> int:
    """The status in the first line of a raw response."""
    assert response.startswith(b"HTTP/1."), response
    return int(response.split(b" ", 2)[1])
