"""Many nodes are lost at once: what happens, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tools.bench.labs.operator_scale import fake_workers
from tools.bench.labs.operator_scale.pools import PODS, TIMEOUT_S, seconds_until, unready
from tools.bench.labs.operator_scale.process import OperatorUnderTest, OperatorUsage, usage_between
from tools.devcluster.kwok import Kwok
from tools.devcluster.waiting import ApiClient

# `silent`: the machines are lost and their Node objects stay. `deleted`: a cloud controller also
# removes the Node objects.
How = Literal["silent", "deleted"]
PATIENCE_S = 900.0


@dataclass(frozen=True)
class NodeLoss:
    nodes: int
    workers: int
    # Seconds since the loss.
    noticed: float
    recovered: float
    during: OperatorUsage


def lose(
    api: ApiClient,
    kwok: Kwok,
    operator: OperatorUnderTest,
    lost: Sequence[str],
    *,
    how: How,
    workers: int,
    addresses: Sequence[str],
) -> NodeLoss:
    """Take the nodes away and wait until every pool has all its workers again."""
    gone = set(lost)
    pods = [
        each
        for each in api.get_json(PODS, TIMEOUT_S)["items"]
        if each["spec"].get("nodeName", "") in gone
    ]
    before, began = operator.now(), time.monotonic()
    fake_workers.lose(addresses, [each["status"]["podIP"] for each in pods])
    kwok.silence(lost)
    if how == "deleted":
        kwok.remove(lost)
    if pods:
        seconds_until("a pool reports it", lambda: unready(api, workers) > 0, PATIENCE_S)
    noticed = time.monotonic() - began
    seconds_until("all are ready again", lambda: unready(api, workers) == 0, PATIENCE_S)
    recovered = time.monotonic() - began
    return NodeLoss(len(lost), len(pods), noticed, recovered, usage_between(before, operator.now()))
