"""An endless sequence of malformed requests, the same for the same seed.

`requests(seed)` yields fuzzed JSON, damaged pictures and documents, bombs, and bytes that are
hardly HTTP. A request without valid framing is `lone`: it has its own connection, and needs no
answer.
"""

from __future__ import annotations

import base64
import io
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from PIL import Image

from tests.worker import bombs

MAX_BODY = 512 * 1024


class Malformed(NamedTuple):
    """`sent` is all bytes of it; `kind` says what it is, for who must look into a failure."""

    number: int
    kind: str
    sent: bytes
    lone: bool


def requests(seed: int) -> Iterator[Malformed]:
    """Malformed requests; number n depends on `seed` and n only."""
    valid = valid_files()
    special = {**bombs.image_bombs(), **bombs.document_bombs()}
    makers: list[tuple[int, Callable[[random.Random], tuple[str, bytes, bool]]]] = [
        (36, lambda rng: _json(rng, valid)),
        (33, lambda rng: _damaged(rng, valid)),
        (6, lambda rng: _bomb(rng, special)),
        (13, _odd_http),
        (12, _no_http),
    ]
    weights = [weight for weight, _ in makers]
    number = 0
    while True:
        rng = random.Random(f"{seed}/{number}")
        ((_, make),) = rng.choices(makers, weights)
        kind, sent, lone = make(rng)
        yield Malformed(number, kind, sent, lone)
        number += 1


def http(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    """A whole request with its length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def valid_files() -> dict[str, bytes]:
    """Valid files, by format."""
    noise = random.Random(0).randbytes(40 * 30 * 3)
    picture = Image.frombytes("RGB", (40, 30), noise).resize((120, 90))
    dates = dict.fromkeys(("creationDate", "modDate"), time.gmtime(0))
    frames = [picture, picture.rotate(90)]
    files = {}
    for name, form, save in (
        ("png", "PNG", {}),
        ("jpeg", "JPEG", {}),
        ("progressive jpeg", "JPEG", {"progressive": True}),
        ("bmp", "BMP", {}),
        ("webp", "WEBP", {}),
        ("lossless webp", "WEBP", {"lossless": True}),
        ("tiff", "TIFF", {}),
        ("lzw tiff", "TIFF", {"compression": "tiff_lzw"}),
        ("jpeg tiff", "TIFF", {"compression": "jpeg"}),
        ("tiff of two", "TIFF", {"save_all": True, "append_images": frames[1:]}),
        ("big tiff", "TIFF", {"big_tiff": True}),
        ("pdf of two", "PDF", {"save_all": True, "append_images": frames[1:], **dates}),
    ):
        out = io.BytesIO()
        picture.save(out, form, **save)
        files[name] = out.getvalue()
    strokes = b"q 1 0 0 1 5 5 cm 0 0 m 40 40 l S BT /F1 9 Tf (text) Tj ET Q\n" * 5
    files["pdf of strokes"] = bombs.pdf_page(b"[0 0 60 60]", strokes)
    return files


def _damaged(rng: random.Random, valid: dict[str, bytes]) -> tuple[str, bytes, bool]:
    name = rng.choice(sorted(valid))
    data = bytearray(valid[name])
    how = rng.choice(["cut", "flipped", "spliced", "repeated", "started"])
    if how == "cut":
        del data[rng.randrange(len(data)) :]
    elif how == "flipped":
        # Half of the damage is in the first bytes, which hold the structure.
        reach = len(data) if rng.random() < 0.5 else min(len(data), 200)
        for _ in range(rng.choice([1, 2, 8, 40])):
            data[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    elif how == "spliced":
        other = valid[rng.choice(sorted(valid))]
        at = rng.randrange(len(data))
        data[at:] = other[rng.randrange(len(other)) :]
    elif how == "repeated":
        at = rng.randrange(len(data))
        data[at:at] = data[at : at + rng.choice([1, 4, 64, 1000])] * rng.choice([1, 3, 50])
    else:
        data[: rng.randrange(1, 40)] = rng.randbytes(rng.randrange(40))
    body = bytes(data[:MAX_BODY])
    if rng.random() < 0.3:
        text = json.dumps(
            {"file": base64.b64encode(body).decode(), "visualize": rng.random() < 0.1}
        )
        return f"{how} {name} in JSON", http("/ocr", text.encode()), False
    return f"{how} {name}", http("/v1/ocr", body), False


def _bomb(rng: random.Random, special: dict[str, bytes]) -> tuple[str, bytes, bool]:
    name = rng.choice(sorted(special))
    if rng.random() < 0.3:
        text = json.dumps({"file": base64.b64encode(special[name]).decode(), "visualize": False})
        return f"{name} in JSON", http("/ocr", text.encode()), False
    return name, http("/v1/ocr", special[name]), False


_FIELDS = [
    "file",
    "fileType",
    "visualize",
    "logId",
    "useDocOrientationClassify",
    "useDocUnwarping",
    "returnWordBox",
    "useTextlineOrientation",
    "textDetLimitSideLen",
    "textDetLimitType",
    "textDetThresh",
    "textDetBoxThresh",
    "textDetUnclipRatio",
    "textRecScoreThresh",
]


def _value(rng: random.Random) -> Any:
    odd: list[Any] = [
        None,
        True,
        0,
        1,
        -1,
        2**63,
        -(2**70),
        0.5,
        -0.0,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\ud800",
        "\x00",
        "文字",
        "min",
        "http://",
        "https://[::1",
        "data:image/png;base64,AAAA",
        [],
        {},
        [[]],
        {"file": {}},
    ]
    return rng.choice(odd)


def _json(rng: random.Random, valid: dict[str, bytes]) -> tuple[str, bytes, bool]:
    request: dict[str, Any] = {"visualize": False}
    if rng.random() < 0.6:
        request["file"] = base64.b64encode(valid[rng.choice(sorted(valid))]).decode()
    how = rng.choice(["values", "text", "deep", "number", "doubled", "long", "base64", "bytes"])
    if how == "values":
        for _ in range(rng.randrange(1, 6)):
            request[rng.choice(_FIELDS)] = _value(rng)
    text = json.dumps(request)
    if how == "text":
        at = rng.randrange(len(text))
        junk = rng.choice(["", '"', "}", "]", ",", ":", "\\", "\\u", "\\ud800", "\x00", "NaN", "{"])
        text = text[:at] + junk + text[at + rng.randrange(3) :]
    elif how == "deep":
        opening = rng.choice(["[", '{"a":', '[{"file":'])
        text = text[:-1] + ',"x":' + opening * rng.choice([50, 300, 5000, 40_000])
    elif how == "number":
        digits = rng.choice(["9" * 4000, "9" * 200_000, "1e" + "9" * 300, "-" + "0" * 99, "0x1F"])
        text = text[:-1] + f',"{rng.choice([*_FIELDS, "x"])}":{digits}}}'
    elif how == "doubled":
        name = rng.choice(_FIELDS)
        text = text[:-1] + f',"{name}":1' * rng.choice([2, 2000]) + "}"
    elif how == "long":
        name = rng.choice(["file", "logId", "textDetLimitType", "x", "x" * 50_000])
        text = text[:-1] + f',"{name}":"{rng.choice("A=/ é") * rng.choice([1000, 200_000])}"}}'
    elif how == "base64":
        request["file"] = rng.choice(["QQ", "Q===", "====", "\n", "é", "A" * 5, "-_-_"]) * 3
        text = json.dumps(request)
    body = text.encode("utf-8", "surrogatepass")
    if how == "bytes":
        data = bytearray(body)
        for _ in range(rng.randrange(1, 9)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        body = bytes(data)
    return f"JSON: {how}", http("/ocr", body[:MAX_BODY], "Content-Type: application/json"), False


def _odd_http(rng: random.Random) -> tuple[str, bytes, bool]:
    """Well-framed requests with unusual paths, methods and headers."""
    image = bombs.png_of(9, 9)
    how = rng.choice(["path", "query", "method", "type", "header", "headers", "encoding", "empty"])
    path, method, headers, body = "/v1/ocr", "POST", [], image
    if how == "path":
        paths = ["/", "//v1/ocr", "/v1/ocr/", "/ocr/..", "/%00", "/%ff", "/%", "/v1/%6fcr", "/é"]
        path = rng.choice([*paths, "/" + "a" * 5000, "/health?x", "/ocr#x", "/../etc/passwd"])
    elif how == "query":
        name = rng.choice(["textDetThresh", "x", "%00", "a[]", "é", "useDocUnwarping", "", "&&&"])
        path += f"?{name}={rng.choice(['', '1', 'nan', '-1', '%ff', '9' * 3000, '1e999'])}"
    elif how == "method":
        method = rng.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
    elif how == "type":
        types = ["multipart/form-data", "text/html", "a/b; charset=x", ";", "é", "x" * 3000]
        headers = [f"Content-Type: {rng.choice(types)}"]
        path = rng.choice(["/ocr", "/v1/ocr"])
    elif how == "header":
        headers = [f"X-{rng.randrange(99)}: {rng.choice(['x' * 7000, 'é', '', chr(9), '%00'])}"]
    elif how == "headers":
        headers = [f"X-{number}: {number}" for number in range(rng.choice([50, 120]))]
    elif how == "encoding":
        encodings = ["gzip", "deflate", "br", "x" * 2000, "", "identity, gzip"]
        headers = [f"Content-Encoding: {rng.choice(encodings)}"]
    else:
        body, path = b"", rng.choice(["/ocr", "/v1/ocr"])
    return f"odd HTTP: {how}", http(path, body, *headers, method=method), False


def _no_http(rng: random.Random) -> tuple[str, bytes, bool]:
    """Bytes after which a connection cannot be used again."""
    post = b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\n"
    chunks = post + b"Transfer-Encoding: chunked\r\n\r\n"
    odd = {
        "huge header": post + b"X: " + b"a" * 300_000 + b"\r\n\r\n",
        "many headers": post + b"".join(b"X%d: 1\r\n" % n for n in range(20_000)) + b"\r\n",
        "long line": b"GET /" + b"a" * 100_000,
        "HTTP/0.9": b"GET /health\r\n\r\n",
        "HTTP/9.9": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
        "garbage": rng.randbytes(rng.choice([1, 30, 3000])),
        "newlines": b"\r\n" * 500,
        "zeros": bytes(2000),
        "bad length": post + b"Content-Length: -5\r\n\r\nabc",
        "two lengths": post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "length and chunks": post
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "words as length": post + b"Content-Length: five\r\n\r\nabcde",
        "endless length": post + b"Content-Length: " + b"9" * 500 + b"\r\n\r\nabc",
        "bad chunk": chunks + b"zz\r\nabc\r\n0\r\n\r\n",
        "negative chunk": chunks + b"-1\r\nabc\r\n0\r\n\r\n",
        "huge chunk": chunks + b"f" * 16 + b"\r\nabc",
        "cut chunk": chunks + b"ff\r\nabc",
        "chunk extension": chunks + b"3;" + b"a" * 20_000 + b"\r\nabc\r\n0\r\n\r\n",
        "odd encoding": post + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "folded header": post + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "header without a name": post + b": x\r\n\r\n",
        "zero in a header": post + b"X: a\x00b\r\n\r\n",
        "upgrade": b"GET /ocr HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(30),
        "expectation": post + b"Expect: miracles\r\nContent-Length: 3\r\n\r\nabc",
        "pipelined": http("/v1/ocr", b"x") * 20 + b"\x00rubbish",
        "cut head": post[: rng.randrange(1, len(post))],
        "cut body": post + b"Content-Length: 100\r\n\r\nabc",
    }
    name = rng.choice(sorted(odd))
    return f"no HTTP: {name}", odd[name], True
