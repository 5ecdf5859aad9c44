"""Pages of the regular clients: no two are alike, and each has exactly one right answer."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fake_engine import order_png, tiff_of
from tools.bench.labs.hostile.engine import SECRET, text_of
from tools.bench.lib.payload import http_request, json_body

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels


@dataclass(frozen=True)
class CheckedRequest:
    """`data`: the whole HTTP request. `texts`: the first line of each page of the right answer, or
    with `all_lines` all its lines."""

    number: int
    data: bytes
    texts: tuple[str, ...]
    all_lines: bool = False


def checked_requests(seed: int, **order: Any) -> Iterator[CheckedRequest]:
    """An endless series of requests; number n depends on `seed` and n only. `order`: what the
    engine does with each page."""
    number = 0
    while True:
        yield checked_request(random.Random(f"{seed}/{number}"), number, **order)
        number += 1


def checked_request(dice: random.Random, number: int, **order: Any) -> CheckedRequest:
    """One request: a PNG, or a TIFF of two pages; as it is, or in JSON; with or without a
    parameter."""
    threshold = round(dice.random(), 3) if dice.random() < 0.4 else None
    orders = [{"say": f"{number} {dice.random()}", **order}]
    if dice.random() < 0.1:
        orders.append({"say": f"{number} {dice.random()}", **order})
        data = tiff_of(orders)
    else:
        data = order_png(**orders[0])
    given = {} if threshold is None else {"text_det_thresh": threshold}
    texts = tuple(text_of(pixels_of(order_png(**one)), given) for one in orders)
    if dice.random() < 0.4:
        body = json.loads(json_body(data))
        del body["fileType"]  # a TIFF may be a document
        if threshold is not None:
            body["textDetThresh"] = threshold
        sent = http_request("/ocr", json.dumps(body).encode(), "application/json")
    else:
        path = "/v1/ocr" if threshold is None else f"/v1/ocr?textDetThresh={threshold}"
        sent = http_request(path, data, "application/octet-stream")
    return CheckedRequest(number, sent, texts)


def pixels_of(image: bytes) -> Pixels:
    """The pixels that a decoder must return for a lossless image: H×W×3 uint8 BGR."""
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    rgb = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
    return np.ascontiguousarray(rgb[:, :, ::-1])


def texts_in(body: bytes, *, all_lines: bool) -> tuple[str, ...]:
    """The first line of each page of an answer of either endpoint, or all its lines."""
    found = json.loads(body)
    if "pages" in found:
        pages = [[line["text"] for line in page["lines"]] for page in found["pages"]]
    else:
        pages = [page["prunedResult"]["rec_texts"] for page in found["result"]["ocrResults"]]
    return tuple("\n".join(page) if all_lines else page[0] for page in pages)


def secret_page(width: int, height: int) -> bytes:
    """A PNG whose pixels, as BGR, repeat `SECRET`. It fills the heap of the process that decodes
    it."""
    from PIL import Image  # noqa: PLC0415

    size = width * height * 3
    filling = bytearray((SECRET * (size // len(SECRET) + 1))[:size])
    filling[0::3], filling[2::3] = filling[2::3], filling[0::3]
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), bytes(filling)).save(out, "PNG", compress_level=1)
    return out.getvalue()
