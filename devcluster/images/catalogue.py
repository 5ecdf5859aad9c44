"""Every image that `make images` builds. A new Dockerfile of the project gets a line here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.layout import REPOSITORY, SOURCE, cache_root

OURS = SOURCE / "images"


@dataclass(frozen=True)
class Image:
    """`dockerfile` is built in `context`; absent files are of another branch and left out."""

    name: str
    dockerfile: Path
    context: Path

    @property
    def tag(self) -> str:
        """How a pod names it, with `imagePullPolicy: Never`."""
        return tag_of(self.name)


def tag_of(name: str) -> str:
    return f"localhost/ocrpool/{name}:dev"


# The Debian base is no image of the project: it stands in for `ARG BASE=python:3.11-slim`.
BASE = tag_of("base")
PAUSE = Image("pause", OURS / "pause" / "Dockerfile", cache_root() / "pause")
CATALOGUE = (
    PAUSE,
    Image("front", OURS / "front" / "Dockerfile", OURS / "front"),
    Image("testimage", OURS / "testimage" / "Dockerfile", OURS / "testimage"),
    Image("worker", REPOSITORY / "worker_image" / "Dockerfile", REPOSITORY),
    Image("operator", REPOSITORY / "operator" / "Dockerfile", REPOSITORY),
)


def archives() -> Path:
    return cache_root() / "images"


def archive_of(name: str) -> Path:
    return archives() / f"{name}.tar"


def missing() -> DevClusterError | None:
    """Why a node's tests cannot run yet; None if every image has been built."""
    lacking = [
        each.name
        for each in CATALOGUE
        if each.dockerfile.is_file() and not archive_of(each.name).is_file()
    ]
    if not lacking:
        return None
    return DevClusterError(f"No image yet of: {', '.join(lacking)}", "Run: make images")
