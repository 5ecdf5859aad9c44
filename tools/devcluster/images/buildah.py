"""Calls buildah with its storage in the cache and its mounts in a namespace that ends with it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.devcluster.errors import DevClusterError
from tools.devcluster.images.catalogue import Image, tag_of
from tools.devcluster.layout import cache_root
from tools.devcluster.scratch import ENCLOSED

# 1980-01-01, as in the Dockerfiles.
EPOCH = "315532800"
HOST_AUTHORITIES = Path("/etc/ssl/certs")


def _storage() -> Path:
    return cache_root() / "buildah"


def _buildah(command: str, *words: str | Path) -> str:
    storage = _storage()
    storage.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            # buildah leaves its storage folder mounted; the mount ends with this process.
            *(*ENCLOSED, "buildah"),
            *("--root", str(storage / "root"), "--runroot", str(storage / "run")),
            *("--storage-driver", "overlay", command),
            *(str(word) for word in words),
        ],
        env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        log = storage / "last-failure.log"
        log.write_text(done.stdout + done.stderr)
        lines = done.stderr.strip().splitlines()
        raise DevClusterError(
            f"buildah {command}: {lines[-1] if lines else 'no output'}",
            f"The whole output: {log}",
        )
    return done.stdout


def _policy() -> Path:
    """A policy that accepts unsigned images. Without a policy buildah does not run."""
    policy = _storage() / "policy.json"
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return policy


def build(image: Image, *, anew: str = "") -> str:
    """Build a Dockerfile with our base as its `ARG BASE`. Returns the id of the image.

    Files and layers get a fixed time, so that the same files make the same image. `anew`: build
    without the cache, under another tag.
    """
    identity = _storage() / "iid"
    arguments = {"BASE": tag_of(image.base), **image.arguments}
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words: Sequence[str | Path] = [
        *("--layers", "--timestamp", EPOCH, "--tag", anew or image.tag, "--iidfile", identity),
        *(("--no-cache",) if anew else ()),
        *given,
        # A machine behind an inspecting proxy has CAs that the base image does not have.
        *("--volume", f"{HOST_AUTHORITIES}:{HOST_AUTHORITIES}:ro"),
        *("--signature-policy", _policy(), "--pull-never"),
        *("--file", image.dockerfile, image.context),
    ]
    _buildah("bud", *words)
    return identity.read_text().strip()


def layers(tag: str) -> tuple[tuple[str, str], ...]:
    """The layers, from the base upwards: (the instruction, the digest of the content)."""
    config = json.loads(_buildah("inspect", "--type", "image", tag))["OCIv1"]
    makers = [each["created_by"] for each in config["history"] if not each.get("empty_layer")]
    return tuple(zip(makers, config["rootfs"]["diff_ids"], strict=True))


def remove(tag: str) -> None:
    _buildah("rmi", tag)


def size_of(tag: str) -> str:
    """The size of all its files as buildah prints it: `216 MB`."""
    return _buildah("images", "--format", "{{.Size}}", "--filter", f"reference={tag}").strip()


def export(tag: str, archive: Path) -> None:
    """Write the image atomically as an archive for containerd."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    fresh = archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _buildah("push", "--signature-policy", _policy(), tag, f"docker-archive:{fresh}:{tag}")
    fresh.replace(archive)


def has(tag: str) -> bool:
    return bool(_buildah("images", "--quiet", "--filter", f"reference={tag}").strip())
