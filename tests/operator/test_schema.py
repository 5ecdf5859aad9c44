"""What `kubectl apply` refuses, with which sentence, and which defaults the schema sets."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ocrpool.resource.spec import PoolSpec
from tests.operator.api import Api
from tests.operator.harness import pool
from tests.operator.kubelet import ROOT
from tests.unit.resource.spec_cases import BROKEN
from tools.devcluster.testing import Namespace

SAMPLES = sorted((ROOT / "examples" / "pools").glob("*.yaml"))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        *(({"replicas": None} | spec, sentence) for spec, sentence in BROKEN),
        ({"device": "tpu"}, 'supported values: "gpu", "cpu"'),
        ({"replicas": -1}, "greater than or equal to 0"),
        ({"memory": {"reserve": "a lot"}}, "spec.memory.reserve"),
        ({"memory": {"perInstance": "some"}}, "spec.memory.perInstance"),
        ({"models": {"dir": "models"}}, "spec.models.dir"),
        ({"instances": {"most": 3}}, "unknown field"),
        ({"operatorName": "Two Words"}, "spec.operatorName"),
        # Labels that would make the pods another pool's.
        (
            {"template": {"labels": {"ocrpool.dev/proxy": "other"}}},
            "labels that begin with ocrpool",
        ),
        ({"proxy": {"labels": {"ocrpool.dev/pool": "other"}}}, "labels that begin with ocrpool"),
    ],
)
@pytest.mark.usefixtures("api")
def test_invalid_spec_is_refused_with_a_sentence(
    namespace: Namespace, spec: dict[str, Any], sentence: str
) -> None:
    body = pool(**spec)
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    with pytest.raises(AssertionError) as refused:
        namespace.kubectl(
            "apply", "--filename=-", "--validate=strict", "--dry-run=server", manifest=body
        )
    assert sentence in str(refused.value)


@pytest.mark.usefixtures("api")
def test_pool_names_that_are_no_service_names_are_refused(namespace: Namespace) -> None:
    for name in ("1st", "a.b", "a" * 59):
        with pytest.raises(AssertionError, match=r"metadata\.name must be at most 58"):
            namespace.apply(pool(name))


@pytest.mark.usefixtures("api")
def test_device_is_immutable(namespace: Namespace) -> None:
    namespace.apply(pool())
    with pytest.raises(AssertionError, match="device cannot be changed: make another pool"):
        namespace.kubectl(
            "patch", "ocrp/pages", "--type=merge", "-p", '{"spec": {"device": "gpu"}}'
        )


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("api")
def test_samples_get_the_same_defaults_as_in_python(namespace: Namespace, sample: Any) -> None:
    bodies = yaml.safe_load_all(sample.read_text(encoding="utf-8"))
    pools = [body for body in bodies if body["kind"] == "OcrPool"]
    assert pools
    for said in pools:
        namespace.apply(said)
        stored = namespace.get("ocrp", said["metadata"]["name"])["spec"]

        assert PoolSpec.model_validate(stored) == PoolSpec.model_validate(said["spec"])


@pytest.mark.usefixtures("api")
def test_every_field_has_a_description(namespace: Namespace) -> None:
    text = namespace.kubectl("explain", "ocrpool.spec.memory")

    assert "is kept free" in text
    assert "reserve" in text


def test_scale_subresource_selects_the_worker_pods(api: Api, namespace: Namespace) -> None:
    namespace.apply(pool(replicas=3))
    path = f"/apis/ocrpool.dev/v1alpha1/namespaces/{namespace.name}/ocrpools/pages/scale"

    assert api.get(path)["spec"]["replicas"] == 3
