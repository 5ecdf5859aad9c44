"""The display of `ocrpool up`: a live table in a terminal, else one line for each change."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ocrpool.local.worker_process import WorkerProcess
from ocrpool.protocol import Memory, State
from ocrpool.protocol.quantity import format_bytes

BAR = 24

Show = Callable[[Sequence[WorkerProcess]], None]


@contextmanager
def display(pool: str, out: TextIO = sys.stdout) -> Iterator[Show]:
    """A function that shows the workers: a table that is redrawn, or lines about changes."""
    if not out.isatty():
        yield lines(out)
        return
    live = Live(console=Console(file=out), auto_refresh=False)

    def show(workers: Sequence[WorkerProcess]) -> None:
        rows = [(one.name, one.device, address(one), one.state, one.message) for one in workers]
        live.update(table(pool, rows), refresh=True)

    with contextlib.suppress(OSError):
        live.start()
    try:
        yield show
    finally:
        with contextlib.suppress(OSError):  # the terminal may be gone
            live.stop()


def lines(out: TextIO) -> Show:
    """Print a line for each worker whose decision or number of ready instances has changed."""
    before: dict[str, tuple[str, int | None]] = {}

    def show(workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            ready = worker.state.instances.ready if worker.state else None
            now = (worker.message, ready)
            # A decision to keep the count has new numbers each time; it is printed once.
            reason = worker.decision.reason if worker.decision and not worker.note else worker.note
            key = (worker.message if reason in ("Grow", "Shrink", "Limits") else reason, ready)
            if before.get(worker.name) != key:
                before[worker.name] = key
                time = datetime.datetime.now().strftime("%H:%M:%S")
                count = "" if ready is None else f" {ready} ready,"
                print(f"{time} {worker.name} {address(worker)}:{count} {now[0]}", file=out)
                out.flush()

    return show


def address(worker: WorkerProcess) -> str:
    return f"http://{worker.host}:{worker.port}" if worker.port else "–"


Row = tuple[str, str, str, State | None, str]


def table(title: str, rows: Sequence[Row]) -> Group:
    """A table of rows (worker, device, address, state, decision), with the long decisions below."""
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("worker", "memory", "instances", "queue"):
        drawn.add_column(column)
    decisions = Table.grid(padding=(0, 2))  # a long decision wraps below itself
    for name, device, where, state, said in rows:
        shown = state.device.name if state is not None and state.device.name else device
        drawn.add_row(
            f"{name}  {shown}\n{where}",
            memory_bar(state) if state is not None else Text("–"),
            _instances(state),
            f"{state.queue.depth}/{state.queue.capacity}" if state is not None else "–",
        )
        decisions.add_row(f"  {name}", Text(said))
    return Group(drawn, decisions)


def memory_bar(state: State) -> Text:
    """Device memory to scale: ours, other processes', free: `██▒▒··· 3.1Gi free of 8Gi`."""
    memory = state.device.memory
    if memory is None or memory.total <= 0:
        return Text("cannot be read")
    ours = sum(one.memory for one in state.instances.each)
    mine, others = _cells(memory, ours)
    bar = Text()
    bar.append("█" * mine, style="green")
    bar.append("▒" * others, style="yellow")
    bar.append("·" * (BAR - mine - others))
    bar.append(f"\n{format_bytes(memory.free)} free of {format_bytes(memory.total)}")
    bar.append(f"\nours {format_bytes(ours)}, footprint {format_bytes(state.footprint.bytes)}")
    return bar


def _cells(memory: Memory, ours: int) -> tuple[int, int]:
    used = round(BAR * min(1.0, max(0, memory.used) / memory.total))
    mine = min(used, round(BAR * min(1.0, ours / memory.total)))
    return mine, used - mine


def _instances(state: State | None) -> str:
    if state is None:
        return "–"
    instances = state.instances
    text = f"{instances.ready}/{instances.target} ready"
    if instances.booting:
        text += f"\n{instances.booting} booting"
    if instances.ceiling < instances.target:
        text += f"\nat most {instances.ceiling}"
    return text
