"""Write manifests/base from the chart's default output. With --check, fail when it is stale.

So that `kubectl apply -k manifests/` and `helm install` make the same things from one source.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import yaml

from tools.devcluster.build import parts
from tools.devcluster.build.run import build

ROOT = Path(__file__).resolve().parents[2]
CHART, BASE = ROOT / "charts" / "ocrpool", ROOT / "manifests" / "base"
NOTE = "# Generated from charts/ocrpool by `make docs`.\n"
DOCUMENT = re.compile(r"(?:---\n)?# Source: \S+/(?P<file>\S+)\n(?P<text>.*)", re.DOTALL)
# Labels of Helm, which do not apply here.
HELMS = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)
# `make docs` writes the CRD from the types.
ELSEWHERE = {"crd.yaml"}


def rendered() -> str:
    """Return the objects of `helm install` with default values, without tests and hooks."""
    build([parts.CLIENTS], lambda words: print(words, file=sys.stderr))
    command = ["template", "ocrpool", CHART, "--namespace", "ocrpool-system", "--skip-tests"]
    done = subprocess.run(
        [str(parts.find("helm")), *map(str, command)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def files() -> dict[str, str]:
    """Return the text of each file: one per template of the chart, and the kustomization."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for document in rendered().split("\n---\n"):
        parsed = DOCUMENT.match(document)
        assert parsed, document
        if parsed["file"] not in ELSEWHERE:
            found[parsed["file"]].append(HELMS.sub("", parsed["text"]).strip() + "\n")
    texts = {name: NOTE + "---\n".join(parts) for name, parts in sorted(found.items())}
    head = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(texts),
    }
    return texts | {"kustomization.yaml": NOTE + yaml.safe_dump(head, sort_keys=False)}


def main() -> int:
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in BASE.glob("*")}
    stale = sorted(
        name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)
    )
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"manifests/base/{name} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        if name in wanted:
            (BASE / name).write_text(wanted[name], encoding="utf-8")
        else:
            (BASE / name).unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
