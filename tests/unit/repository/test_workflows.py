"""What the workflows and hooks name exists: make targets, files, build arguments, tools."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.repository.named import ROOT, make_targets

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PATH = re.compile(r"(?<![\w./@-])((?:\.ci|charts|operator|tests|tools|worker_image)/[\w./-]*\w)")
Step = Mapping[str, Any]


def jobs_of(path: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return jobs


def steps_of(path: Path) -> Iterator[tuple[Mapping[str, Any], Step]]:
    """Each step with its job."""
    for job in jobs_of(path).values():
        for step in job["steps"]:
            yield job, step


def texts_of(path: Path) -> Iterator[str]:
    """Each command."""
    for _, step in steps_of(path):
        if "run" in step:
            yield step["run"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_commands_name_targets_and_files_that_exist(path: Path) -> None:
    commands = "\n".join(texts_of(path))
    targets = set(re.findall(r"^make ([a-z-]+)", commands, re.MULTILINE))
    assert targets
    assert targets <= make_targets()
    for named in PATH.findall(commands):
        assert (ROOT / named).exists(), named
    for module in re.findall(r"python3? -m ([\w.]+)", commands):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file(), module


def test_ci_runs_what_is_run_by_hand() -> None:
    commands = list(texts_of(GITHUB / "workflows" / "ci.yml"))
    assert ".ci/run" in commands
    assert "make check" in commands


def builds() -> Iterator[tuple[str, str, str]]:
    """Dockerfile, platforms, and build arguments of each image that a release builds."""
    for job, step in steps_of(GITHUB / "workflows" / "release.yml"):
        if "docker/build-push-action" in step.get("uses", ""):
            given = step["with"]
            file = given["file"]
            matrix = job.get("strategy", {}).get("matrix", {})
            named = [each["dockerfile"] for each in matrix.get("include", []) if "image" in each]
            for dockerfile in named if "matrix.dockerfile" in file else [file]:
                yield dockerfile, given["platforms"], given["build-args"]


def test_images_are_built_from_dockerfiles_with_arguments_that_they_have() -> None:
    found = list(builds())
    assert {file for file, _, _ in found} == {"operator/Dockerfile", "worker_image/Dockerfile"}
    for file, _, arguments in found:
        text = (ROOT / file).read_text(encoding="utf-8")
        known = set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))
        given = set(re.findall(r"^(\w+)=", arguments, re.MULTILINE))
        assert given >= {"BASE", "VERSION", "REVISION"}
        assert given <= known, file
    assert any("VARIANT=gpu" in arguments for _, _, arguments in found)
    assert "VARIANT" in (ROOT / "worker_image" / "Dockerfile").read_text(encoding="utf-8")


def test_operator_and_worker_are_built_for_both_platforms() -> None:
    matrix = jobs_of(GITHUB / "workflows" / "release.yml")["build"]["strategy"]["matrix"]
    assert matrix["image"] == ["operator", "worker"]
    assert matrix["platform"] == ["linux/amd64", "linux/arm64"]


def test_every_job_waits_for_jobs_that_exist_and_may_do_no_more_than_it_says() -> None:
    for path in WORKFLOWS:
        whole = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert "permissions" in whole, path
        for name, job in whole["jobs"].items():
            needs = job.get("needs", [])
            assert set([needs] if isinstance(needs, str) else needs) <= set(whole["jobs"]), name


def test_actions_are_pinned_to_a_version() -> None:
    for path in WORKFLOWS:
        for _, step in steps_of(path):
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+(\.\d+)*", step["uses"]), step


def test_releasing_describes_each_switch() -> None:
    text = (GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8")
    doc = (ROOT / "docs" / "releasing.md").read_text(encoding="utf-8")
    switches = set(re.findall(r"\b(?:vars|secrets)\.(\w+)", text))
    assert len(switches) >= 4
    for switch in switches:
        assert f"`{switch}`" in doc, switch


def test_hooks_run_tools_of_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = {re.split(r"[<>=\[]", each)[0] for each in sum_of(extras["optional-dependencies"])}
    for repository in config["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            if hook["language"] == "pygrep":
                continue
            tool, *arguments = hook["entry"].split()
            if tool == "make":
                assert set(arguments) <= make_targets()
            else:
                assert tool.removeprefix(".venv/bin/") in packages, hook


def sum_of(extras: Mapping[str, list[str]]) -> list[str]:
    return [each for packages in extras.values() for each in packages]


def test_issue_forms_are_forms() -> None:
    forms = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
    assert {form.stem for form in forms} == {"bug", "config", "feature", "wrong-text"}
    for form in forms:
        content = yaml.safe_load(form.read_text(encoding="utf-8"))
        if form.stem == "config":
            continue
        assert {"name", "description", "body"} <= set(content)
        for field in content["body"]:
            assert field["type"] in {"markdown", "textarea", "input", "dropdown"}
            if field["type"] != "markdown":
                assert field["attributes"]["label"]
                assert field["id"]
            if field["type"] == "dropdown":
                assert all(isinstance(option, str) for option in field["attributes"]["options"])
