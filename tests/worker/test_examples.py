"""Each program of examples/ as users run it, with the fake engine in place of PaddleOCR."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.fake_engine import order_png, pdf_of
from tests.worker.client import Worker, wait_for
from tests.worker.harness import ENGINE, ROOT, start_worker

EXAMPLES = ROOT / "examples"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def command(name: str, *arguments: object) -> list[str]:
    program = "sh" if name.endswith(".sh") else sys.executable
    return [program, str(EXAMPLES / name), *map(str, arguments)]


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    return subprocess.run(
        command(name, *arguments),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One instance and a queue of one: a second client waits, a third gets 429."""
    settings = {"admission": {"queue": 1}}
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


@pytest.fixture
def url(worker: Worker) -> str:
    return f"http://{worker.host}:{worker.port}"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.png"
    path.write_bytes(order_png(say="Northwind"))
    return path


def test_a_folder_is_read_and_a_bad_file_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.png").write_bytes(order_png(say="first"))
    (tmp_path / "b.jpg").write_bytes(b"no image")
    (tmp_path / "sub" / "c.pdf").write_bytes(pdf_of([{"say": "second"}, {"say": "third"}]))
    (tmp_path / "notes.txt").write_text("not read")

    done = run("read_folder.py", tmp_path, "--engine", ENGINE)

    assert done.returncode == 1, done.stderr
    assert done.stdout == "3 files, 1 problems\n"
    assert re.search(r"b\.jpg: the file is ", done.stderr)
    assert (tmp_path / "a.png.txt").read_text().splitlines()[0] == "first"
    pages = (tmp_path / "sub" / "c.pdf.txt").read_text().split("\f")
    assert [each.splitlines()[0] for each in pages] == ["second", "third"]
    assert not (tmp_path / "b.jpg.txt").exists()


def test_a_service_with_the_pool_inside(page: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ("--engine", ENGINE, "--instances", 1, "--port", port)
    log = (tmp_path / "log").open("w+b")
    process = subprocess.Popen(
        command("embed_in_aiohttp.py", *arguments), env=ENVIRONMENT, stdout=log, stderr=log
    )
    try:

        def words(body: bytes) -> tuple[int, bytes] | None:
            assert process.poll() is None, Path(log.name).read_text()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/words", data=body)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()
            except urllib.error.URLError:
                return None

        # The fake engine's second line is `pid N`.
        assert wait_for("it listens", lambda: words(page.read_bytes())) == (200, b'{"words": [3]}')
        refused = words(b"no image")
        assert refused
        assert refused[0] == 422
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.mark.parametrize("name", ["client_with_backoff.py", "client.sh"])
def test_a_client_comes_again_while_the_queue_is_full(
    name: str, worker: Worker, url: str, page: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    held = [worker.begin(gate=str(gate), say="busy")]
    worker.until_busy()
    held.append(worker.begin(say="queued"))
    worker.until("one waits", lambda state: state["queue"]["depth"] == 1)
    rejected = worker.counters()["rejected"]
    arguments = ("--url", url) if name.endswith(".py") else (url,)
    client = subprocess.Popen(
        command(name, page, *arguments), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    worker.until("it was refused", lambda state: state["counters"]["rejected"] > rejected)
    gate.touch()
    out, _ = client.communicate(timeout=60)
    assert client.returncode == 0
    assert "Northwind" in out
    assert [each.result().status for each in held] == [200, 200]


@pytest.mark.parametrize("name", ["client_with_backoff.py", "client.sh"])
def test_a_client_gives_up_at_once_on_a_bad_file(name: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    arguments = ("--url", url) if name.endswith(".py") else (url,)
    done = run(name, tmp_path / "bad.png", *arguments)
    assert done.returncode != 0
    assert "NotAnImage" in done.stdout + done.stderr


def test_a_loader_gives_a_document_for_each_page(url: str, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf_of([{"say": "one"}, {"say": "two"}]))
    done = run("document_loader.py", file, "--url", url)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("pid ")]
    assert [line for line in lines if not line.startswith("{")] == [
        "--- page 1",
        "one",
        "--- page 2",
        "two",
    ]


def test_an_engine_of_your_own(tmp_path: Path) -> None:
    assert (EXAMPLES / "own_engine.py").is_file()
    picture = Image.new("L", (100, 60), 255)
    for top, bottom in ((10, 20), (30, 35)):
        picture.paste(0, (5, top, 90, bottom))
    picture.save(tmp_path / "bands.png")
    engine = {"name": "examples.own_engine:BandEngine", "options": {"darkness": 100}}
    with start_worker(tmp_path / "worker", settings={"engine": engine}) as worker:
        answer = worker.post((tmp_path / "bands.png").read_bytes())
        assert [line["text"] for line in answer.json["pages"][0]["lines"]] == [
            "10 pixels high",
            "5 pixels high",
        ]
        refused = worker.post((tmp_path / "bands.png").read_bytes(), "/v1/ocr?textDetThresh=0.5")
        assert (refused.status, refused.reason) == (422, "BadRequest")
        assert "takes no parameters" in refused.message


@pytest.mark.parametrize("pool", ["cpu", "workstation"])
def test_a_pool_is_planned_on_this_machine(pool: str) -> None:
    file = EXAMPLES / "pools" / f"{pool}.yaml"
    arguments = ["plan", "-f", str(file), "--device", "cpu", "--footprint", "64Mi"]
    done = subprocess.run(
        [sys.executable, "-m", "ocrpool", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_example_is_in_the_table_and_has_its_test() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    here = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".sh"):
            assert f"[{path.name}]({path.name})" in table
            assert f'"{path.name}"' in here
    for path in (EXAMPLES / "pools").iterdir():
        assert f"(pools/{path.name}" in table
