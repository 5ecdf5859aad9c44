"""Alerts and dashboard query metrics that exist, and every alert links to its runbook."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ocrpool.resource.names import GROUP, PLURAL, VERSION
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.client import ApiCall, Resource
from ocrpool_operator.metrics import OperatorMetrics
from tests.chart.helm import CHART, Helm, named
from tests.operator.kubelet import ROOT
from tests.worker.calls import call
from tests.worker.harness import start_worker

# What PodMonitor and ServiceMonitor add to every sample.
FROM_SCRAPING = {"namespace", "pod", "job", "instance"}
FROM_PODMONITOR = FROM_SCRAPING | {"pool", "worker", "node"}
# Prometheus' own.
ALERTS = {"ALERTS": {"alertname", "alertstate"}}
RULES_ON = {"monitoring": {"rules": {"enabled": True, "runbooks": "docs/operations.md"}}}

Labels = Mapping[str, set[str]]


def labels_in(text: str, more: set[str]) -> dict[str, set[str]]:
    """Sample name → its labels, of an exposition."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set(more)).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    """Metrics of a worker that has read a page and of an operator that has reconciled once."""
    with start_worker(tmp_path_factory.mktemp("worker")) as worker:
        assert worker.read(say="x").status == 200
        answer = call(worker.control_port, "GET", "/metrics")
    operator = OperatorMetrics()
    operator.record_round("ok", 0.1)
    operator.count_call(ApiCall("patch", Resource(GROUP, VERSION, PLURAL), "default"))
    operator.count_decision("Grow")
    word = {"type": "Degraded", "status": "False", "reason": "AsExpected", "message": ""}
    status = {"conditions": [{**word, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    operator.set_pool("default", "scans", PoolStatus.model_validate(status))
    text = operator.render(0).decode()
    return {
        **labels_in(answer.body.decode(), FROM_PODMONITOR),
        **labels_in(text, FROM_SCRAPING),
        **ALERTS,
    }


def check(expression: str, exposed: Labels) -> None:
    """Raise AssertionError if it is not PromQL or queries a metric or label that does not exist."""
    asked = list(walk(promql.parse(expression), frozenset()))
    assert asked, expression
    for selector, grouped in asked:
        name = selector.name
        assert name in exposed, f"{name} of {expression}"
        matched = {matcher.name for matcher in selector.matchers.matchers}
        unknown = (matched | grouped) - exposed[name]
        assert not unknown, f"{name} has no {unknown}: {expression}"


def walk(node: Any, grouped: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """Yield every selector with the labels that aggregations around it use."""
    if isinstance(node, promql.VectorSelector):
        yield node, grouped
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector, grouped
    elif isinstance(node, promql.AggregateExpr):
        by = node.modifier.labels if node.modifier else ()
        yield from walk(node.expr, grouped | set(by))
    elif isinstance(node, promql.BinaryExpr):
        on = node.modifier.matching.labels if node.modifier and node.modifier.matching else ()
        for side in (node.lhs, node.rhs):
            yield from walk(side, grouped | set(on))
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from walk(argument, grouped)
    elif isinstance(node, promql.ParenExpr):
        yield from walk(node.expr, grouped)
    else:
        assert isinstance(node, promql.NumberLiteral | promql.StringLiteral), type(node)


@pytest.fixture(scope="module")
def alerts(helm: Helm) -> list[dict[str, Any]]:
    body = named(helm.template(RULES_ON).objects, "PrometheusRule")
    return [rule for group in body["spec"]["groups"] for rule in group["rules"]]


def test_alerts_query_metrics_that_exist(alerts: list[dict[str, Any]], exposed: Labels) -> None:
    assert len(alerts) > 10
    for alert in alerts:
        check(alert["expr"], exposed)
        assert alert["labels"]["severity"] in ("warning", "critical")


def test_alert_texts_use_only_labels_of_their_expression(alerts: list[dict[str, Any]]) -> None:
    """`$labels.worker` is empty if the expression is summed over the workers."""
    for alert in alerts:
        notes = alert["annotations"]
        used = set(re.findall(r"\$labels\.(\w+)", notes["summary"] + notes["description"]))
        summed = re.search(r"sum by \(([\w, ]+)\)", alert["expr"])
        if summed is not None:
            assert used <= set(re.split(r", *", summed[1])), alert["alert"]
        elif "ocrpool_pool_" in alert["expr"]:
            assert used == {"pool", "namespace"}, alert["alert"]
        elif "ocrpool_operator_" not in alert["expr"]:
            assert used == {"worker", "pool", "namespace"}, alert["alert"]


def test_the_dashboard_queries_metrics_that_exist(exposed: Labels) -> None:
    board = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
    queries = [query["expr"] for panel in board["panels"] for query in panel.get("targets", ())]
    assert len(queries) > 30
    for query in queries:
        check(query.replace("$__rate_interval", "5m"), exposed)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(
                r"label_values\((.+), (\w+)\)", variable["query"]["query"]
            ).groups()
            check(f"sum by ({label}) ({selector})", exposed)


def test_panels_do_not_overlap() -> None:
    board = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24, panel["title"]
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("sum(ocrpool_no_such_thing)", "ocrpool_no_such_thing"),
        ("sum by (colour) (ocrpool_ready)", "colour"),
        ('ocrpool_ready{colour="red"}', "colour"),
        ("ocrpool_ready - on(colour) ocrpool_ready", "colour"),
    ],
)
def test_the_check_finds_unknown_metrics_and_labels(
    exposed: Labels, expression: str, words: str
) -> None:
    with pytest.raises(AssertionError, match=words):
        check(expression, exposed)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_alert_links_to_a_runbook_that_exists(alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in anchors((ROOT / page).read_text(encoding="utf-8")), alert["alert"]


PRODUCT = (
    ROOT / "ocrpool" / "planner",
    ROOT / "operator" / "ocrpool_operator",
    ROOT / "worker_image" / "ocrpool_worker",
)
WORD = re.compile(r"[A-Z][A-Za-z]+")
# Position of the reason among the arguments.
MAKERS = {
    **{"PoolProblem": 0, "Problem": 0, "ConditionDraft": 2, "yes": 0},
    **{"ModelError": 0, "BootError": 0},
}


def reasons() -> dict[str, Path]:
    """Return every reason that a condition may have, with the file that sets it."""
    found: dict[str, Path] = {}
    for folder in PRODUCT:
        for path in sorted(folder.rglob("*.py")):
            if path.parent.name == "decoding":  # its words are warnings of pages: docs/pages.md
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found.update((word, path) for node in ast.walk(tree) for word in _reasons_of(node))
    return found


def _reasons_of(node: ast.AST) -> Iterator[str]:
    told: list[ast.expr] = []
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        place = MAKERS.get(name)
        if place is not None and len(node.args) > place:
            told.append(node.args[place])
        told += [each.value for each in node.keywords if each.arg == "reason"]
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        # TOKEN_MISSING = "TokenMissing"
        constant = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.value.value) if constant else ""
        if name == "reason" or (words != name and words.upper() == name):
            told.append(node.value)
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        # f"BackOff: {…}": how a worker's problem is written in the status.
        head = re.fullmatch(r"([A-Z][a-z]+(?:[A-Z][a-z]+)+): ", str(node.values[0].value))
        if head is not None:
            yield head[1]
    for expression in told:
        parts = (expression.body, expression.orelse) if isinstance(expression, ast.IfExp) else ()
        for part in parts or (expression,):
            if isinstance(part, ast.Constant) and WORD.fullmatch(str(part.value)):
                yield str(part.value)


def test_every_condition_reason_is_documented() -> None:
    found = reasons()
    # That the search finds what it is for: one of each form.
    assert {"WaitingForCapacity", "Rolling", "AllWorkersReady", "BackOff", "WorkerUnreachable"} <= (
        found.keys()
    )
    assert {"DeviceLost", "Restarting", "BootFailed", "ModelMissing"} <= found.keys()
    pages = [ROOT / "docs" / name for name in ("operations.md", "operator.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    missing = {word: path.name for word, path in found.items() if f"`{word}`" not in text}
    assert not missing, "say in docs/operations.md what it means and what to do"
