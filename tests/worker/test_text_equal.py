"""Text and positions equal those of PaddleOCR called directly, over every endpoint."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ocrpool import InstancePool
from ocrpool.instance_pool import Page
from tests.worker.calls import file_request, post_json
from tests.worker.client import Worker
from tests.worker.direct_reader import Lines, direct_reader
from tools.bench.lib.samples import document_pdf, mixed_set, sample_page

CLIENTS = 16
TIMES = 2
DOCUMENT_PAGES = 4
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages as files, named after them, and `document`."""
    folder = tmp_path_factory.mktemp("pages")
    for sample in (sample_page(), *mixed_set()):
        (folder / sample.name).write_bytes(sample.data)
    (folder / "document").write_bytes(document_pdf(DOCUMENT_PAGES))
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path, models: Path) -> dict[str, list[Lines]]:
    """The result of PaddleOCR, called directly, for each page of each file."""
    with direct_reader(models) as read:
        found = {path.name: read(path) for path in sorted(folder.iterdir())}
    assert all(lines for pages in found.values() for lines in pages), "a page without any text"
    return found


def by_body(worker: Worker, path: Path) -> list[Lines]:
    answer = worker.post(path.read_bytes(), timeout=300)
    assert answer.status == 200, answer
    pages = answer.json["pages"]
    return [[[line["text"], line["polygon"]] for line in page["lines"]] for page in pages]


def by_json(worker: Worker, path: Path) -> list[Lines]:
    answer = post_json(worker.port, file_request(path.read_bytes(), visualize=False))
    assert answer.status == 200, answer
    pages = [page["prunedResult"] for page in answer.json["result"]["ocrResults"]]
    return [
        [list(pair) for pair in zip(page["rec_texts"], page["rec_polys"], strict=True)]
        for page in pages
    ]


def test_every_page_under_16_clients(
    paddle_worker: Worker, folder: Path, expected: dict[str, list[Lines]]
) -> None:
    orders = [(path, way) for path in folder.iterdir() for way in (by_body, by_json)] * TIMES
    random.Random(7).shuffle(orders)
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda order: order[1](paddle_worker, order[0]), orders))
    wrong = {
        f"{path.name} {way.__name__}": (answer, expected[path.name])
        for (path, way), answer in zip(orders, answers, strict=True)
        if answer != expected[path.name]
    }
    assert not wrong, next(iter(wrong.items()))
    assert paddle_worker.counters()["deaths"] == 0


@pytest.fixture(scope="module")
def pool(models: Path) -> Iterator[InstancePool]:
    settings = {"admission": {"maxMegapixels": 2}}
    options = {"cpu_threads": 1}
    with InstancePool(instances=1, models=models, options=options, settings=settings) as pool:
        yield pool


def lines_of(page: Page) -> Lines:
    return [[line.text, [list(point) for point in line.polygon]] for line in page.lines]


def test_every_kind_of_input_of_the_python_api(
    pool: InstancePool, folder: Path, expected: dict[str, list[Lines]]
) -> None:
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    for name in ("photo", "card", "grey"):
        data = (folder / name).read_bytes()
        array: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        ways = {"path": folder / name, "text": str(folder / name), "bytes": data, "array": array}
        if name != "photo":  # Pillow and OpenCV decode a JPEG differently in the last bit
            ways["Pillow"] = Image.open(folder / name)
        read = {
            way: lines_of(page) for way, page in zip(ways, pool.map(ways.values()), strict=True)
        }
        assert read == dict.fromkeys(ways, expected[name][0]), name
    assert [lines_of(page) for page in pool.read(folder / "document")] == expected["document"]
