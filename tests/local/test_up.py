"""`ocrpool up` with real workers: grows to what fits, shrinks when memory goes, ends in order."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.local.shell import MI, Up, run, up
from tests.standin import order_png
from tests.worker.client import instances_of, wait_for

# Within the worker: the device has as many bytes, and strangers hold as many, as a file says, and
# its instances hold what they say. The device is pretended, everything above it is real.
PRETEND = """
import os, pathlib
from ocrpool_wire import Memory
from ocrpool_worker import devices
from ocrpool_worker.supervisor import report

def state_of(settings, crew, *rest, **more):
    total, strangers = map(int, pathlib.Path(os.environ["TEST_DEVICE"]).read_text().split())
    ours = sum(member.memory for member in crew.members.values())
    free = max(0, total - strangers - ours)
    state = real(settings, crew, *rest, **more)
    memory = Memory(total=total, used=total - free, free=free)
    return state.model_copy(
        update={"device": state.device.model_copy(update={"memory": memory})})

real = report.state_of
from ocrpool_worker.supervisor import pool
pool.state_of = state_of
"""


class Device:
    """The pretended device of a worker: its memory and what strangers hold of it."""

    def __init__(self, folder: Path, total: int) -> None:
        self._file = folder / "device"
        self._total = total
        self.set_strangers(0)

    def set_strangers(self, held: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{self._total} {held}")
        fresh.replace(self._file)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """From here on, workers are told of a device of 1 GiB of which nothing is taken."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys\nif 'serve' in sys.argv or '-m' in getattr(sys, 'orig_argv', []) and 'serve' "
        "in sys.orig_argv:\n" + "".join(f"    {line}\n" for line in PRETEND.splitlines())
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("TEST_DEVICE", str(tmp_path / "device"))
    return Device(tmp_path, 1024 * MI)


def spec(held: int, most: int = 8) -> dict[str, Any]:
    """Instances that each claim so much of the device's memory."""
    return {
        "instances": {"min": 1, "max": most},
        "engine": {"options": {"device": held}},
        "memory": {"reserve": 64 * MI},
    }


def settled(shell: Up, instances: int) -> None:
    """Wait until the worker has so many warm instances and wants no other number."""
    shell.worker().until_ready(instances)
    before = len(shell.decisions())
    wait_for(
        "another round without a step",
        lambda: shell.worker().state()["instances"]["target"] == instances,
    )
    assert len(shell.decisions()) == before


def test_it_grows_by_itself_to_what_fits_and_follows_the_device(
    tmp_path: Path, device: Device
) -> None:
    """A stranger takes 30 % of the memory, and no request is lost while instances leave."""
    with up(tmp_path, **spec(200 * MI)) as shell:
        settled(shell, 4)  # 4 × 200 Mi and the reserve of 64 Mi fit into 1 Gi, a fifth does not
        assert shell.decisions() == [(1, 2), (2, 3), (3, 4)]
        worker, stop, statuses = shell.worker(), threading.Event(), []

        def load() -> None:
            while not stop.is_set():
                statuses.append(worker.post(order_png(say="x", sleep=0.02)).status)

        clients = [threading.Thread(target=load) for _ in range(4)]
        for client in clients:
            client.start()
        device.set_strangers(300 * MI)
        settled(shell, 3)
        stop.set()
        for client in clients:
            client.join()
        assert statuses
        assert set(statuses) == {200}
        assert (4, 3) in shell.decisions() or (4, 2) in shell.decisions()


def test_a_page_larger_than_all_before_raises_the_footprint_and_lowers_the_count(
    tmp_path: Path, device: Device
) -> None:
    with up(tmp_path, **spec(200 * MI)) as shell:
        settled(shell, 4)
        assert shell.worker().read(say="large", device=300 * MI).status == 200
        wait_for("fewer are wanted", lambda: (4, 3) in shell.decisions(), or_tell=shell.output)
        shell.worker().until_ready(3)
        assert shell.worker().state()["footprint"]["bytes"] == 300 * MI


def test_ctrl_c_ends_everything_in_order_and_status_says_so(tmp_path: Path) -> None:
    with up(tmp_path) as shell:
        shell.worker().until_ready(2)
        shown = run(tmp_path, "status")
        assert shown.returncode == 0
        assert "test (pid" in shown.stdout
        assert "instances.max is 2" in shown.stdout
        pids = shell.worker_pids()
        assert len(pids) == 1
        waiting = shell.worker().begin(say="last", sleep=1.0)
        shell.worker().until_busy()
        assert shell.interrupt() == 0
        assert waiting.result().text == "last"  # accepted before, so answered
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        assert not instances_of(pids[0])
        assert shell.output().splitlines()[-1].endswith(": ended")
    after = run(tmp_path, "status")
    assert after.returncode == 3
    assert after.stderr == "ocrpool: nothing is running; start it with `ocrpool up -f FILE`\n"


def test_a_worker_that_dies_is_started_again_and_grows_again(tmp_path: Path) -> None:
    with up(tmp_path) as shell:
        shell.worker().until_ready(2)
        (pid,) = shell.worker_pids()
        os.kill(pid, signal.SIGKILL)
        wait_for("its death is told", lambda: "died (SIGKILL)" in shell.output())
        wait_for("there is another", lambda: shell.worker_pids() not in ([], [pid]))
        shell.worker().until_ready(2)


def test_a_killed_shell_leaves_no_worker_behind(tmp_path: Path) -> None:
    with up(tmp_path) as shell:
        shell.worker().until_ready(2)
        (pid,) = shell.worker_pids()
        shell.process.kill()
        shell.process.wait()
        wait_for("the worker is gone", lambda: not Path(f"/proc/{pid}").exists(), seconds=40)
        assert not instances_of(pid)
        assert run(tmp_path, "status").returncode == 3


def test_started_twice_is_one_line(tmp_path: Path) -> None:
    with up(tmp_path) as shell:
        shell.worker()
        second = run(tmp_path, "up", "-f", str(tmp_path / "test.yaml"))
        assert second.returncode == 2
        assert second.stderr.startswith(f"ocrpool: pool test runs already (pid {shell.process.pid}")
        assert second.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with up(tmp_path, "--port", str(port)) as shell:
            assert shell.process.wait(30) == 2
            last = shell.output().splitlines()[-1]
    assert last.startswith("ocrpool: worker-0 (cpu) did not start: http.port: 127.0.0.1:")
    assert "is in use" in last


def test_an_engine_that_cannot_boot_ends_it_with_the_reason(tmp_path: Path) -> None:
    with up(tmp_path, engine={"options": {"boot": {"raise": "ValueError:no such language"}}}) as it:
        assert it.process.wait(60) == 4
        last = it.output().splitlines()[-1]
    assert last.startswith("ocrpool: worker-0 (cpu) did not start: BootFailed: ")
    assert "no such language" in last
