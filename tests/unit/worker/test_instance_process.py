"""One process: its frames, its end, and that nothing of it is left. A shell script takes the place
of the OCR process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ocrpool_worker.ipc.answer_budget import AnswerBudget
from ocrpool_worker.ipc.frames import Frame, encode
from ocrpool_worker.ipc.shared_buffer import SharedBufferReader
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.supervisor import instance_process
from ocrpool_worker.supervisor.instance_process import InstanceProcess
from tests.unit.worker.fake_instances import in_loop

# Its arguments: -m, the module, socket, parent pipe, shared buffer, the supervisor's pid.
READ_SOCKET = "cat <&$3 >/dev/null"

Start = Callable[[str], Awaitable["Child"]]


class Child:
    """A process, and what it reported, in order."""

    def __init__(self) -> None:
        self.reported: list[str | int] = []
        self.process = InstanceProcess(
            "i1",
            environment={"PATH": os.environ["PATH"], "GREETING": "hello"},
            answer_budget=AnswerBudget(AdmissionSettings()),
            on_frame=self._on_frame,
            on_exit=self.reported.append,
        )

    def _on_frame(self, frame: Frame) -> None:
        self.reported.append(str(frame.head["op"]))

    async def status(self) -> int:
        """Wait for its end; its exit status, which must be the last thing it reported."""
        async with asyncio.timeout(30):
            await self.process.wait()
        assert [one for one in self.reported if isinstance(one, int)] == [self.reported[-1]]
        return int(self.reported[-1])


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a script as an instance."""

    async def begin(script: str) -> Child:
        program = tmp_path / "instance"
        program.write_text(f"#!/usr/bin/env bash\n{script}\n", encoding="utf-8")
        program.chmod(0o700)
        monkeypatch.setattr(instance_process.sys, "executable", str(program))
        child = Child()
        await child.process.start()
        return child

    return begin


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@in_loop
async def test_its_exit_status_and_last_output_are_reported(start: Start) -> None:
    child = await start("echo $GREETING; printf '\\033[31mred\\033[0m\\n\\n' >&2; exit 7")
    assert await child.status() == 7
    assert child.process.last_output == "hello | red"
    assert child.process.ended
    assert child.process.killed_for is None


@in_loop
async def test_frames_that_were_sent_before_the_exit_are_delivered_first(start: Start) -> None:
    frames = encode({"op": "one"}) + encode({"op": "two"}, b"payload")
    octal = "".join(f"\\{byte:03o}" for byte in frames)
    child = await start(f"printf '{octal}' >&$3; kill -SEGV $$")
    assert await child.status() == -signal.SIGSEGV
    assert child.reported == ["one", "two", -signal.SIGSEGV]


@in_loop
async def test_it_exits_when_it_is_asked_to(start: Start) -> None:
    child = await start(f"{READ_SOCKET}; exit 0")
    child.process.hang_up()
    assert await child.status() == 0
    assert child.process.killed_for is None


@in_loop
async def test_it_receives_what_is_sent(start: Start) -> None:
    child = await start(f"head -c {len(encode({'op': 'start'}))} <&$3 | tail -c 14")
    assert child.process.send({"op": "start"})
    await child.status()
    assert child.process.last_output == '{"op":"start"}'
    assert not child.process.connected
    assert not child.process.send({"op": "start"}), "it has exited"


@in_loop
async def test_bytes_that_are_no_frame_end_it(start: Start) -> None:
    child = await start("printf '%0100d' 9 >&$3; exec sleep 60")
    assert await child.status() == -signal.SIGKILL
    assert (child.process.killed_for or "").startswith("it sent a frame of ")


@in_loop
async def test_a_stopped_process_is_noticed_and_can_be_killed(start: Start) -> None:
    child = await start("kill -STOP $$")
    for _ in range(3000):
        if child.process.stopped:
            break
        await asyncio.sleep(0.01)
    assert child.process.stopped
    child.process.kill("a test")
    child.process.kill("another reason")
    assert await child.status() == -signal.SIGKILL
    assert child.process.killed_for == "a test"


@in_loop
async def test_a_process_that_closes_its_socket_and_stays_is_killed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_process, "_EXIT_SECONDS", 0.05)
    child = await start('exec {s}>&$3; eval "exec $3>&- $s>&-"; exec sleep 60')
    assert await child.status() == -signal.SIGKILL
    assert child.process.killed_for == "it closed its socket and did not exit"


@in_loop
async def test_the_last_command_that_it_began_is_known_after_its_exit(start: Start) -> None:
    child = await start("exec sleep 60")
    buffer = child.process.shared_buffer
    assert buffer is not None
    SharedBufferReader(os.dup(buffer.fileno())).take(5)
    child.process.kill("a test")
    await child.status()
    assert child.process.last_taken == 5
    assert child.process.shared_buffer is None


@in_loop
async def test_killing_an_exited_process_does_nothing(start: Start) -> None:
    child = await start("exit 0")
    await child.status()
    child.process.kill("too late")
    assert child.process.killed_for is None


@in_loop
async def test_no_descriptor_is_left_behind(start: Start) -> None:
    await (await start("exit 0")).status()  # the loop opens some of its own
    before = descriptors()
    await (await start("exit 0")).status()
    assert descriptors() == before


@in_loop
async def test_a_process_that_cannot_be_started_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instance_process.sys, "executable", "/no/such/program")
    before = descriptors()
    child = Child()
    with pytest.raises(FileNotFoundError):
        await child.process.start()
    assert descriptors() == before
    assert child.process.ended
