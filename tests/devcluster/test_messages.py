"""Each problem that a user can fix is reported in one line, with the remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.devcluster import machine
from tools.devcluster.build import parts
from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import REPOSITORY, folder

PYTHON = sys.executable


def _tool(*words: str, user: int | None = None, **environment: str) -> str:
    """The one line that the tool prints before it exits with 1."""
    done = subprocess.run(
        [PYTHON, "-m", "tools.devcluster", *words],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        user=user,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache: a fresh machine."""
    monkeypatch.setenv("OCRPOOL_DEVCLUSTER_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path


@pytest.fixture
def fake_builds(cache: Path) -> Path:
    """A cache in which everything seems built."""
    for part in parts.NODE_PARTS:
        complete = parts.Part(part.name, part.programs, part.recipe, part.sources)
        complete.folder.mkdir()
        for program in complete.programs:
            (complete.folder / program).write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
            (complete.folder / program).chmod(0o755)
        complete.seal()
    return cache


@pytest.mark.usefixtures("cache")
def test_a_missing_build_names_the_command() -> None:
    assert "etcd is not built yet. Run: make cluster-build" in _tool("up")


def test_a_half_built_part_is_reported(fake_builds: Path) -> None:
    next(fake_builds.glob("kubernetes-*/kubelet")).write_text("cut")

    assert "The build of kubernetes is half done" in _tool("up")


def test_a_node_without_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(DevClusterError, match=r"A node needs root, and this is user 1000.*sudo"):
        machine.check_machine()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "CNI_FOLDERS", ())

    with pytest.raises(DevClusterError) as error:
        machine.check_machine()

    assert "apt-get install" in str(error.value)
    for package in ("containerd", "runc", "buildah", "containernetworking-plugins"):
        assert package in error.value.what


def test_a_used_port_is_reported(fake_builds: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} is in use. Choose another one" in _tool("up", "--port", str(port))
    assert not list(fake_builds.glob("clusters/dev"))


@pytest.mark.usefixtures("fake_builds")
def test_a_component_that_does_not_start_is_quoted_and_cleaned_up() -> None:
    message = _tool("up")

    assert message.startswith("etcd: ended (broken). The whole log: ")
    assert "Clean up with: make cluster-down" in message
    assert "Cluster 'dev' was cut off" in _tool("up")


@pytest.mark.parametrize("name", ["Big", "a/b", "..", "", "-a", "n" * 21])
def test_an_invalid_cluster_name_is_refused(name: str) -> None:
    with pytest.raises(DevClusterError, match="lower-case letters"):
        folder(name)


@pytest.mark.usefixtures("cache")
def test_an_unknown_image_is_refused() -> None:
    assert "No such image: nonesuch. There are: pause" in _tool("images", "nonesuch")


def _run_tests(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "tests/devcluster/test_control_plane.py"],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.usefixtures("cache")
def test_on_a_fresh_machine_the_last_lines_name_tests_left_out_and_why() -> None:
    done = _run_tests(CI="", KUBECONTEXT="")

    assert done.returncode == 0
    last = "\n".join(done.stdout.splitlines()[-3:])
    assert "5 tests left out: etcd is not built yet" in last
    assert "Run: make cluster-build" in last


@pytest.mark.usefixtures("cache")
def test_in_ci_tests_that_cannot_run_fail() -> None:
    done = _run_tests(CI="true", KUBECONTEXT="")

    assert done.returncode == 1
    assert "5 errors" in done.stdout
