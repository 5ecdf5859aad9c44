"""Real PaddleOCR reports progress on a page with many lines, and a page that is refused for its
size is named by its number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrpool_worker.engine.base import EngineContext
from ocrpool_worker.engine.paddleocr_engine import FONT, PaddleOcrEngine
from tests.fake_engine import pdf_of, tiff_of
from tests.worker.calls import file_request, post_json
from tests.worker.harness import ROOT, start_worker

LINES = 14
# PaddleOCR's default of `text_recognition_batch_size`.
BATCH = 6

READ = """
import json, sys
from pathlib import Path
import cv2
from ocrpool_worker.engine import paddleocr_engine
from ocrpool_worker.engine.base import EngineContext
from ocrpool_worker.engine.paddleocr_engine import PaddleOcrEngine
from ocrpool_worker.models.manifest import verify

paddleocr_engine.limit_regions = lambda *_: None  # the detector says it as well
models, page = map(Path, sys.argv[1:])
told = []
context = EngineContext("cpu", {}, verify(models), 1, progress=lambda: told.append(1))
engine = PaddleOcrEngine(context)

class Page:
    def pixels(self):
        return cv2.imread(str(page))

lines = engine.read_page(Page(), {}).lines
print(json.dumps([len(lines), len(told)]))
"""


@pytest.mark.timeout(300)
def test_paddleocr_reports_progress_after_every_batch_of_lines(
    models: Path, tmp_path: Path
) -> None:
    font = ImageFont.truetype(str(FONT), 24)
    page = Image.new("RGB", (200, 40 * LINES + 40), "white")
    for row in range(LINES):
        ImageDraw.Draw(page).text((20, 20 + 40 * row), f"Line {row}", font=font, fill="black")
    page.save(tmp_path / "page.png")
    environment = PaddleOcrEngine.environment(EngineContext("cpu", {}, {}, 1))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(models), str(tmp_path / "page.png")],
        cwd=ROOT,
        env=os.environ | dict(environment),
        stdout=subprocess.PIPE,
        check=True,
    )
    lines, told = json.loads(done.stdout.splitlines()[-1])
    assert (lines, told) == (LINES, -(-LINES // BATCH))


def test_a_page_that_is_too_large_is_named(tmp_path: Path) -> None:
    """A first page within the limit, and a second one that would be scaled up too far."""
    orders = [{"say": "x" * 400}, {"say": "x"}]
    with start_worker(tmp_path) as worker:
        for document in (pdf_of(orders), tiff_of(orders)):
            answer = post_json(worker.port, file_request(document, textDetLimitSideLen=100))
            assert answer.status == 413, answer
            assert answer.json["errorMsg"].startswith("page 2: textDetLimitSideLen 100")
        answer = post_json(worker.port, file_request(tiff_of(orders[1:]), textDetLimitSideLen=100))
        assert answer.json["errorMsg"].startswith("textDetLimitSideLen 100"), answer
