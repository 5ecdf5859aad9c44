"""`returnWordBox`: the words of each line and their positions, in `/v1/ocr`."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ocrpool_worker.engine.paddleocr_engine import FONT
from tests.fake_engine import order_png
from tests.worker.client import Worker
from tests.worker.harness import start_worker

LINES = ("Northwind Tea 12,50", "Cr\u00e8me Caf\u00e9 1.80", "from Hamburg-Altona")
SIZE = 32


def drawn() -> tuple[bytes, list[tuple[str, float, float]]]:
    """A page of some lines, and the centre of each word."""
    font = ImageFont.truetype(str(FONT), SIZE)
    page = Image.new("RGB", (640, 330), "white")
    draw = ImageDraw.Draw(page)
    places = []
    for row, text in enumerate(LINES):
        for word in text.split():
            x, y = 100.0 + font.getlength(text[: text.index(word)]), 60.0 + 80 * row
            draw.text((x, y), word, font=font, fill="black")
            left, top, right, bottom = draw.textbbox((x, y), word, font=font)
            places.append((word, (left + right) / 2, (top + bottom) / 2))
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue(), places


def in_polygon(polygon: list[list[float]], x: float, y: float) -> bool:
    sides = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return all((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) >= 0 for (x1, y1), (x2, y2) in sides)


def test_words_are_where_they_were_drawn(paddle_worker: Worker) -> None:
    data, places = drawn()
    answer = paddle_worker.post(data, "/v1/ocr?returnWordBox=true", timeout=120)
    assert answer.status == 200, answer
    lines = answer.json["pages"][0]["lines"]
    assert [" ".join(word["text"] for word in line["words"]) for line in lines] == list(LINES)
    words = [word for line in lines for word in line["words"]]
    for word, (text, x, y) in zip(words, places, strict=True):
        assert word["text"] == text
        assert in_polygon(word["polygon"], x, y), (text, x, y, word)


def test_an_engine_without_words_answers_422(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        answer = worker.post(order_png(say="text"), "/v1/ocr?returnWordBox=true")
        assert (answer.status, answer.reason) == (422, "BadRequest"), answer
        assert answer.json["error"]["field"] == "returnWordBox"
        answer = worker.post(order_png(say="text", words=True), "/v1/ocr?returnWordBox=true")
        (line, *_) = answer.json["pages"][0]["lines"]
        assert line["words"] == [{"text": "text", "polygon": line["polygon"]}]
