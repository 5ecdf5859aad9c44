"""Whole HTTP requests in the two forms that the worker takes, and the text of its answers."""

from __future__ import annotations

import base64
import json


def http_request(path: str, body: bytes, content_type: str) -> bytes:
    """One whole HTTP/1.1 POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def json_body(data: bytes) -> bytes:
    """The JSON of `POST /ocr` for an image, as PaddleX's clients send it."""
    file = base64.b64encode(data).decode()
    return json.dumps({"file": file, "fileType": 1, "visualize": False}).encode()


def json_request(data: bytes) -> bytes:
    return http_request("/ocr", json_body(data), "application/json")


def plain_request(data: bytes) -> bytes:
    return http_request("/v1/ocr", data, "application/octet-stream")


def pages_of(answer: bytes) -> list[list[str]]:
    """The lines of every page in the body of an answer of `/v1/ocr` or of `/ocr`."""
    body = json.loads(answer)
    if "pages" in body:
        return [[line["text"] for line in page["lines"]] for page in body["pages"]]
    return [page["prunedResult"]["rec_texts"] for page in body["result"]["ocrResults"]]
