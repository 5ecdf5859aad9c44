"""Helm as tests use it: rendering the chart, and releases in a cluster."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.operator.kubelet import ROOT
from tools.devcluster.build import parts

Object = dict[str, Any]
CHART = ROOT / "charts" / "ocrpool"
RELEASE, NAMESPACE = "ocrpool", "ocrpool-system"
# What a cluster with the Prometheus operator and a chart of an earlier version knows.
KNOWN = (
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
    "ocrpool.dev/v1alpha1/OcrPool",
)


@dataclass(frozen=True)
class Helm:
    """The program, with its caches in a folder of the test's."""

    home: Path

    def run(self, *words: str, values: Mapping[str, Any] | None = None) -> Outcome:
        """`values` are given as JSON on standard input."""
        environment = {
            **os.environ,
            "HELM_CACHE_HOME": str(self.home / "cache"),
            "HELM_CONFIG_HOME": str(self.home / "config"),
            "HELM_DATA_HOME": str(self.home / "data"),
        }
        done = subprocess.run(
            [str(parts.find("helm")), *words, *(["--values=-"] if values is not None else [])],
            input=json.dumps(values) if values is not None else "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment,
        )
        return Outcome(done.returncode == 0, done.stdout, done.stderr)

    def template(self, values: Mapping[str, Any] | None = None, *words: str) -> Outcome:
        known = [f"--api-versions={each}" for each in KNOWN]
        where = f"--namespace={NAMESPACE}"
        return self.run("template", RELEASE, str(CHART), where, *known, *words, values=values or {})


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and whether it succeeded."""

    done: bool
    out: str
    err: str

    @property
    def text(self) -> str:
        """What it printed. Raises AssertionError with its complaint where it failed."""
        assert self.done, self.err
        return self.out

    @property
    def objects(self) -> list[Object]:
        # The C loader: a CRD is long, and the tests read many.
        return [each for each in yaml.load_all(self.text, yaml.CSafeLoader) if each]


def named(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The one object of a kind, or of a kind and name."""
    found = [
        each
        for each in objects
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


@cache
def values_text() -> str:
    return (CHART / "values.yaml").read_text(encoding="utf-8")
