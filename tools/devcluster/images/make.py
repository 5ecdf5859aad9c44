"""Builds the images and exports those that changed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence

from tools.devcluster.errors import DevClusterError
from tools.devcluster.images import buildah
from tools.devcluster.images.catalogue import (
    BASE,
    CATALOGUE,
    OURS,
    PAUSE,
    Image,
    archive_of,
    archives,
    tag_of,
)
from tools.devcluster.machine import IMAGE_COMMANDS, need_commands, need_root
from tools.devcluster.scratch import ENCLOSED, locked, scratch

RELEASE = "bookworm"
# Packages of python:3.11-slim, or packages that Dockerfiles for it expect.
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"


def make(only: Sequence[str], say: Callable[[str], None]) -> list[Image]:
    """Build these images (all without names) if their Dockerfile exists. Returns them."""
    known = {image.name: image for image in CATALOGUE}
    if unknown := set(only) - set(known):
        raise DevClusterError(
            f"No such image: {', '.join(unknown)}", f"There are: {', '.join(known)}"
        )
    wanted = _with_bases([known[name] for name in only]) if only else list(CATALOGUE)
    present = [image for image in wanted if image.dockerfile.is_file()]
    need_root("Building images")
    need_commands(IMAGE_COMMANDS)
    with locked("images"):
        _make(present, say)
    return present


def compare(only: Sequence[str], say: Callable[[str], None]) -> None:
    """Build images once more without the cache (except the base) and compare their layers. Raises
    DevClusterError where they differ."""
    known = {image.name for image in CATALOGUE}
    for image in make(only, say):
        if image.name not in (only or known):
            continue
        again = f"{image.tag}-again"
        began = time.monotonic()
        with locked("images"):
            buildah.build(image, anew=again)
            before, after = buildah.layers(image.tag), buildah.layers(again)
            buildah.remove(again)
        for (maker, digest), (_, other) in zip(before, after, strict=True):
            if digest != other:
                raise DevClusterError(
                    f"{image.tag}: the second build differs, first in the layer of: {maker[:200]}",
                    "Something in it depends on the time, or the packages of apt have changed.",
                )
        took_s = time.monotonic() - began
        say(f"{image.tag}: built again, the same {len(before)} layers, {took_s:.1f} s")


def _with_bases(wanted: Sequence[Image]) -> list[Image]:
    """The images and their bases, in the order of the catalogue."""
    names = {image.name for image in wanted} | {image.base for image in wanted}
    return [image for image in CATALOGUE if image.name in names]


def _make(present: Sequence[Image], say: Callable[[str], None]) -> None:
    _compile_pause()
    if any(image is not PAUSE for image in present):
        _make_base(say)
    for image in present:
        began = time.monotonic()
        built = buildah.build(image)
        news = "built" if _export(image, built) else "unchanged"
        took_s = time.monotonic() - began
        size, of_base = buildah.size_of(image.tag), buildah.size_of(tag_of(image.base))
        say(f"{image.tag}: {news}, {size} (its base: {of_base}), {took_s:.1f} s")


def _export(image: Image, identity: str) -> bool:
    """Write the archive for nodes. Returns False where the archive of this image already exists."""
    stamp = archives() / f"{image.name}.id"
    archive = archive_of(image.name)
    is_there = archive.is_file() or not image.is_loaded
    if stamp.is_file() and is_there and stamp.read_text() == identity:
        return False
    stamp.unlink(missing_ok=True)
    if image.is_loaded:
        buildah.export(image.tag, archive)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(identity)
    return True


def _compile_pause() -> None:
    PAUSE.context.mkdir(parents=True, exist_ok=True)
    source = OURS / "pause" / "pause.c"
    target = PAUSE.context / "pause"
    if target.is_file() and target.stat().st_mtime > source.stat().st_mtime:
        return
    argv = ["gcc", "-static", "-Os", "-s", "-o", str(target), str(source)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevClusterError(
            f"pause.c does not compile: {done.stderr.strip().splitlines()[-1]}",
            "On Debian or Ubuntu: apt-get install -y gcc libc6-dev",
        )


def _make_base(say: Callable[[str], None]) -> None:
    """Make the base, Debian with Python, if it does not exist."""
    if buildah.has(BASE):
        return
    say(f"{BASE}: installing Debian {RELEASE}, once")
    began = time.monotonic()
    with scratch(archives()) as folder:
        rootfs = folder / "rootfs"
        argv = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(rootfs)]
        done = subprocess.run([*ENCLOSED, *argv], capture_output=True, text=True, check=False)
        if done.returncode:
            raise DevClusterError(
                f"debootstrap: {(done.stderr or done.stdout).strip().splitlines()[-1]}",
                "Check that this machine reaches Debian's packages, then: make images",
            )
        for waste in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
        ):
            shutil.rmtree(rootfs / waste, ignore_errors=True)
        (rootfs / "var/cache/apt/archives/partial").mkdir(parents=True)
        (rootfs / "var/lib/apt/lists/partial").mkdir(parents=True)
        subprocess.run(
            ["tar", "-C", rootfs, "--one-file-system", "-cf", folder / "rootfs.tar", "."],
            check=True,
        )
        shutil.rmtree(rootfs)
        buildah.build(Image("base", OURS / "base" / "Dockerfile", folder))
    say(f"{BASE}: {time.monotonic() - began:.0f} s")
