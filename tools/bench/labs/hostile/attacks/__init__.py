"""The attacks: each is a function that runs a worker of its own and returns one row."""

from __future__ import annotations

from collections.abc import Callable

from tools.bench.labs.hostile.attacks import answers, bodies, connections, control, images, kills
from tools.bench.labs.hostile.result import AttackResult

# By the name for `--only`. The argument is whether to run the short form.
ATTACKS: dict[str, Callable[[bool], AttackResult]] = {
    "images": images.incomplete,
    "json": bodies.json_of_all_kinds,
    "uploads": bodies.stalled,
    "readers": answers.slow_readers,
    "drain": answers.drain_during_answer,
    "connections": connections.idle_connections,
    "origins": control.cross_origin,
    "kills": kills.killed_from_outside,
    "stops": kills.stopped_supervisor,
}
