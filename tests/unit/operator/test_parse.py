"""What Kubernetes says of a pod that it cannot run, as a reason and a sentence with what to do.

The statuses are kubelet's and the scheduler's own, shortened; no kubelet runs in these tests.
"""

from __future__ import annotations

from typing import Any

import pytest

from ocrpool_operator.cluster.parse import pod_from


def a_body(**status: Any) -> dict[str, Any]:
    meta = {"name": "pages-0", "uid": "u", "resourceVersion": "7"}
    return {"metadata": meta, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "worker", "image": "nowhere/worker:1", "state": state, **more}


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (
            {"containerStatuses": [waiting("ImagePullBackOff", "not found")]},
            "ImageNotAvailable",
            "template.image",
        ),
        (
            {"containerStatuses": [waiting("CreateContainerConfigError", "no Secret")]},
            "ContainerRefused",
            "no Secret",
        ),
        (
            {
                "containerStatuses": [
                    waiting(
                        "CrashLoopBackOff",
                        lastState={"terminated": {"exitCode": 2, "message": "device: gpu:0"}},
                    )
                ]
            },
            "WorkerCrashes",
            "exit code 2): device: gpu:0",
        ),
        (
            # On cgroup v2 kubelet has all processes of a container killed together.
            {
                "containerStatuses": [
                    {
                        "name": "worker",
                        "state": {"running": {}},
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ]
            },
            "InsufficientMemory",
            "template.resources.limits.memory",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
            "WaitingForCapacity",
            "0/3 nodes",
        ),
        ({"phase": "Failed", "reason": "Evicted"}, "PodFailed", "Evicted"),
        (
            # kubelet says both or neither; the node controller marks the first alone.
            {
                "conditions": [
                    {"type": "Ready", "status": "False"},
                    {"type": "ContainersReady", "status": "True"},
                ]
            },
            "NodeLost",
            "its node",
        ),
    ],
)
def test_pod_problems_say_what_to_do(status: dict[str, Any], reason: str, words: str) -> None:
    problem = pod_from(a_body(**status)).problem

    assert problem is not None
    assert problem.reason == reason
    assert words in problem.message


def test_old_container_exit_is_not_reported_forever() -> None:
    container = {
        "name": "worker",
        "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }

    def problem(turned: str) -> object:
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": turned}
        return pod_from(a_body(conditions=[ready], containerStatuses=[container])).problem

    assert problem("2026-01-01T00:00:04Z") is not None  # with its end; not ready since
    assert problem("2026-01-01T00:07:00Z") is None  # it was, and drains now


def test_starting_pod_has_no_problem() -> None:
    starting = a_body(phase="Pending", containerStatuses=[waiting("ContainerCreating")])

    assert pod_from(starting).problem is None
    assert pod_from(a_body(conditions=[{"type": "Ready", "status": "True"}])).ready
