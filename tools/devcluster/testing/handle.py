"""A client of a cluster for tests: our own cluster, or one that the user names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.devcluster.build import parts
from tools.devcluster.errors import DevClusterError
from tools.devcluster.fakegpu import device
from tools.devcluster.fakegpu.device import FakeGpu
from tools.devcluster.layout import Folder


@dataclass(frozen=True)
class Cluster:
    """`kubeconfig` and `context` select the cluster; `folder` is set for our own clusters only."""

    kubeconfig: Path
    context: str | None = None
    folder: Folder | None = None

    def command(self, *words: str) -> list[str]:
        """The command line of kubectl, for a test that starts and stops it itself
        (port-forward)."""
        where = [f"--kubeconfig={self.kubeconfig}"]
        if self.context:
            where.append(f"--context={self.context}")
        return [_program("kubectl"), *where, *words]

    def kubectl(self, *words: str, manifest: object = None, timeout_s: float = 60) -> str:
        """Run kubectl and return its output. `manifest` is piped to it as JSON.

        Raises AssertionError with the error message of kubectl.
        """
        return _run(self.command(*words), timeout_s, manifest)

    def helm(self, *words: str, timeout_s: float = 60) -> str:
        """Run helm and return its output. Raises AssertionError with its error message."""
        where = [f"--kubeconfig={self.kubeconfig}"]
        if self.context:
            where.append(f"--kube-context={self.context}")
        return _run([_program("helm"), *where, *words], timeout_s)

    def get(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "--output=json"))
        return found

    def wait_for_crds(self, *names: str) -> None:
        """Wait until the API server serves the kinds of these CRDs.

        `kubectl wait` fails on a new CRD that has no conditions yet.
        """
        deadline = time.monotonic() + 50
        for name in names:
            while not self._is_established(name):
                assert time.monotonic() < deadline, f"crd/{name} is not established"
                time.sleep(0.2)

    def _is_established(self, name: str) -> bool:
        conditions = self.get(f"crd/{name}").get("status", {}).get("conditions") or ()
        return any(
            each["type"] == "Established" and each["status"] == "True" for each in conditions
        )

    @property
    def gpus(self) -> list[FakeGpu]:
        """The fake GPUs of the first node, by index."""
        if self.folder is None or not self.folder.gpus_of(0).is_dir():
            return []
        return device.devices(self.folder.gpus_of(0))


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test. Every call goes to this namespace."""

    cluster: Cluster
    name: str

    def command(self, *words: str) -> list[str]:
        return self.cluster.command(f"--namespace={self.name}", *words)

    def kubectl(self, *words: str, manifest: object = None, timeout_s: float = 60) -> str:
        where = f"--namespace={self.name}"
        return self.cluster.kubectl(where, *words, manifest=manifest, timeout_s=timeout_s)

    def apply(self, manifest: object) -> None:
        self.kubectl("apply", "--filename=-", manifest=manifest)

    def get(self, *words: str) -> dict[str, Any]:
        return self.cluster.get(f"--namespace={self.name}", *words)


def _run(argv: list[str], timeout_s: float, manifest: object = None) -> str:
    done = subprocess.run(
        argv,
        input=None if manifest is None else json.dumps(manifest),
        stdin=subprocess.DEVNULL if manifest is None else None,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    words = " ".join([Path(argv[0]).name, *argv[1:]])
    assert done.returncode == 0, f"{words}: {done.stderr.strip()}"
    return done.stdout


def _program(name: str) -> str:
    try:
        return str(parts.find(name))
    except DevClusterError:
        found = shutil.which(name)
        if found is None:
            raise
        return found


def existing() -> Cluster | None:
    """The cluster that `make e2e KUBECONTEXT=…` names: kind, or any other."""
    context = os.environ.get("KUBECONTEXT")
    if not context:
        return None
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Cluster(Path(named or Path.home() / ".kube" / "config"), context)
