"""`ocrpool up` with real workers: starts, shows its state, survives crashes, stops in order.

How it follows memory is in tests/headroom.
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from tests.local.harness import pool_file, run, up
from tests.worker.client import instances_of, wait_for


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
        wait_for("its exit is shown", lambda: "killed by SIGKILL" in shell.output())
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


def test_a_second_pool_on_the_ports_of_the_first_is_told_of_it(tmp_path: Path) -> None:
    with up(tmp_path) as shell:
        port, pid = shell.worker().port, shell.process.pid
        control = shell.worker().control_port
        other = str(pool_file(tmp_path, "other"))
        second = run(tmp_path, "up", "-f", other, "--port", str(port))
        assert second.returncode == 2
        taken = sorted({port, control} & {port, port + 1})
        assert second.stderr == (
            f"ocrpool: --port {port}: pool test (pid {pid}) listens on "
            f"{', '.join(map(str, taken))}; use for example --port {max(port, control) + 1}, or 0 "
            "for any free ports\n"
        )
        assert second.stdout == ""  # nothing was started for it


def test_an_engine_that_cannot_boot_ends_it_with_the_reason(tmp_path: Path) -> None:
    with up(tmp_path, engine={"options": {"boot": {"raise": "ValueError:no such language"}}}) as it:
        assert it.process.wait(60) == 4
        last = it.output().splitlines()[-1]
    assert last.startswith("ocrpool: worker-0 (cpu) did not start: BootFailed: ")
    assert "no such language" in last
