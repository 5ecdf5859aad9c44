"""No page shows old contents of memory: not for truncated files, and not over any endpoint.

The engine fills the instance's free memory with a mark before each page is decoded, and searches
the picture for the mark. All inputs are read twice, with different marks: the pixels must be equal.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrpool import InstancePool
from ocrpool.instance_pool import Page
from ocrpool_worker.errors import NotAnImage
from tests.worker import cut_files
from tests.worker.calls import file_request, post_json
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker

ENGINE = "tests.worker.heap:HeapEngine"
IMAGES = cut_files.images()
DOCUMENTS = cut_files.documents()
PDF_IMAGES = cut_files.pdf_images()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {"engine": {"name": ENGINE}}
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


@pytest.fixture(scope="module")
def pool() -> Iterator[InstancePool]:
    settings = {"admission": {"maxMegapixels": 0.25}, "memory": {"reserve": 0}}
    with InstancePool(engine=ENGINE, settings=settings) as pool:
        yield pool


def digests(answer: Answer) -> list[str]:
    """The digest of each page, after a check that none shows old memory."""
    assert answer.status == 200, answer
    pages = [[line["text"] for line in page["lines"]] for page in answer.json["pages"]]
    assert all(said == "clean" for said, _ in pages), pages
    return [digest for _, digest in pages]


def read_twice(worker: Worker, data: bytes) -> Answer:
    """Read it twice, with two marks in memory; the pixels must be equal. Returns the second
    answer."""
    first, second = worker.post(data), worker.post(data)
    assert digests(first) == digests(second)
    return second


def refused(worker: Worker, pool: InstancePool, data: bytes, file: Path) -> list[str]:
    """Send it to every endpoint, and check that it is refused as incomplete. Returns the
    messages."""
    plain = worker.post(data)
    assert (plain.status, plain.reason) == (422, "NotAnImage"), plain
    paddlex = post_json(worker.port, file_request(data, visualize=True))
    assert (paddlex.status, paddlex.json["errorCode"]) == (422, 422), paddlex
    messages = [plain.message, paddlex.json["errorMsg"]]
    file.write_bytes(data)
    for given in (data, file):
        with pytest.raises(NotAnImage) as error:
            pool.read(given)
        messages.append(error.value.message)
    return messages


@pytest.mark.parametrize("name", IMAGES)
def test_a_whole_file_is_read_also_with_bytes_after_its_end(worker: Worker, name: str) -> None:
    whole = read_twice(worker, IMAGES[name])
    longer = read_twice(worker, IMAGES[name] + b"\r\n" + bytes(300))
    assert digests(whole) == digests(longer)
    told = [warning["reason"] for warning in whole.json["pages"][0].get("warnings", ())]
    assert told == (["FirstFrameOnly"] if name in cut_files.ANIMATED else [])


@pytest.mark.parametrize("name", IMAGES)
def test_a_truncated_file_is_refused_over_every_endpoint(
    worker: Worker, pool: InstancePool, name: str, tmp_path: Path
) -> None:
    arrived = [worker.post(cut) for cut in cut_files.cuts(IMAGES[name])]
    assert all((answer.status, answer.reason) == (422, "NotAnImage") for answer in arrived), arrived
    messages = [answer.message for answer in arrived]
    messages += refused(worker, pool, next(cut_files.cuts(IMAGES[name])), tmp_path / "cut")
    messages += refused(worker, pool, IMAGES[name][:-2], tmp_path / "cut")
    for message in messages:
        # It says how much is there.
        assert re.search(r"arrived|ends within|damaged at its start", message), message
    assert worker.counters()["deaths"] == 0


@pytest.mark.parametrize("name", ["JPEG", "grey JPEG", "CMYK JPEG", "JPEG with restarts"])
def test_a_jpeg_that_was_cut_off_and_closed_is_refused(worker: Worker, name: str) -> None:
    data = IMAGES[name]
    answer = worker.post(data[: len(data) // 2] + b"\xff\xd9")
    assert (answer.status, answer.reason) == (422, "NotAnImage"), answer
    assert "its pixels end after 1" in answer.message  # 1xx of 240 rows


def test_pixels_that_a_decoder_skips_are_constant(worker: Worker) -> None:
    answers = [worker.post(IMAGES["PNG"], "/v1/ocr?textDetThresh=0.5") for _ in range(6)]
    assert len({digests(answer)[0] for answer in answers}) == 1
    assert digests(answers[0]) != digests(worker.post(IMAGES["PNG"]))


def test_the_message_says_how_much_arrived(worker: Worker) -> None:
    jpeg, png, bmp = IMAGES["JPEG"], IMAGES["PNG"], IMAGES["BMP"]
    assert "112 of its 240 rows" in worker.post(bmp[: 54 + 112 * 1080 + 9]).message
    assert "240 of its 240 rows arrived" in worker.post(jpeg[:-2]).message
    for data in (jpeg, png):
        message = worker.post(data[: len(data) // 2]).message
        rows = int(message.split(" of its 240 rows")[0].rsplit(" ", 1)[1])
        assert 90 < rows < 150, message


@pytest.mark.parametrize("name", DOCUMENTS)
def test_truncated_documents_are_refused_or_have_a_warning(
    worker: Worker, pool: InstancePool, name: str, tmp_path: Path
) -> None:
    whole = read_twice(worker, DOCUMENTS[name])
    assert len(digests(whole)) == 3
    assert not any("warnings" in page for page in whole.json["pages"])
    for cut in cut_files.cuts(DOCUMENTS[name]):
        if worker.post(cut).status != 200:
            refused(worker, pool, cut, tmp_path / "cut")
            continue
        # Only padding was cut off, or PDFium repaired the file and there is a warning.
        answer = read_twice(worker, cut)
        told = all("warnings" in page for page in answer.json["pages"])
        assert (name == "PDF" and told) or digests(answer) == digests(whole), answer
        assert len(cut) > len(DOCUMENTS[name]) - 20, answer
    assert worker.counters()["deaths"] == 0


def test_damaged_files_show_no_old_memory(worker: Worker) -> None:
    files = {**IMAGES, **DOCUMENTS}
    files |= {f"PDF: {name}": cut_files.pdf_with(*both) for name, both in PDF_IMAGES.items()}
    for number, name in enumerate(list(files) * 3):
        data = cut_files.damaged(random.Random(number), files[name])
        first, second = worker.post(data), worker.post(data)
        assert first.status == second.status, (number, name, first, second)
        assert first.status in (200, 413, 422), (number, name, first)
        if first.status == 200:
            assert digests(first) == digests(second), (number, name)
    assert worker.counters()["deaths"] == 0


def missing_of(answer: Answer) -> str:
    """The message of the only warning of the only page."""
    (page,) = answer.json["pages"]
    (warning,) = page["warnings"]
    assert set(warning) == {"reason", "message"}
    assert warning["reason"] == "IncompleteImage", warning
    message: str = warning["message"]
    # PDFium draws nothing of truncated run lengths.
    told = ("image 1 of the page is not complete: ", "image 1 of the page: it cannot be decoded, ")
    assert message.startswith(told), message
    return message


@pytest.mark.parametrize("name", PDF_IMAGES)
def test_a_page_of_a_pdf_with_half_an_image_is_read_with_a_warning(
    worker: Worker, pool: InstancePool, name: str
) -> None:
    data, entries = PDF_IMAGES[name]
    whole = read_twice(worker, cut_files.pdf_with(data, entries))
    assert "warnings" not in whole.json["pages"][0], whole.json
    for part in (0.3, 0.5, 0.8):
        cut = cut_files.pdf_with(data[: int(len(data) * part)], entries)
        answer = read_twice(worker, cut)
        missing_of(answer)
        (page,) = pool.read(cut)
        assert isinstance(page, Page)
        assert [warning.reason for warning in page.warnings] == ["IncompleteImage"]
        # PaddleX's shape has no field for it.
        paddlex = post_json(worker.port, file_request(cut, visualize=False))
        assert paddlex.status == 200
        (result,) = paddlex.json["result"]["ocrResults"]
        assert set(result) == {"prunedResult"}
        assert result["prunedResult"]["rec_texts"][0] == "clean"


def test_a_jpeg_in_a_pdf_that_was_cut_off_and_closed(worker: Worker) -> None:
    data, entries = PDF_IMAGES["JPEG"]
    cut = cut_files.pdf_with(data[: len(data) // 2] + b"\xff\xd9", entries)
    assert "its pixels end after 1" in missing_of(read_twice(worker, cut))


def test_a_pdf_that_pdfium_had_to_repair_says_so(worker: Worker) -> None:
    sound = cut_files.pdf_with(*PDF_IMAGES["JPEG"])
    repaired = read_twice(worker, sound.replace(b"startxref\n", b"startxref\n1"))
    assert digests(repaired) == digests(worker.post(sound))
    (warning,) = repaired.json["pages"][0]["warnings"]
    assert warning["reason"] == "RepairedDocument"


@pytest.mark.parametrize("part", [0.25, 0.5, 0.6])
def test_pixels_that_were_cut_before_they_were_compressed(worker: Worker, part: float) -> None:
    raw = cut_files.picture().tobytes()
    packed = zlib.compress(raw[: int(len(raw) * part)])
    answer = read_twice(worker, cut_files.pdf_with(packed, b"/Filter/FlateDecode" + cut_files.RGB))
    assert "bytes of its pixels are there" in missing_of(answer)
