"""Write the chart's Grafana dashboard from the panels below. With --check, fail when it is stale.

Rows go into more detail: pools, workers, instances, and then the operator.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[2] / "charts" / "ocrpool" / "files" / "dashboard.json"
Json = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS, HEIGHT = 24, 8
POOL = 'namespace=~"$namespace", pool=~"$pool"'
WORKER = f'{POOL}, worker=~"$worker"'
WINDOW = "$__rate_interval"


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of its series."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A panel: a graph over time, or one figure."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    text: str = ""
    kind: str = "timeseries"
    width: int = 8


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def quantile(share: float, metric: str, by: str, where: str) -> str:
    buckets = f"sum by ({by}, le) (rate({metric}_bucket{{{where}}}[{WINDOW}]))"
    return f"histogram_quantile({share}, {buckets})"


def rate(metric: str, by: str, where: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[{WINDOW}]))"


# Why instances are replaced: metric → name of the series.
REPLACEMENT_REASONS = {
    "ocrpool_deaths_total": "crashed or killed",
    "ocrpool_out_of_memory_total": "out of memory",
    "ocrpool_device_errors_total": "device error",
    "ocrpool_memory_guard_stops_total": "stopped by the memory guard",
    "ocrpool_recycled_total": "recycled",
    "ocrpool_boot_failures_total": "start failed",
}

ROWS = (
    Row(
        "Pools",
        (
            Panel(
                "Ready workers",
                (
                    Query(
                        f'sum by (pool) (ocrpool_pool_workers{{{POOL}, state="ready"}})', "{{pool}}"
                    ),
                ),
                kind="stat",
                width=6,
            ),
            Panel(
                "Ready instances",
                (
                    Query(
                        f'sum by (pool) (ocrpool_instances{{{POOL}, state=~"idle|busy"}})',
                        "{{pool}}",
                    ),
                ),
                kind="stat",
                width=6,
            ),
            Panel(
                "Busy instances",
                (
                    Query(
                        f'sum by (pool) (ocrpool_instances{{{POOL}, state="busy"}}) / '
                        f'sum by (pool) (ocrpool_instances{{{POOL}, state=~"idle|busy"}})',
                        "{{pool}}",
                    ),
                ),
                unit="percentunit",
                kind="stat",
                width=6,
            ),
            Panel(
                "Firing alerts",
                (
                    Query(
                        'sum(ALERTS{alertname=~"OcrPool.*", alertstate="firing"}) or vector(0)', ""
                    ),
                ),
                kind="stat",
                width=6,
            ),
            Panel(
                "Workers by state",
                (
                    Query(
                        f"sum by (pool, state) (ocrpool_pool_workers{{{POOL}}})",
                        "{{pool}} {{state}}",
                    ),
                ),
            ),
            Panel(
                "Conditions",
                (
                    Query(
                        f"max by (pool, type) (ocrpool_pool_condition{{{POOL}}})",
                        "{{pool}} {{type}}",
                    ),
                ),
                text="1 = True. Ready should be 1 and Degraded 0.",
            ),
            Panel(
                "Pages per second",
                (Query(rate("ocrpool_pages_total", "pool", POOL), "{{pool}}"),),
                text="Pages read by all workers of the pool.",
            ),
            Panel(
                "Queue wait",
                (
                    Query(
                        quantile(0.5, "ocrpool_queue_wait_seconds", "pool", POOL), "{{pool}} p50"
                    ),
                    Query(
                        quantile(0.95, "ocrpool_queue_wait_seconds", "pool", POOL), "{{pool}} p95"
                    ),
                ),
                unit="s",
                text="Time that a page waits for an instance.",
            ),
            Panel(
                "Responses by status",
                (
                    Query(
                        rate("ocrpool_http_responses_total", "pool, status", POOL),
                        "{{pool}} {{status}}",
                    ),
                ),
                unit="reqps",
                text="429: the queue is full. 503: the worker is not ready. 504: timeout.",
            ),
            Panel(
                "Waiting requests",
                (Query(f"sum by (pool) (ocrpool_queue_depth{{{POOL}}})", "{{pool}}"),),
            ),
            Panel(
                "Request duration",
                (
                    Query(
                        quantile(0.5, "ocrpool_http_request_seconds", "pool", POOL), "{{pool}} p50"
                    ),
                    Query(
                        quantile(0.95, "ocrpool_http_request_seconds", "pool", POOL), "{{pool}} p95"
                    ),
                ),
                unit="s",
            ),
            Panel(
                "Instances replaced, by reason",
                tuple(
                    Query(
                        f"sum by (pool) (increase({metric}{{{POOL}}}[{WINDOW}]))",
                        f"{{{{pool}}}} {words}",
                    )
                    for metric, words in REPLACEMENT_REASONS.items()
                ),
            ),
        ),
    ),
    Row(
        "Workers",
        (
            Panel(
                "Headroom",
                (
                    Query(
                        f'ocrpool_device_memory_bytes{{{WORKER}, kind="free"}} '
                        f"- on(namespace, pool, worker) ocrpool_memory_reserve_bytes{{{WORKER}}}",
                        "{{worker}}",
                    ),
                    Query(f"ocrpool_footprint_bytes{{{WORKER}}}", "{{worker}} footprint"),
                ),
                unit="bytes",
                text="Free memory of the device minus the reserve. If it stays above the "
                "footprint, one more instance fits.",
            ),
            Panel(
                "Device memory used",
                (
                    Query(f'ocrpool_device_memory_bytes{{{WORKER}, kind="used"}}', "{{worker}}"),
                    Query(
                        f'ocrpool_device_memory_bytes{{{WORKER}, kind="total"}}', "{{worker}} total"
                    ),
                ),
                unit="bytes",
            ),
            Panel(
                "Instances",
                (
                    Query(
                        f'sum by (worker) (ocrpool_instances{{{WORKER}, state=~"idle|busy"}})',
                        "{{worker}} ready",
                    ),
                    Query(f"ocrpool_instances_target{{{WORKER}}}", "{{worker}} target"),
                    Query(f"ocrpool_instances_ceiling{{{WORKER}}}", "{{worker}} ceiling"),
                ),
                text="A ceiling below the target: the worker ran out of memory and limits itself.",
            ),
            Panel(
                "Pages per second",
                (Query(rate("ocrpool_pages_total", "worker", WORKER), "{{worker}}"),),
            ),
            Panel(
                "Seconds per page",
                (
                    Query(
                        quantile(0.95, "ocrpool_page_duration_seconds", "worker", WORKER),
                        "{{worker}} p95",
                    ),
                ),
                unit="s",
            ),
            Panel(
                "Wait of the oldest request",
                (Query(f"ocrpool_queue_oldest_seconds{{{WORKER}}}", "{{worker}}"),),
                unit="s",
            ),
        ),
    ),
    Row(
        "Instances",
        (
            Panel(
                "Memory",
                (
                    Query(
                        f"ocrpool_instance_memory_bytes{{{WORKER}}}", "{{worker}} {{instance_id}}"
                    ),
                ),
                unit="bytes",
                text="Memory of each instance. It grows with its largest page and does not shrink.",
            ),
            Panel(
                "Pages per second",
                (
                    Query(
                        rate("ocrpool_instance_pages_total", "worker, instance_id", WORKER),
                        "{{worker}} {{instance_id}}",
                    ),
                ),
            ),
            Panel(
                "Age",
                (Query(f"ocrpool_instance_age_seconds{{{WORKER}}}", "{{worker}} {{instance_id}}"),),
                unit="s",
            ),
        ),
    ),
    Row(
        "Operator",
        (
            Panel(
                "Leading operators",
                (Query("sum(ocrpool_operator_leading)", ""),),
                kind="stat",
                text="Should be 1. With 0, nothing is scaled, replaced or rolled out.",
            ),
            Panel(
                "Reconcile rounds per second",
                (
                    Query(
                        f"sum by (result) (rate(ocrpool_operator_rounds_total[{WINDOW}]))",
                        "{{result}}",
                    ),
                ),
            ),
            Panel(
                "Seconds per reconcile round",
                (
                    Query(
                        "histogram_quantile(0.95, sum by (le) "
                        f"(rate(ocrpool_operator_round_seconds_bucket[{WINDOW}])))",
                        "p95",
                    ),
                    Query("max(ocrpool_operator_late_seconds)", "behind"),
                ),
                unit="s",
            ),
            Panel(
                "Decisions about instances",
                (
                    Query(
                        f"sum by (reason) (rate(ocrpool_operator_decisions_total[{WINDOW}]))",
                        "{{reason}}",
                    ),
                ),
                text="Reasons of the decisions about instances per worker; see docs/scaling.md.",
            ),
            Panel(
                "Calls to the API server",
                (
                    Query(
                        rate("ocrpool_operator_api_calls_total", "verb, resource", ""),
                        "{{verb}} {{resource}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "Writes to the API server",
                (Query(f"sum(rate(ocrpool_operator_api_writes_total[{WINDOW}]))", "writes"),),
                unit="reqps",
                text="0 while nothing changes.",
            ),
        ),
    ),
)


def dashboard() -> Json:
    return {
        "uid": "ocrpool",
        "title": "ocrpool",
        "tags": ["ocr", "gpu"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), *map(_variable, ("namespace", "pool", "worker"))]},
        "panels": _laid_out(),
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    }


def _variable(name: str) -> Json:
    above = {"namespace": "", "pool": '{namespace=~"$namespace"}', "worker": f"{{{POOL}}}"}
    query = f"label_values(ocrpool_ready{above[name]}, {name})"
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _laid_out() -> list[Json]:
    panels: list[Json] = []
    y = 0
    for row in ROWS:
        title: Json = {"type": "row", "title": row.title}
        panels.append(_placed(title, len(panels), {"x": 0, "y": y, "w": COLUMNS, "h": 1}))
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            height = HEIGHT // 2 if panel.kind == "stat" else HEIGHT
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": height}
            panels.append(_placed(_panel(panel), len(panels), place))
            x, tallest = x + panel.width, max(tallest, height)
        y += tallest
    return panels


def _placed(panel: Json, number: int, place: Json) -> Json:
    return {"id": number + 1, "gridPos": place, **panel}


def _panel(panel: Panel) -> Json:
    queries = [
        {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
        }
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": queries,
    }


def main() -> int:
    text = json.dumps(dashboard(), indent=1) + "\n"
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"charts/ocrpool/files/{TARGET.name} is stale: run `make docs`", file=sys.stderr)
        return 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
