"""The same picture gives the same page and text over every endpoint.

Each of `CASES` is sent over every endpoint that accepts it: `/v1/ocr`, `/ocr`, and the Python API
with bytes, a path, what Pillow opens, or the array or image itself. An engine that returns its
input shows that the page is the one that was drawn. For one case of each kind PaddleOCR reads the
word. The table in `docs/pages.md` must agree with the cases.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from PIL import Image

from ocrpool import InstancePool
from ocrpool.instance_pool import Page
from ocrpool_worker.errors import NotAnImage
from tests.worker import (
    newer_pictures,
    pdf_pictures,
    pictures,
    program_pictures,
    tiff_pictures,
    tiffs,
)
from tests.worker.calls import file_request, post_json
from tests.worker.client import Answer
from tests.worker.harness import ROOT, Worker, start_worker
from tests.worker.pdf_pictures import pdf_with
from tests.worker.pictures import GREY, WORD, WORD_PAGE, Case, Feature
from tests.worker.shown import shown
from tests.worker.tiff_pictures import tiff_frames
from tests.worker.tiffs import Frame, tiff

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

ENGINE = "tests.worker.shown:ShownEngine"
CASES = tuple(
    case
    for module in (pictures, tiff_pictures, pdf_pictures, program_pictures, newer_pictures)
    for case in module.CASES
)
FILES = [case for case in CASES if isinstance(case.data, bytes)]
HELD = [case for case in CASES if not isinstance(case.data, bytes)]
# Files that Pillow itself reads wrongly: planes as pixels, BMPs without alpha.
# White in JPEG 2000 of 16 bits a colour becomes black.
NOT_BY_PILLOW = re.compile(
    "TIFF, RGB, 16 bits, planes|BMP, 32 bits, as Pillow writes it|JPEG 2000, RGB, 16 bits"
)
NOT_BIG_ENDIAN = re.compile(
    "transparency|a sample more|Lab|: [24] bits|32 bits$|CMYK, (16|mult|alpha)"
    "|RGB, tiles of|alpha of"
)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with start_worker(
        tmp_path_factory.mktemp("worker"), settings={"engine": {"name": ENGINE}}
    ) as worker:
        yield worker


@pytest.fixture(scope="module")
def pool() -> Iterator[InstancePool]:
    settings = {"admission": {"maxMegapixels": 0.25}, "memory": {"reserve": 0}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with InstancePool(engine=ENGINE, settings=settings) as pool:
            yield pool


def named(case: Case) -> str:
    return str(case).replace(", ", "-").replace(" ", "_")


def by_v1(worker: Worker, data: bytes) -> list[Pixels]:
    answer = worker.post(data)
    assert answer.status == 200, answer
    pages = answer.json["pages"]
    pixels = [shown(page["lines"][0]["text"]) for page in pages]
    assert [(page["width"], page["height"]) for page in pages] == [
        (each.shape[1], each.shape[0]) for each in pixels
    ]
    return pixels


def by_paddlex(worker: Worker, data: bytes) -> list[Pixels]:
    answer = post_json(worker.port, file_request(data, visualize=False))
    assert answer.status == 200, answer
    pages = answer.json["result"]["ocrResults"]
    return [shown(page["prunedResult"]["rec_texts"][0]) for page in pages]


def by_api(pool: InstancePool, image: Any) -> list[Pixels]:
    return [page_shown(page) for page in pool.read(image)]


def page_shown(page: Page) -> Pixels:
    pixels = shown(page.lines[0].text)
    assert (page.width, page.height) == (pixels.shape[1], pixels.shape[0])
    return pixels


def same(found: Pixels, page: Pixels, near: float = 0) -> None:
    assert found.shape == page.shape
    far = float(np.abs(found.astype(np.int16) - page).mean())
    assert far <= near, f"{far:.2f} levels away on average"


@pytest.mark.parametrize("case", FILES, ids=named)
def test_a_file_is_the_same_page_over_every_endpoint(
    worker: Worker, pool: InstancePool, tmp_path: Path, case: Case
) -> None:
    path = tmp_path / "file"
    path.write_bytes(case.data)
    (first,) = by_v1(worker, case.data)
    same(first, case.page, case.near)
    for pages in (by_paddlex(worker, case.data), by_api(pool, case.data), by_api(pool, path)):
        (page,) = pages
        same(page, first)
    if case.form != "PDF" and not NOT_BY_PILLOW.search(str(case)) and opens(case.data):
        with Image.open(path) as image:
            (page,) = by_api(pool, image)
        same(page, case.page, max(1, case.near))


def opens(data: bytes) -> bool:
    """Whether Pillow supports this kind of file. It supports fewer kinds of samples than the
    worker."""
    try:
        Image.open(io.BytesIO(data))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("case", HELD, ids=named)
def test_an_array_or_image_is_the_same_page(pool: InstancePool, case: Case) -> None:
    before = np.array(case.data)
    (page,) = by_api(pool, case.data)
    same(page, case.page, case.near)
    assert np.array_equal(np.array(case.data), before, equal_nan=before.dtype.kind == "f")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
def test_a_frame_is_read_like_a_file_of_its_own(
    worker: Worker, pool: InstancePool, order: str, big: bool
) -> None:
    frames = list(tiff_frames())
    if order == ">":
        # Pillow opens no BigTIFF in this byte order, and fewer kinds of frames.
        odd = NOT_BIG_ENDIAN if big else re.compile("32 bits$")
        frames = [each for each in frames if not odd.search(f"{each[0]}: {each[2]}")]
    data = tiff(*(frame for *_, frame, _ in frames), order=order, big=big)
    pages = by_v1(worker, data)
    assert len(pages) == len(frames) > 20
    for (*_, name, frame, page), found in zip(frames, pages, strict=True):
        same(found, page, pictures.near(name))
        (alone,) = by_api(pool, tiff(frame, order=order, big=big))
        same(found, alone)


@pytest.mark.parametrize("compression", ["group4", "jpeg", "tiff_lzw"])
def test_frames_that_pillow_writes(worker: Worker, compression: str) -> None:
    mode = "1" if compression == "group4" else "L"
    pages = [pictures.drawn().rotate(90 * turn, expand=True).convert(mode) for turn in range(3)]
    data = pictures.file(
        pages[0], "TIFF", compression=compression, save_all=True, append_images=pages[1:]
    )
    found = by_paddlex(worker, data)
    for page, each in zip(pages, found, strict=True):
        same(each, pictures.bgr(np.asarray(page.convert("L"))), 2)


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_thumbnails_and_masks_are_not_pages(
    worker: Worker, pool: InstancePool, first: bool
) -> None:
    page = Frame(GREY)
    for kind in (1, 4):
        other = Frame(GREY[::4, ::4], tags={tiffs.SUBFILE: [kind]})
        data = tiff(other, page) if first else tiff(page, other)
        for pages in (by_v1(worker, data), by_paddlex(worker, data), by_api(pool, data)):
            (found,) = pages
            same(found, WORD_PAGE)
        found, second = by_v1(worker, tiff(page, other, Frame(255 - GREY)))
        same(second, 255 - WORD_PAGE)


def test_other_frames_are_pages(worker: Worker) -> None:
    page, small = Frame(GREY), Frame(GREY[::4, ::4])
    as_large = Frame(GREY, tags={tiffs.SUBFILE: [1]})
    page_and_small = Frame(GREY[::4, ::4], tags={tiffs.SUBFILE: [3]})
    for other in (small, as_large, page_and_small):
        assert len(by_v1(worker, tiff(page, other))) == 2
    assert len(by_v1(worker, tiff(as_large))) == 1


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (
            Frame(pictures.grey_alpha(0).astype(np.uint16) * 257, tags={tiffs.EXTRA_SAMPLES: [2]}),
            "2 samples of 16 bits",
        ),
        (Frame(GREY.astype(np.uint64)), "1 samples of 64 bits"),
        (Frame((GREY / 255).astype(np.float16)), "sample format 3"),
    ],
)
def test_unsupported_samples_are_named(worker: Worker, frame: Frame, words: str) -> None:
    alone = worker.post(tiff(frame))
    assert (alone.status, alone.reason) == (422, "NotAnImage"), alone
    read, unread = worker.post(tiff(Frame(GREY), frame)).json["pages"]
    same(shown(read["lines"][0]["text"]), WORD_PAGE)
    for message in (alone.message, unread["error"]["message"]):
        assert words in message
        assert "save it with 8 bits a sample" in message


def whole_files() -> dict[str, bytes]:
    """A file of each format that all routes read."""
    first: dict[str, bytes] = {}
    for case in FILES:
        first.setdefault(case.form, case.data)
    return first


@pytest.mark.parametrize("form", whole_files())
def test_a_file_that_is_cut_off(
    worker: Worker, pool: InstancePool, tmp_path: Path, form: str
) -> None:
    whole = whole_files()[form]
    data = whole[: len(whole) * 2 // 3]
    path = tmp_path / "file"
    path.write_bytes(data)
    messages = [worker.post(data).message]
    messages.append(post_json(worker.port, file_request(data)).json["errorMsg"])
    for given in (data, path):
        with pytest.raises(NotAnImage) as error:
            pool.read(given)
        messages.append(error.value.message)
    assert set(messages) == {messages[0]}
    assert re.search("is not complete|ends within|cannot be opened", messages[0])
    if form != "PDF" and opens(data):
        with pytest.raises(NotAnImage, match="Pillow image"):
            pool.read(Image.open(io.BytesIO(data)))


def test_a_picture_in_a_pdf_that_is_cut_off(worker: Worker, pool: InstancePool) -> None:
    jpeg = pictures.file(GREY, "JPEG")
    entries = b"/Filter/DCTDecode/ColorSpace/DeviceGray/BitsPerComponent 8"
    data = pdf_with(jpeg[: len(jpeg) // 2], entries)
    (told,) = worker.post(data).json["pages"][0]["warnings"]
    (page,) = pool.read(data)
    assert told["reason"] == page.warnings[0].reason == "IncompleteImage"


@pytest.mark.timeout(300)
def test_paddleocr_reads_the_word(paddle_worker: Worker) -> None:
    asked = [case for case in FILES if case.text]
    assert {case.feature for case in asked} == set(get_args(Feature)) - {"plain", "frames", "cut"}
    wrong = {}
    for case in asked:
        answer: Answer = paddle_worker.post(case.data, timeout=120)
        texts = [line["text"] for page in answer.json["pages"] for line in page["lines"]]
        if texts != [WORD]:
            wrong[str(case)] = texts
    assert not wrong


@pytest.mark.timeout(300)
def test_paddleocr_reads_the_word_in_each_frame(paddle_worker: Worker) -> None:
    dark = Frame(pictures.DARK, tiffs.RGB, tags={tiffs.EXTRA_SAMPLES: [2]})
    frames = [Frame(GREY), Frame((GREY / 255).astype(np.float32)), dark]
    answer = paddle_worker.post(tiff(*frames), timeout=120)
    texts = [[line["text"] for line in page["lines"]] for page in answer.json["pages"]]
    assert texts == [[WORD]] * 3


def table() -> dict[str, dict[str, str]]:
    """The table in the documentation: feature → format → what is done; empty where it says –."""
    text = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"<!-- what each format does -->\n((?:\|.*\n)+)", text)
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in found.splitlines()
    ]
    forms = rows[0][1:]
    return {
        row[0]: {
            form: "" if cell == "–" else cell for form, cell in zip(forms, row[1:], strict=True)
        }
        for row in rows[2:]
    }


DONE = table()


def test_the_documentation_says_what_the_cases_show() -> None:
    assert set(DONE) == set(get_args(Feature))
    cases: dict[tuple[str, str], set[str]] = {}
    for case in CASES:
        cases.setdefault((case.feature, case.form), set()).add(case.done)
    for feature, row in DONE.items():
        # Frames and cut files have tests of their own.
        if feature in ("frames", "cut"):
            continue
        for form, said in row.items():
            assert cases.pop((feature, form), set()) == ({said} if said else set()), (feature, form)
    assert not cases
    assert {form for form, said in DONE["cut"].items() if said} == {case.form for case in CASES} - {
        "NumPy array"
    }
    assert DONE["frames"]["TIFF"] == DONE["frames"]["PDF"] == pictures.EACH
    first = {form for form, said in DONE["frames"].items() if said == "the first"}
    # JPEG: what phones add (MPO). tests/unit/worker/test_formats.py shows these.
    assert first == {"JPEG", "PNG", "WebP", "GIF", "AVIF"}
