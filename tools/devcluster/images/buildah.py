"""buildah, with its storage in the cache and its mounts in a namespace that ends with it."""

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
            # buildah leaves its storage folder mounted; here that goes with the process.
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
            f"buildah {command}: {lines[-1] if lines else 'no word why'}",
            f"The whole output: {log}",
        )
    return done.stdout


def _policy() -> Path:
    """There are no signatures to check; without a policy buildah refuses to look."""
    policy = _storage() / "policy.json"
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return policy


def build(image: Image, *, anew: str = "") -> str:
    """Build an ordinary Dockerfile; its `ARG BASE` gets our base. Returns the image's id.

    Files and layers bear one time, so that the same files make the same image. `anew`: another tag,
    for a build that takes nothing from those before.
    """
    identity = _storage() / "iid"
    arguments = {"BASE": tag_of(image.base), **image.arguments}
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words: Sequence[str | Path] = [
        *("--layers", "--timestamp", EPOCH, "--tag", anew or image.tag, "--iidfile", identity),
        *(("--no-cache",) if anew else ()),
        *given,
        # A machine behind an inspecting proxy trusts authorities that the base does not know.
        *("--volume", f"{HOST_AUTHORITIES}:{HOST_AUTHORITIES}:ro"),
        *("--signature-policy", _policy(), "--pull-never"),
        *("--file", image.dockerfile, image.context),
    ]
    _buildah("bud", *words)
    return identity.read_text().strip()


def layers(tag: str) -> tuple[tuple[str, str], ...]:
    """(the instruction that made it, digest of its content), from the base upwards."""
    config = json.loads(_buildah("inspect", "--type", "image", tag))["OCIv1"]
    makers = [each["created_by"] for each in config["history"] if not each.get("empty_layer")]
    return tuple(zip(makers, config["rootfs"]["diff_ids"], strict=True))


def remove(tag: str) -> None:
    _buildah("rmi", tag)


def size_of(tag: str) -> str:
    """What all its files take, in buildah's words: `216 MB`."""
    return _buildah("images", "--format", "{{.Size}}", "--filter", f"reference={tag}").strip()


def export(tag: str, archive: Path) -> None:
    """Write the image as an archive that containerd reads; whole, or not at all."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    fresh = archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _buildah("push", "--signature-policy", _policy(), tag, f"docker-archive:{fresh}:{tag}")
    fresh.replace(archive)


def has(tag: str) -> bool:
    return bool(_buildah("images", "--quiet", "--filter", f"reference={tag}").strip())
