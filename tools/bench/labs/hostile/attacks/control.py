"""Requests that a web page in a browser on the same machine can send to the control port."""

from __future__ import annotations

from tests.worker.calls import call
from tests.worker.client import wait_for
from tools.bench.labs.hostile.bystanders import Bystanders
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import checked_requests
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import Target

FOREIGN = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    {"Origin": "https://evil.example", "Content-Type": "text/plain"},
)


def cross_origin(quick: bool) -> AttackResult:
    """A foreign web page changes nothing; the operator's own drain can be cancelled."""
    out = AttackResult("E requests of web pages", held="2 clients")
    with measured(out, instances=1) as aim:
        with Bystanders(aim.worker.port, checked_requests(6), out.counts):
            for headers in FOREIGN:
                for method, path, body in (
                    ("POST", "/v1/drain", ""),
                    ("DELETE", "/v1/drain", ""),
                    ("PUT", "/v1/instances", '{"target": 0}'),
                ):
                    out.bad += 1
                    answer = call(aim.worker.control_port, method, path, body, headers)
                    out.expect(
                        answer.status in (401, 403),
                        f"{method} {path} with {headers}: {answer.status}",
                    )
            out.expect(aim.worker.ready, "a web page has drained the worker")
        _cancel_drain(out, aim)
    return out


def _cancel_drain(out: AttackResult, aim: Target) -> None:
    worker = aim.worker
    worker.control("POST", "/v1/drain")
    out.expect(not worker.ready, "the worker is ready although it drains")
    answer = worker.control("DELETE", "/v1/drain")
    out.expect(answer.status == 200, f"DELETE /v1/drain: {answer.status}")
    if answer.status == 200:
        wait_for("it is ready again", lambda: worker.ready)
        out.expect(
            worker.read(say="again").status == 200, "no page is read after the drain is cancelled"
        )
    log = worker.log_file.read_text(encoding="utf-8")
    out.expect("127.0.0.1" in log.partition("listening")[2], "the log does not say who drained it")
