"""Pool files: one file for a cluster and for one machine, and one line for what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ocrpool.local.devices import find_devices
from ocrpool.local.errors import LocalError
from ocrpool.local.pool_file import load_pool, worker_settings
from ocrpool.planner.instances.types import InstanceLimits
from ocrpool.resource.spec import PoolSpec
from tests.local.harness import pool_file, run
from tests.unit.resource.spec_cases import BROKEN
from tests.worker.harness import ROOT

SAMPLES = sorted((ROOT / "examples" / "pools").glob("*.yaml"))

HEAD = "apiVersion: ocrpool.dev/v1alpha1\nkind: OcrPool\nmetadata: {name: test}\n"
WHOLE = (
    HEAD
    + """
spec:
  replicas: 2
  device: cpu
  resourceName: nvidia.com/gpu
  instances: {min: 2, max: 6}
  memory: {reserve: 1.5Gi, perInstance: 3Gi}
  engine: {name: paddleocr, options: {lang: ch}}
  models: {dir: /models}
  admission: {maxMegapixels: 9}
  recycle: {afterRequests: 500}
  template: {nodeSelector: {zone: a}, graceSeconds: 7}
"""
)


def test_a_whole_file_becomes_limits_and_settings(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(WHOLE)
    pool = load_pool(file)
    limits = pool.limits("worker-0")
    assert limits == InstanceLimits(2, 6, 3 * 2**29, 3 * 2**30, name="test/worker-0")
    settings = worker_settings(
        pool, "cpu", models=None, host="127.0.0.1", port=8080, control_port=8081
    )
    assert settings["instances"] == {"min": 1, "max": 6}  # the planner asks for the second one
    assert settings["models"] == {"dir": "/models"}
    assert settings["engine"]["options"] == {"lang": "ch"}
    assert (settings["http"]["port"], settings["http"]["controlPort"]) == (8080, 8081)
    assert settings["http"]["graceSeconds"] == 7
    assert settings["memory"] == {"reserve": "1.5Gi", "perInstance": "3Gi", "pollSeconds": 1.0}
    file.write_text(WHOLE.replace("dir: /models", "dir: /models, hostPath: /srv"))
    mounted = worker_settings(
        load_pool(file), "cpu", models=None, host="::1", port=0, control_port=0
    )
    assert mounted["models"] == {"dir": "/srv"}
    other = worker_settings(pool, "cpu", models=Path("/x"), host="::1", port=0, control_port=0)
    assert other["models"] == {"dir": "/x"}


def test_two_observations_are_two_looks_at_the_device(tmp_path: Path) -> None:
    (tmp_path / "pool.yaml").write_text(HEAD)
    settings = worker_settings(
        load_pool(tmp_path / "pool.yaml"),
        "cpu",
        models=None,
        host="::1",
        port=0,
        control_port=0,
        interval=0.5,
    )
    assert settings["memory"]["pollSeconds"] == 0.25


def test_without_a_spec_there_are_defaults(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(HEAD)
    assert load_pool(file).limits() == InstanceLimits(1, 8, 2**30, name="test/")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "spec: {memory: {reserv: 1Gi}}", "spec.memory.reserv: no such setting"),
        (HEAD + "spec: {colour: red}", "spec.colour: no such setting"),
        (HEAD + "spec: {memory: {reserve: lots}}", "write for example 512Mi"),
        (HEAD + "spec: {memory: {perInstance: some}}", "write for example 512Mi or 2Gi, or auto"),
        (HEAD + "spec: {template: {imag: x}}", "spec.template.imag: no such setting"),
        (HEAD + "spec: {replicas: -1}", "spec.replicas:"),
        (HEAD + "spec: {instances: {max: '3'}}", "spec.instances.max: Input should be a valid int"),
        (HEAD + "spec: {instances: {min: 3, max: 2}}", "instances.min must not be above instances"),
        (HEAD + "spec: []", "spec: Input should be an object"),
        (HEAD + "specs: {}", "specs: no such setting"),
        (HEAD + "spec: {instances: {max: 0}}", "spec.instances.max:"),
        (HEAD + "spec: {device: tpu}", "spec.device:"),
        (HEAD.replace("test", "Te_st"), "metadata.name must be at most 58"),
        (HEAD.replace("test", "1st"), "metadata.name must be at most 58"),
        (HEAD.replace("OcrPool", "Pod"), "kind:"),
        (HEAD.replace("v1alpha1", "v9"), "apiVersion:"),
        ("", "expected one OcrPool, found 0 in 0 documents"),
        (HEAD + "---\n" + HEAD, "found 2 in 2 documents"),
        ("kind: Pod\n---\nkind: Secret\n", "found 0 in 2 documents"),
        ("[1, 2]", "found no mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(text)
    with pytest.raises(LocalError) as caught:
        load_pool(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert said in message
    assert "\n" not in message
    assert caught.value.status == 2


@pytest.mark.parametrize(("spec", "sentence"), BROKEN)
def test_a_rule_between_fields_is_the_same_as_in_a_cluster(
    tmp_path: Path, spec: dict[str, Any], sentence: str
) -> None:
    """tests/operator/test_schema.py holds the API server to the same cases."""
    file = tmp_path / "pool.yaml"
    file.write_text(HEAD + yaml.safe_dump({"spec": spec}))
    with pytest.raises(LocalError) as caught:
        load_pool(file)
    assert str(caught.value).startswith(f"{file}: {sentence}")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_for_a_cluster_are_taken_as_they_are(sample: Path) -> None:
    objects = list(yaml.safe_load_all(sample.read_text(encoding="utf-8")))
    specs = [one["spec"] for one in objects if one["kind"] == "OcrPool"]
    if len(specs) > 1:
        with pytest.raises(LocalError, match="expected one OcrPool, found 2 in 2 documents"):
            load_pool(sample)
        return
    assert load_pool(sample).spec == PoolSpec.model_validate(specs[0])


def test_what_is_wrong_in_the_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    file = pool_file(tmp_path, admission={"maxMegapixel": 1})
    done = run(tmp_path, "up", "-f", str(file))
    assert done.returncode == 2
    assert done.stderr == f"ocrpool: {file}: spec.admission.maxMegapixel: no such setting\n"


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "plan", "-f", "nowhere.yaml")
    assert (done.returncode, done.stderr) == (
        2,
        "ocrpool: nowhere.yaml: No such file or directory\n",
    )


def test_no_gpu_is_one_line(tmp_path: Path) -> None:
    """With the real NVML module, which finds no driver here."""
    done = run(tmp_path, "plan", "-f", str(pool_file(tmp_path, device="gpu")), LD_LIBRARY_PATH="")
    if done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 2
    assert done.stderr.startswith("ocrpool: spec.device is gpu, and NVML fails: ")
    assert done.stderr.count("\n") == 1


def test_a_cpu_is_always_there() -> None:
    assert [found.setting for found in find_devices("cpu", {"CUDA_VISIBLE_DEVICES": ""})] == ["cpu"]


def test_plan_says_what_it_would_do_and_why(tmp_path: Path) -> None:
    file = pool_file(tmp_path, memory={"reserve": 0})
    done = run(tmp_path, "plan", "-f", str(file), "--footprint", "1Mi")
    assert done.returncode == 0
    assert "the first instance starts alone, and its memory" in done.stdout
    assert "  1 → 2: headroom " in done.stdout
    assert done.stdout.endswith("  2: hold, instances.max is 2\n")
    unknown = run(tmp_path, "plan", "-f", str(file))
    assert "footprint is unknown until then" in unknown.stdout
