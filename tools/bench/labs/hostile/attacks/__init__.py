"""The attacks, each a function that runs a worker of its own and gives one row."""

from __future__ import annotations

from collections.abc import Callable

from tools.bench.labs.hostile.attacks import answers, bodies, connections, control, images, kills
from tools.bench.labs.hostile.result import AttackResult

# By the name that `--only` takes. The argument: whether it is to be short.
ATTACKS: dict[str, Callable[[bool], AttackResult]] = {
    "images": images.incomplete,
    "json": bodies.json_of_all_kinds,
    "uploads": bodies.stalled,
    "readers": answers.slow_readers,
    "drain": answers.drained_in_the_middle,
    "connections": connections.held,
    "origins": control.cross_origin,
    "kills": kills.killed_from_outside,
    "stops": kills.stopped,
}
