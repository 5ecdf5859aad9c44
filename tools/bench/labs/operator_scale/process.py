"""The operator as a process, observed through /proc and its own metrics."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.bench.lib.servers import ROOT

PORT = 26000 + os.getpid() % 2000


@dataclass(frozen=True)
class UsageSnapshot:
    """What the operator has used and done since its start."""

    at: float
    cpu_seconds: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class OperatorUsage:
    """What it used and did between two snapshots."""

    seconds: float
    cores: float
    rounds: float
    failed: float
    round_seconds: float
    writes: float
    decisions: float
    calls: dict[str, float]

    @property
    def all_calls(self) -> float:
        return sum(self.calls.values())


class OperatorUnderTest:
    """A running `ocrpool-operator run`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def now(self) -> UsageSnapshot:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=60) as response:
            lines = response.read().decode().splitlines()
        rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        metrics = {name: float(value) for name, _, value in rows}
        return UsageSnapshot(time.monotonic(), self._cpu(), metrics)

    def peak_memory(self) -> float:
        """Resident MiB at the peak."""
        for line in Path(f"/proc/{self._pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return float(line.split()[1]) / 1024
        raise AssertionError("the kernel names no VmHWM")

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def usage_between(before: UsageSnapshot, after: UsageSnapshot) -> OperatorUsage:
    grown = {
        name: value - before.metrics.get(name, 0.0)
        for name, value in after.metrics.items()
        if value != before.metrics.get(name, 0.0)
    }
    rounds = {
        result: grown.get(f'ocrpool_operator_rounds_total{{result="{result}"}}', 0.0)
        for result in ("ok", "api", "error")
    }
    prefix = "ocrpool_operator_api_calls_total"
    return OperatorUsage(
        seconds=after.at - before.at,
        cores=(after.cpu_seconds - before.cpu_seconds) / (after.at - before.at),
        rounds=sum(rounds.values()),
        failed=rounds["api"] + rounds["error"],
        round_seconds=grown.get("ocrpool_operator_round_seconds_sum", 0.0),
        writes=grown.get("ocrpool_operator_api_writes_total", 0.0),
        decisions=sum(
            count
            for name, count in grown.items()
            if name.startswith("ocrpool_operator_decisions_total")
        ),
        calls={
            name.removeprefix(prefix): count
            for name, count in grown.items()
            if name.startswith(prefix)
        },
    )


@contextmanager
def running(kubeconfig: Path, namespace: str, interval: float) -> Iterator[OperatorUnderTest]:
    """Run the operator for one namespace until the block ends. SystemExit where it does not
    start."""
    command = [sys.executable, "-m", "ocrpool_operator.cli", "run"]
    command += ["--namespace", namespace, "--host", "127.0.0.1", "--port", str(PORT)]
    command += ["--interval", str(interval), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "KUBECONFIG": str(kubeconfig)})
    operator = OperatorUnderTest(process.pid)
    try:
        _await_metrics(process, operator)
        yield operator
    finally:
        process.terminate()
        process.wait(60)


def _await_metrics(process: subprocess.Popen[bytes], operator: OperatorUnderTest) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            operator.now()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the operator did not start") from None
            time.sleep(0.2)
        else:
            return
