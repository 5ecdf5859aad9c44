"""Every image that `make images` builds. A new Dockerfile of the project needs a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import REPOSITORY, SOURCE, cache_root

OURS = SOURCE / "images"


@dataclass(frozen=True)
class Image:
    """`dockerfile` is built in `context`. Images without this file are skipped.

    `base`: the image for `ARG BASE`, which is Debian or an image listed before. `is_loaded`: nodes
    load it; otherwise it is only a base for others.
    """

    name: str
    dockerfile: Path
    context: Path
    base: str = "base"
    arguments: Mapping[str, str] = field(default_factory=dict)
    is_loaded: bool = True

    @property
    def tag(self) -> str:
        """Its name in a pod, with `imagePullPolicy: Never`."""
        return tag_of(self.name)


def tag_of(name: str) -> str:
    return f"localhost/ocrpool/{name}:dev"


# The Debian base is not an image of the project. It replaces `ARG BASE=python:3.11-slim`.
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
    """Why tests on a node cannot run, or None if every image is built."""
    unbuilt = [
        each.name
        for each in CATALOGUE
        if each.is_loaded and each.dockerfile.is_file() and not archive_of(each.name).is_file()
    ]
    if not unbuilt:
        return None
    return DevClusterError(f"No image yet of: {', '.join(unbuilt)}", "Run: make images")
