"""containerd's folder with all images unpacked. It is made once; nodes get a copy of hard links.

The import of the worker's image takes longer than the rest of a node's start. Linked files are
never written: containerd's blobs do not change, and a container writes to a layer of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tools.devcluster.errors import DevClusterError
from tools.devcluster.images.catalogue import archives
from tools.devcluster.layout import cache_root
from tools.devcluster.scratch import ENCLOSED, locked, scratch

# Everything below `ENCLOSED` ends with the shell; containerd's databases survive a kill.
IMPORT = """
set -e
mount -t tmpfs tmpfs /run
containerd --config "$1" >"$2" 2>&1 &
shift 2
tries=0
until ctr version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 100 ]; then echo "containerd does not answer" >&2; exit 1; fi
    sleep 0.1
done
for archive in "$@"; do ctr -n k8s.io images import "$archive"; done
"""
CONFIG = """
version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
"""


def copy_to(target: Path) -> None:
    """Make `target` a containerd root with every image of `make images`."""
    with locked("store"):
        store = _store()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(store, target, symlinks=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    """Link every file; copy databases, because containerd writes them in place."""
    if source.endswith(".db"):
        shutil.copy2(source, target)
    else:
        Path(target).hardlink_to(source)


def _store() -> Path:
    """The folder; it is made again where an image has changed."""
    store = cache_root() / "store"
    stamp = cache_root() / "store.json"
    wanted = {each.name: each.stat().st_mtime_ns for each in sorted(archives().glob("*.tar"))}
    if store.is_dir() and stamp.is_file() and json.loads(stamp.read_text()) == wanted:
        return store
    stamp.unlink(missing_ok=True)
    shutil.rmtree(store, ignore_errors=True)
    with scratch(cache_root()) as folder:
        root, config, log = folder / "root", folder / "config.toml", folder / "log"
        config.write_text(CONFIG.format(root=root))
        paths = [archives() / name for name in wanted]
        done = subprocess.run(
            [*ENCLOSED, "sh", "-c", IMPORT, "import", config, log, *paths],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            words = (done.stderr or log.read_text()).strip().splitlines()
            raise DevClusterError(
                f"containerd does not import images: {words[-1]}",
                f"Remove {archives()}, then: make images",
            )
        root.rename(store)
    stamp.write_text(json.dumps(wanted))
    return store
