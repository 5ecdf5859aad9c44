"""The fixture `node` runs real containers, with everything that pods expect of a cluster."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request

import pytest

from tests.devcluster.pods import PORT, await_ready, pod, run_python, service
from tools.devcluster.testing import Cluster, Namespace, handle

only_here = pytest.mark.skipif(handle.existing() is not None, reason="of our own node only")


def _get(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: dict[str, str] = json.load(answer)
        return found


def _eventually(url: str, patience_s: float = 10) -> dict[str, str]:
    """Wait until the rules of a Service are written, shortly after its pod is ready."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return _get(url)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


ASK = """
import time, urllib.request
for attempt in range(50):
    try:
        print(urllib.request.urlopen("http://{}/", timeout=5).read().decode())
        break
    except OSError:
        time.sleep(0.1)
"""


def test_the_node_is_ready(node: Cluster) -> None:
    assert " Ready " in node.kubectl("get", "nodes", "--no-headers")


@only_here
def test_a_service_answers_from_the_host(node: Cluster, namespace: Namespace) -> None:
    namespace.apply(pod("web"))
    namespace.apply(service("proxy", "web"))
    await_ready(namespace, "web")
    address = namespace.get("service", "proxy")["spec"]["clusterIP"]

    assert _eventually(f"http://{address}/") == {"pod": "web"}


def test_a_service_answers_pods_by_name_including_its_own_pod(
    node: Cluster, namespace: Namespace
) -> None:
    for name in ("one", "two"):
        namespace.apply(pod(name))
    namespace.apply(service("proxy", "one"))
    await_ready(namespace, "one", "two")

    for caller in ("two", "one"):
        for host in ("proxy", f"proxy.{namespace.name}.svc.cluster.local"):
            assert json.loads(run_python(namespace, caller, ASK.format(host))) == {"pod": "one"}


def test_a_headless_service_resolves_to_its_pods(node: Cluster, namespace: Namespace) -> None:
    namespace.apply(pod("one"))
    namespace.apply(service("proxy", "one", clusterIP="None"))
    await_ready(namespace, "one")
    address = namespace.get("pod", "one")["status"]["podIP"]

    found = run_python(namespace, "one", "import socket; print(socket.gethostbyname('proxy'))")

    assert found == address


def test_logs_exec_and_port_forward_work(node: Cluster, namespace: Namespace) -> None:
    namespace.apply(pod("web"))
    await_ready(namespace, "web")

    assert "serving on 8080" in namespace.kubectl("logs", "web")
    assert run_python(namespace, "web", "import socket; print(socket.gethostname())") == "web"
    forward = subprocess.Popen(
        namespace.command("port-forward", "pod/web", f":{PORT}"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert forward.stdout is not None
        # Forwarding from 127.0.0.1:34567 -> 8080
        port = forward.stdout.readline().split(" -> ")[0].rpartition(":")[2]
        assert _get(f"http://127.0.0.1:{port}/") == {"pod": "web"}
    finally:
        forward.kill()
        forward.communicate()


def test_a_container_over_its_memory_limit_is_killed(node: Cluster, namespace: Namespace) -> None:
    limits = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    greedy = ["python3", "-c", "held = bytearray(256 << 20)"]
    hungry = pod("hungry", command=greedy, resources=limits)
    hungry["spec"]["restartPolicy"] = "Never"
    namespace.apply(hungry)

    namespace.kubectl(
        "wait", "--for=jsonpath={.status.phase}=Failed", "pod/hungry", "--timeout=40s"
    )

    ended = namespace.get("pod", "hungry")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "OOMKilled"


def test_a_container_gets_no_more_cpu_than_its_limit(node: Cluster, namespace: Namespace) -> None:
    namespace.apply(pod("slow", resources={"limits": {"memory": "64Mi", "cpu": "200m"}}))
    await_ready(namespace, "slow")
    burn = (
        "import time; end = time.monotonic() + 2\n"
        "while time.monotonic() < end: pass\n"
        "print(time.process_time())"
    )

    used_s = float(run_python(namespace, "slow", burn))

    assert used_s < 0.8  # 2 s at a fifth of a core, and the burst that one period allows


def test_a_failed_liveness_probe_restarts_the_container(
    node: Cluster, namespace: Namespace
) -> None:
    probe = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}
    namespace.apply(pod("sick", livenessProbe=probe))

    restarts = "{.status.containerStatuses[0].restartCount}"
    namespace.kubectl("wait", f"--for=jsonpath={restarts}=1", "pod/sick", "--timeout=50s")


def test_a_pod_reaches_the_api_with_its_service_account(
    node: Cluster, namespace: Namespace
) -> None:
    namespace.apply(pod("caller"))
    await_ready(namespace, "caller")
    ask = (
        "import ssl, urllib.request as u, urllib.error\n"
        "home = '/var/run/secrets/kubernetes.io/serviceaccount'\n"
        "context = ssl.create_default_context(cafile=home + '/ca.crt')\n"
        "bearer = {'Authorization': 'Bearer ' + open(home + '/token').read()}\n"
        "url = 'https://kubernetes.default.svc/api/v1/namespaces/default/pods'\n"
        "try: u.urlopen(u.Request(url, headers=bearer), context=context, timeout=5)\n"
        "except urllib.error.HTTPError as error: print(error.code, error.read().decode())"
    )

    answer = run_python(namespace, "caller", ask)

    assert answer.startswith("403")
    assert f"system:serviceaccount:{namespace.name}:default" in answer


@only_here
def test_kubelet_answers_only_the_api_server(node: Cluster) -> None:
    addresses = node.get("nodes")["items"][0]["status"]["addresses"]
    address = next(each["address"] for each in addresses if each["type"] == "InternalIP")

    with socket.create_connection((address, 10250), timeout=5):
        pass
    done = subprocess.run(
        ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", f"https://{address}:10250/pods"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "401"
