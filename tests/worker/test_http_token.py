"""The token of the control port: required under /v1/ only, and read at every request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.worker.calls import call
from tests.worker.harness import Worker, start_worker


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secret") / "token"
    file.write_text("first\n")
    return file


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, token_file: Path) -> Iterator[Worker]:
    settings = {"http": {"tokenFile": str(token_file)}}
    folder = tmp_path_factory.mktemp("guarded")
    with start_worker(folder, settings=settings, ready=False) as worker:
        yield worker


def status(worker: Worker, path: str, authorization: str | None, method: str = "GET") -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return call(worker.control_port, method, path, headers=headers).status


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer first ",
        "Bearer firs",
        "bearer first",
        "Basic first",
        "first",
        "Bearer \xe9",
    ],
)
def test_a_wrong_token_is_401(guarded: Worker, authorization: str | None) -> None:
    wanted = 200 if authorization == "Bearer first " else 401  # blanks at the end are HTTP's
    assert status(guarded, "/v1/state", authorization) == wanted


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/state"),
        ("PUT", "/v1/instances"),
        ("POST", "/v1/drain"),
        ("GET", "/v1/made-up"),
        ("GET", "/%76%31/state"),
        ("GET", "/v1%2Fstate"),
    ],
)
def test_every_path_under_v1_requires_the_token(guarded: Worker, method: str, path: str) -> None:
    assert status(guarded, path, None, method) == 401


@pytest.mark.parametrize("path", ["/livez", "/metrics"])
def test_probes_and_metrics_require_no_token(guarded: Worker, path: str) -> None:
    assert status(guarded, path, None) == 200


def test_the_data_port_requires_no_token(guarded: Worker) -> None:
    assert guarded.post(order_png(say="x")).status in (200, 503)


def test_the_token_may_change_under_a_running_worker(guarded: Worker, token_file: Path) -> None:
    assert status(guarded, "/v1/state", "Bearer first") == 200
    try:
        token_file.write_text("second\n")
        assert status(guarded, "/v1/state", "Bearer first") == 401
        assert status(guarded, "/v1/state", "Bearer second") == 200
    finally:
        token_file.write_text("first\n")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_an_empty_token_file_refuses_everybody(
    guarded: Worker, token_file: Path, content: bytes | None
) -> None:
    try:
        token_file.unlink() if content is None else token_file.write_bytes(content)
        for authorization in ("Bearer ", "Bearer first", None):
            assert status(guarded, "/v1/state", authorization) == 401
    finally:
        token_file.write_text("first\n")
