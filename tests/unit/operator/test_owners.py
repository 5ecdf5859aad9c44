"""Who owns an object, what is reported of foreign ones, and the patch that reverts one of ours."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ocrpool.planner.observed import ObservedPod, PoolProblem
from ocrpool.planner.status.conditions import ConditionInputs, build_conditions
from ocrpool.resource import names
from ocrpool.resource.spec import PoolSpec
from ocrpool_operator.cli import OptionError, _parser, options_from
from ocrpool_operator.cluster.owners import (
    foreign_pod_problems,
    merge_name_conflicts,
    name_taken,
    owned_proxy_pods,
    owns,
)
from ocrpool_operator.cluster.parse import pod_from, pool_from
from ocrpool_operator.manifests.desired_objects import desired_objects
from ocrpool_operator.manifests.drift import json_patch_to, matches
from tests.unit.planner.pools import a_pool


def body(*owners: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "pages", "ownerReferences": list(owners), **meta}}


def owner(uid: str = "uid", **more: Any) -> dict[str, Any]:
    return {"kind": "OcrPool", "name": "pages", "uid": uid, "controller": True, **more}


@pytest.mark.parametrize(
    ("owners", "ours"),
    [
        ((owner(),), True),
        ((owner("other", controller=False), owner()), True),
        ((), False),
        # The name alone does not count: a deleted pool may have had it.
        ((owner("other"),), False),
        # An owner that does not control it.
        ((owner(controller=False),), False),
        ((owner(controller=False), owner("other")), False),
    ],
)
def test_only_the_controllers_uid_decides_ownership(
    owners: tuple[dict[str, Any], ...], ours: bool
) -> None:
    assert owns(a_pool(), body(*owners)) is ours


def test_all_taken_names_are_one_problem() -> None:
    other = PoolProblem("Forbidden", "no rights")
    taken = [
        name_taken("Service", body(), blocks=True),
        other,
        name_taken("ConfigMap", body(annotations={"meta.helm.sh/release-name": "db"})),
    ]
    first, second = merge_name_conflicts(taken)
    assert second == other
    assert (first.reason, first.blocks) == ("NameTaken", True)
    assert first.message.startswith(
        "Service pages has no owner; ConfigMap pages belongs to the Helm release db: "
    )
    assert merge_name_conflicts([other]) == [other]


def test_blocking_problem_makes_a_pool_with_all_workers_not_ready() -> None:
    def ready(*problems: PoolProblem) -> tuple[str, str]:
        listed = tuple(("", each) for each in problems)
        finding = ConditionInputs(2, False, 2, 2, 0, ("Ready", "Ready"), problems=listed)
        condition = next(
            each for each in build_conditions(finding, (), 1, "") if each.type == "Ready"
        )
        return condition.status, condition.reason

    budget = PoolProblem("NameTaken", "PodDisruptionBudget pages has no owner")
    assert ready(budget) == ("True", "AllWorkersReady")
    assert ready(budget, PoolProblem("NameTaken", "", blocks=True)) == ("False", "NameTaken")


def a_service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"a/b": "c"}, "ownerReferences": []}, "spec": spec}


def test_patch_has_the_resource_version_and_replaces_whole_fields() -> None:
    wanted = a_service(selector={"app": "ours"}, ports=[{"port": 1}])
    there = {
        "metadata": {"resourceVersion": "7", "labels": {"theirs": "x"}},
        "spec": {
            "selector": {"app": "ours", "more": "x"},
            "ports": [{"port": 2}],
            "type": "NodePort",
        },
    }
    assert not matches(there, wanted)
    assert json_patch_to(there, wanted) == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/metadata/labels/a~1b", "value": "c"},
        {"op": "add", "path": "/spec/ports", "value": [{"port": 1}]},
    ]


def test_another_revision_replaces_all_fields() -> None:
    """A field that is no longer desired is not found by comparing the desired fields."""
    wanted = a_service(template={"a": 1})
    wanted["metadata"]["labels"] = {names.REVISION: "new"}
    there = {
        "metadata": {"resourceVersion": "7", "labels": {names.REVISION: "old"}},
        "spec": {"template": {"a": 1, "gone": 2}},
    }
    paths = [step["path"] for step in json_patch_to(there, wanted)]
    assert paths[1:] == ["/metadata/labels/ocrpool.dev~1revision", "/spec/template"]
    bare: dict[str, Any] = {"metadata": {"resourceVersion": "7"}}
    paths = [step["path"] for step in json_patch_to(bare, wanted)]
    assert paths[1::2] == ["/metadata/labels", "/spec"]


def test_network_policy_without_a_clients_rule_is_written_again() -> None:
    """A rule without peers allows everybody. Comparing the desired fields would keep the peers."""
    ports = [{"port": 8080}]
    peers = [{"podSelector": {"matchLabels": {"app": "rag"}}}]

    def policy(*rules: Any) -> dict[str, Any]:
        found = desired_objects(a_pool(), rules, evict=True, domain="cluster.local")
        (one,) = (each for each in found if each["kind"] == "NetworkPolicy")
        return dict(one)

    before, after = policy({"from": peers, "ports": ports}), policy({"ports": ports})
    before["metadata"]["resourceVersion"] = "7"
    assert matches(before, policy({"from": peers, "ports": ports}))
    assert not matches(before, after)
    steps = {step["path"]: step["value"] for step in json_patch_to(before, after)}
    assert steps["/spec/ingress"] == [{"ports": ports}]


def test_proxy_pods_are_those_of_the_pools_own_deployment() -> None:
    pool = a_pool()
    made = {
        "own": "ReplicaSet pages-proxy-5d4f",
        "of-another-proxy": "ReplicaSet pages-proxy-two-5d4f",
        "of-a-job": "Job pages-proxy-5d4f",
        "of-nobody": "",
    }
    pods = [ObservedPod(name, name, created_by=by) for name, by in made.items()]
    assert [pod.name for pod in owned_proxy_pods(pool, pods)] == ["own"]


def test_foreign_pods_with_our_labels_are_reported_by_name() -> None:
    pool = a_pool()
    assert (
        foreign_pod_problems(
            pool, [ObservedPod("a", "a", finished=True), ObservedPod("b", "b", ends_at=1.0)]
        )
        == []
    )
    [problem] = foreign_pod_problems(pool, [ObservedPod(f"x{number}", "") for number in range(7)])
    assert problem.reason == "ForeignPod"
    assert problem.message.startswith("x0, x1, x2, x3, x4 and 2 more: ")


def test_owner_is_parsed_from_the_controller_reference() -> None:
    meta = {"name": "pages-0", "namespace": "n", "uid": "u", "ownerReferences": [owner("p")]}
    pod = pod_from({"metadata": meta})
    assert (pod.owner_uid, pod.created_by) == ("p", "OcrPool pages")


def test_operator_name_of_an_invalid_spec_is_parsed() -> None:
    meta = {"name": "pages", "namespace": "n", "uid": "u"}
    for spec, operator in (
        ({"operatorName": "other", "replicas": "many"}, "other"),
        ({"replicas": "many"}, names.OPERATOR),
        ({}, names.OPERATOR),
    ):
        assert pool_from({"metadata": meta, "spec": spec}).operator == operator


@pytest.mark.parametrize("part", ["template", "proxy"])
def test_template_labels_of_other_pools_are_refused(part: str) -> None:
    """The API server refuses the same labels: tests/operator/test_schema.py."""
    PoolSpec.model_validate({part: {"labels": {"team": "a", "example.com/pool": "b"}}})
    with pytest.raises(ValidationError, match="labels that begin with ocrpool"):
        PoolSpec.model_validate({part: {"labels": {"team": "a", names.LABEL_PROXY: "other"}}})


def test_object_names_of_two_pools_never_collide() -> None:
    """For the kinds of which a pool has one object with its own name."""
    long = "p" * 58
    for pool in ("doc", "doc-proxy", "doc-pods", "doc-0", long):
        assert "." in names.proxy_guard_name(pool)
        service = names.pods_service(pool, "1b4e28ba-2fa1-11d2-883f-0016d3cca427")
        assert service.endswith("-pods-1b4e28ba")
        assert len(service) <= 63


def test_operators_with_the_same_name_share_a_lease() -> None:
    def lease(*arguments: str) -> tuple[str, str]:
        found = options_from(_parser().parse_args(["run", *arguments])).lease
        assert found is not None
        return found.namespace, found.name

    assert lease("--lease=n") == lease("--lease=n/ocrpool-operator") == ("n", "ocrpool-operator")
    assert lease("--lease=n", "--operator-name=other") == ("n", "other-operator")
    with pytest.raises(OptionError, match="share the Lease ocrpool-operator"):
        lease("--lease=n/mine")
    with pytest.raises(SystemExit):
        _parser().parse_args(["run", "--operator-name=Two Words"])
