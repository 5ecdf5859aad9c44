"""Determine the role of a model folder in PaddleOCR's pipeline, from the name in its config."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from ocrpool_worker.errors import StageError
from ocrpool_worker.models.manifest import Role

# The files that PaddleX reads of a model in Paddle's own format. `inference.json` is the program of
# models exported since Paddle 3, `inference.pdmodel` of older ones.
PROGRAMS = ("inference.json", "inference.pdmodel")
MODEL_FILES = ("inference.yml", "inference.pdiparams", *PROGRAMS)
MAX_CONFIG_BYTES = 8 * 2**20

_PATTERNS: tuple[tuple[str, Role], ...] = (
    # Only one word between version and kind: PP-OCRv4_server_seal_det belongs to another pipeline.
    (r"(\w+_)?PP-OCRv\d+_[a-z]+_det", "text_detection"),
    (r"(\w+_)?PP-OCRv\d+_[a-z]+_rec(_doc)?", "text_recognition"),
    (r"PP-LCNet_x\d+_\d+_textline_ori", "textline_orientation"),
    (r"PP-LCNet_x\d+_\d+_doc_ori", "doc_orientation_classify"),
    (r"UVDoc", "doc_unwarping"),
)


@dataclass(frozen=True)
class Model:
    """A model with PaddleX's name. `name` matches a pattern above, so it is a safe folder name."""

    name: str
    role: Role


def role_of(name: str) -> Role | None:
    """The role of the model with this name, or None if PaddleOCR's pipeline has no such role."""
    for pattern, role in _PATTERNS:
        if re.fullmatch(pattern, name, re.ASCII):
            return role
    return None


def identify(folder: Path) -> Model:
    """The name and role of the model in `folder`. Raises StageError, or OSError while reading."""
    for needed in ("inference.yml", "inference.pdiparams"):
        if not (folder / needed).is_file():
            raise StageError(f"{folder}: has no {needed}, so it is not a PaddleX model folder")
    if not any((folder / program).is_file() for program in PROGRAMS):
        raise StageError(f"{folder}: neither {' nor '.join(PROGRAMS)} there")
    config = folder / "inference.yml"
    name = _model_name(config)
    role = role_of(name)
    if role is None:
        raise StageError(
            f"{config}: Global.model_name is {name!r}, not a model of PaddleOCR's pipeline; "
            "expected PP-OCRv*_det, PP-OCRv*_rec, PP-LCNet_*_doc_ori, PP-LCNet_*_textline_ori "
            "or UVDoc; move it out of the source"
        )
    return Model(name, role)


def identify_all(parent: Path) -> dict[Path, Model]:
    """Folder → model, one level below `parent`. Raises StageError for no model or two of a role."""
    found: dict[Path, Model] = {}
    holders: dict[Role, Path] = {}
    for folder in sorted(parent.iterdir()):
        if not (folder / "inference.yml").is_file():
            continue
        model = identify(folder)
        if model.role in holders:
            raise StageError(
                f"{parent}: two models for {model.role}: {holders[model.role].name} and "
                f"{folder.name}; keep one of them in the source"
            )
        holders[model.role] = folder
        found[folder] = model
    if not found:
        raise StageError(f"{parent}: no model there; expected folders with an inference.yml")
    return found


def _model_name(config: Path) -> str:
    if config.stat().st_size > MAX_CONFIG_BYTES:
        raise StageError(f"{config}: over {MAX_CONFIG_BYTES} bytes, so it is not an inference.yml")
    # The recogniser's file lists its whole alphabet. libyaml reads that six times faster.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(config.read_bytes(), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise StageError(f"{config}: not YAML: {' '.join(str(error).split())[:200]}") from None
    section = content.get("Global") if isinstance(content, dict) else None
    name = section.get("model_name") if isinstance(section, dict) else None
    if not isinstance(name, str):
        raise StageError(f"{config}: has no Global.model_name")
    return name
