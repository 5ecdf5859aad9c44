"""Every image that `make images` builds. A new Dockerfile of the project gets a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import REPOSITORY, SOURCE, cache_root

OURS = SOURCE / "images"


@dataclass(frozen=True)
class Image:
    """`dockerfile` is built in `context`; absent files are of another branch and left out.

    `base` is the name of the image that `ARG BASE` gets: the Debian one, or one that is listed
    before. `is_loaded`: nodes get it; otherwise it only is the base of others.
    """

    name: str
    dockerfile: Path
    context: Path
    base: str = "base"
    arguments: Mapping[str, str] = field(default_factory=dict)
    is_loaded: bool = True

    @property
    def tag(self) -> str:
        """How a pod names it, with `imagePullPolicy: Never`."""
        return tag_of(self.name)


def tag_of(name: str) -> str:
    return f"localhost/ocrpool/{name}:dev"


# The Debian base is no image of the project: it stands in for `ARG BASE=python:3.11-slim`.
BASE = tag_of("base")
PAUSE = Image("pause", OURS / "pause" / "Dockerfile", cache_root() / "pause")
WORKER = REPOSITORY / "worker_image" / "Dockerfile"
STAND_IN = REPOSITORY / "tests" / "e2e" / "image"
CATALOGUE = (
    PAUSE,
    Image("proxy", OURS / "proxy" / "Dockerfile", OURS / "proxy"),
    Image("testimage", OURS / "testimage" / "Dockerfile", OURS / "testimage"),
    Image("operator", REPOSITORY / "operator" / "Dockerfile", REPOSITORY),
    Image("worker", WORKER, REPOSITORY),
    # A worker without Paddle, and on it the fake engine that takes memory of fake GPUs.
    Image(
        "bareworker",
        WORKER,
        REPOSITORY,
        arguments={"VARIANT": "worker", "MODELS": "none"},
        is_loaded=False,
    ),
    Image("testworker", STAND_IN / "Dockerfile", STAND_IN, base="bareworker"),
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
        if each.is_loaded and each.dockerfile.is_file() and not archive_of(each.name).is_file()
    ]
    if not lacking:
        return None
    return DevClusterError(f"No image yet of: {', '.join(lacking)}", "Run: make images")
