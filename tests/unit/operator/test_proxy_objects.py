"""What a proxy changes in plans and in the status, its objects, and what is parsed from it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ocrpool.planner.observed import (
    ObservedPod,
    ObservedPool,
    ObservedProxy,
    ObservedWorker,
    PoolProblem,
    PoolSnapshot,
    WorkerObservation,
)
from ocrpool.planner.status.report import ReconcileResult, build_status
from ocrpool.planner.workers.plan import (
    DeletePod,
    DrainWorker,
    RemoveFromService,
    WorkerPlan,
    drain_limit,
    may_evict,
    plan_workers,
)
from ocrpool.planner.workers.revision import worker_settings
from ocrpool.resource.spec import PoolSpec, ProxySpec
from ocrpool_operator.cli import domain_in
from ocrpool_operator.cluster.proxy_stats import up_addresses
from ocrpool_operator.manifests.drift import contains
from ocrpool_operator.manifests.proxy.deployment import peak_memory_bytes
from ocrpool_operator.manifests.proxy.haproxy import (
    haproxy_cfg,
    proxy_config,
    termination_grace_seconds,
)
from ocrpool_operator.manifests.proxy.objects import proxy_objects
from ocrpool_operator.manifests.secrets import control_secret
from ocrpool_operator.manifests.worker_pod import worker_pod
from ocrpool_worker.settings import settings_from
from tests.unit.planner.pools import a_pod, a_pool, a_seen, a_state

NOW = 1000.0
PROXY_POD = ObservedPod("pages-proxy-x", "proxy-1", ip="10.0.1.1", ready=True)


def proxied(replicas: int = 2) -> ObservedPool:
    return replace(a_pool(replicas), spec=PoolSpec(replicas=replicas, proxy=ProxySpec()))


def old_and_new(*, turned: float, sees: tuple[str, ...] | None) -> PoolSnapshot:
    """One worker has the old spec. The other one is new and has just become ready."""
    new = a_pod(0, ip="10.0.0.1", ready_changed_at=turned)
    old = a_pod(1, revision="old", ip="10.0.0.2", ready_changed_at=0.0)
    views = {} if sees is None else {PROXY_POD.uid: frozenset(sees)}
    workers = tuple(ObservedWorker(pod, WorkerObservation(state=a_state())) for pod in (new, old))
    return a_seen(proxied(), *workers, now=NOW, proxy=ObservedProxy((PROXY_POD,), views))


def test_next_worker_is_replaced_once_the_proxy_has_the_last() -> None:
    """Otherwise the proxy would have no worker until the cluster's DNS has changed."""
    blind = old_and_new(turned=NOW - 5, sees=("10.0.0.2",))
    sees = old_and_new(turned=NOW - 5, sees=("10.0.0.1", "10.0.0.2"))

    assert plan_workers(blind).actions == ()
    assert [type(action) for action in plan_workers(sees).actions] == [RemoveFromService]


@pytest.mark.parametrize("sees", [None, ("10.0.0.2",)])
def test_proxy_without_the_new_worker_does_not_stop_the_rollout(
    sees: tuple[str, ...] | None,
) -> None:
    seen = old_and_new(turned=NOW - 61, sees=sees)

    assert [type(action) for action in plan_workers(seen).actions] == [RemoveFromService]


def test_no_worker_is_evictable_before_the_proxy_has_its_successor() -> None:
    known = old_and_new(turned=NOW - 5, sees=("10.0.0.1", "10.0.0.2"))
    new, old = known.workers
    unready = replace(new, pod=replace(new.pod, ready=False))
    ending = replace(new, pod=replace(new.pod, ends_at=NOW + 9))

    assert may_evict(known)
    assert not may_evict(old_and_new(turned=NOW - 5, sees=("10.0.0.2",)))
    assert not may_evict(old_and_new(turned=NOW - 5, sees=None))
    for fewer in ((old,), (unready, old), (ending, old)):
        assert not may_evict(replace(known, workers=fewer))
    # After a minute it is reported as ProxyBlind, and no longer prevents an eviction.
    assert may_evict(old_and_new(turned=NOW - 61, sees=("10.0.0.2",)))
    # Without a proxy, Kubernetes' own count of ready pods is enough.
    assert may_evict(replace(known, workers=(old,), proxy=None))


def test_proxy_without_a_ready_worker_for_long_is_reported() -> None:
    def reasons(seen: PoolSnapshot) -> set[str]:
        return {
            each.reason for each in build_status(ReconcileResult(seen, WorkerPlan())).conditions
        }

    assert "ProxyBlind" in reasons(old_and_new(turned=NOW - 61, sees=("10.0.0.2",)))
    assert "ProxyBlind" not in reasons(old_and_new(turned=NOW - 59, sees=("10.0.0.2",)))
    # If its statistics cannot be read, nothing is known about its servers.
    assert "ProxyBlind" not in reasons(old_and_new(turned=NOW - 61, sees=None))


def test_status_reports_the_proxy() -> None:
    workers = (ObservedWorker(a_pod(0), WorkerObservation(state=a_state())),)
    problem = PoolProblem("ImageNotAvailable", "image 'x': no such image; look at proxy.image")
    broken = replace(PROXY_POD, ready=False, problem=problem)
    seen = a_seen(proxied(1), *workers, proxy=ObservedProxy((PROXY_POD, broken)))
    status = build_status(ReconcileResult(seen, WorkerPlan()))

    assert status.proxy is not None
    assert (status.proxy.replicas, status.proxy.ready_replicas) == (2, 1)
    found = {each.type: each for each in status.conditions}
    assert (found["Ready"].status, found["Ready"].reason) == ("True", "AllWorkersReady")
    assert (found["Degraded"].status, found["Degraded"].reason) == ("True", "ImageNotAvailable")
    assert "proxy.image" in found["Degraded"].message
    assert found["Progressing"].reason == "ProxyStarting"

    none = replace(seen, proxy=ObservedProxy((broken,)))
    found = {
        each.type: each for each in build_status(ReconcileResult(none, WorkerPlan())).conditions
    }
    assert (found["Ready"].status, found["Ready"].reason) == ("False", "ProxyNotReady")


@pytest.mark.parametrize(("lame_duck", "drain_after", "settled"), [(0, 2, 2), (1, 1, 2), (3, 0, 3)])
def test_worker_drains_early_and_is_deleted_after_its_lame_duck_time(
    lame_duck: float, drain_after: float, settled: float
) -> None:
    """The operator does not add its own wait to the lame-duck time of the worker."""
    pool = a_pool(0)
    template = pool.spec.template.model_copy(update={"lame_duck_seconds": lame_duck})
    pool = replace(pool, spec=pool.spec.model_copy(update={"template": template}))
    pod = a_pod(0, draining_since=NOW)

    def actions(now: float, *, draining: bool) -> list[type]:
        worker = ObservedWorker(pod, WorkerObservation(state=a_state(draining=draining)))
        return [type(action) for action in plan_workers(a_seen(pool, worker, now=now)).actions]

    assert actions(NOW + drain_after, draining=False) == [DrainWorker]
    if drain_after:
        assert actions(NOW + drain_after - 0.5, draining=False) == []
    if settled > drain_after:
        assert actions(NOW + settled - 0.5, draining=True) == []
    assert actions(NOW + settled, draining=True) == [DeletePod]


def test_proxy_memory_limit_covers_all_held_requests() -> None:
    proxy = ProxySpec(buffer="4Mi", max_requests=256)

    assert peak_memory_bytes(proxy) == (128 + 2 * 256 * 4) * 2**20
    [deployment] = [
        each for each in proxy_objects(proxied(), "cluster.local") if each["kind"] == "Deployment"
    ]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "2176Mi"}


def test_proxy_has_the_secret_that_workers_recognize() -> None:
    """The pod refers to the Secret; the ConfigMap does not hold it."""
    pool = proxied()
    secret = control_secret(pool, "the-token", "the-proxy-secret")
    assert secret["stringData"] == {"token": "the-token", "proxy": "the-proxy-secret"}
    # In the file that the worker's settings name.
    http = settings_from({"http": worker_settings(pool.spec)["http"]}).http
    assert http.token_file is not None
    assert http.proxy_secret == http.token_file.with_name("proxy")
    [deployment] = [each for each in proxy_objects(pool, "x") if each["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [variable] = container["env"]
    reference = variable["valueFrom"]["secretKeyRef"]
    assert reference["name"] == secret["metadata"]["name"]
    assert reference["key"] == "proxy"
    [config] = [each for each in proxy_objects(pool, "x") if each["kind"] == "ConfigMap"]
    assert f"env({variable['name']})" in config["data"]["haproxy.cfg"]


def test_worker_pod_listens_on_all_addresses() -> None:
    """Its default is loopback, which only the pod itself reaches."""
    [container] = worker_pod(proxied(), "pages-0", "x")["spec"]["containers"]
    arguments = container["args"]
    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"


def test_changed_config_changes_the_deployment() -> None:
    """A change of the settings replaces the pods of the proxy."""

    def annotations(pool: ObservedPool) -> object:
        [found] = [each for each in proxy_objects(pool, "x") if each["kind"] == "Deployment"]
        return found["spec"]["template"]["metadata"]["annotations"]

    slower = proxied().spec.admission.model_copy(update={"timeout_seconds": 61.0})
    other = proxied().spec.model_copy(update={"admission": slower})
    assert annotations(proxied()) == annotations(proxied(3))
    assert annotations(proxied()) != annotations(replace(proxied(), spec=other))


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({}, 600), ({"timeout_seconds": 900}, 900), ({"page_seconds": 2000}, 2000)],
)
def test_ending_proxy_and_worker_have_time_for_a_whole_page(
    fields: dict[str, float], limit: int
) -> None:
    spec = proxied().spec
    spec = spec.model_copy(update={"admission": spec.admission.model_copy(update=fields)})
    assert termination_grace_seconds(spec) > limit
    assert spec.proxy is not None
    text = haproxy_cfg(proxy_config(spec, spec.proxy, "pages"))
    assert f"hard-stop-after {limit + 10}s" in text
    (seconds,) = re.findall(r"timeout server (\d+)s", text)
    assert int(seconds) > limit
    assert drain_limit(a_seen(replace(proxied(), spec=spec))) > limit


def test_worker_settings_have_only_what_differs_from_the_default() -> None:
    """A worker of an older version refuses fields that it does not know."""
    spec = proxied().spec
    assert "pageSeconds" not in worker_settings(spec)["admission"]
    longer = spec.admission.model_copy(update={"page_seconds": 900.0})
    settings = worker_settings(spec.model_copy(update={"admission": longer}))
    assert settings_from({"admission": settings["admission"]}).admission.page_seconds == 900


CSV = """# pxname,svname,status,addr,check_status
workers,w1,UP,10.0.0.1:8080,L7OK
workers,w2,DOWN,10.0.0.2:8080,L4CON
workers,w3,UP 1/2,[fd00::3]:8080,L7OK
workers,w4,MAINT (resolution),,
workers,BACKEND,UP,,
others,w1,UP,10.0.0.9:8080,L7OK
"""


def test_up_addresses_are_parsed_from_haproxy_stats() -> None:
    assert up_addresses(CSV) == {"10.0.0.1", "fd00::3"}
    assert up_addresses("") == frozenset()
    assert up_addresses("<html>") == frozenset()


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("nameserver 10.0.0.10\nsearch ns.svc.c.local svc.c.local c.local\n", "c.local"),
        ("search lan\nnameserver 1.1.1.1\n", "cluster.local"),
        ("", "cluster.local"),
    ],
)
def test_cluster_domain_is_read_from_resolv_conf(tmp_path: Path, text: str, domain: str) -> None:
    (tmp_path / "resolv.conf").write_text(text, encoding="utf-8")
    assert domain_in(tmp_path / "resolv.conf") == domain
    assert domain_in(tmp_path / "none") == "cluster.local"


@pytest.mark.parametrize(
    ("there", "wanted", "same"),
    [
        ("500m", "0.5", True),
        ("2Gi", "2048Mi", True),
        ("1", 1, True),
        ("1k", "1000", True),
        ("500m", "0.6", False),
        (None, "1", False),
        ("1Gi", "1G", False),
    ],
)
def test_quantities_match_as_the_api_server_rewrites_them(
    there: object, wanted: object, same: bool
) -> None:
    def resources(value: object) -> dict[str, object]:
        return {"resources": {"limits": {"memory": value}}}

    assert contains(resources(there), resources(wanted)) is same
