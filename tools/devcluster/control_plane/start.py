"""Starts the processes of the control plane in the order of their dependencies."""

from __future__ import annotations

import shutil
from ipaddress import IPv4Address

from tools.devcluster import processes
from tools.devcluster.build import parts
from tools.devcluster.control_plane import audit, identity
from tools.devcluster.control_plane.identity import Pki
from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import Folder
from tools.devcluster.ports import MOST_NODES
from tools.devcluster.settings import Settings
from tools.devcluster.waiting import Started, wait_for_api, wait_for_etcd, wait_for_service_account

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# After so many seconds without a heartbeat a node is NotReady. It is the default of Kubernetes.
NODE_GRACE_SECONDS = 50
# The metrics of these two are not used.
NO_PORT = "--secure-port=0"


def node_name(folder: Folder, number: int) -> str:
    """In the API: `ocrpool-NAME`, then `ocrpool-NAME.2`; a cluster's own name has no dots."""
    return f"ocrpool-{folder.name}" + (f".{number + 1}" if number else "")


def start(
    folder: Folder,
    settings: Settings,
    patience_s: float = 60.0,
    node_grace_s: int = NODE_GRACE_SECONDS,
) -> None:
    """Start all four and return once the API server is ready.

    Raises DevClusterError with the last log line of the process that did not start.
    """
    pki = Pki(folder.pki)
    loopback = IPv4Address("127.0.0.1")
    callers = (
        identity.ADMIN,
        identity.CONTROLLER_MANAGER,
        identity.SCHEDULER,
        identity.PROXY,
        identity.DNS,
        identity.POLICIES,
        # Also for nodes that are added later.
        *(identity.kubelet(node_name(folder, number)) for number in range(MOST_NODES)),
    )
    addresses = (loopback, settings.network.host_address, settings.network.first_service)
    identity.issue(pki, settings.server, addresses, callers)
    shutil.copy(pki.kubeconfig(identity.ADMIN), folder.kubeconfig)

    def begin(name: str, argv: list[str]) -> Started:
        program = parts.find(name)
        return Started(name, processes.start(folder, name, [program, *argv]), folder.log(name))

    etcd = begin("etcd", _etcd(folder, settings))
    wait_for_etcd(settings.ports.etcd, etcd, patience_s)
    argv = [*_api_server(settings, pki), *audit.arguments(folder)]
    api = begin("kube-apiserver", argv)
    wait_for_api(folder.kubeconfig, api, patience_s)
    started: dict[str, Started] = {}
    for name, argv in (
        ("kube-controller-manager", _controller_manager(pki, settings, node_grace_s)),
        ("kube-scheduler", _scheduler(pki)),
    ):
        if _is_there(name):
            started[name] = begin(name, argv)
    controllers = started.get("kube-controller-manager")
    if controllers is not None:
        # A namespace admits no pod before it has one.
        wait_for_service_account(folder.kubeconfig, controllers, patience_s)


def _is_there(name: str) -> bool:
    """Whether a program exists. `KUBEBUILDER_ASSETS` may lack some; see `parts.missing`."""
    try:
        parts.find(name)
    except DevClusterError:
        return False
    return True


def _etcd(folder: Folder, settings: Settings) -> list[str]:
    client = f"http://127.0.0.1:{settings.ports.etcd}"
    peer = f"http://127.0.0.1:{settings.ports.etcd_peer}"
    return [
        f"--data-dir={folder.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # A test cluster need not survive a power loss, and with fsync slow disks delay every write.
        "--unsafe-no-fsync",
        "--logger=zap",
        "--log-level=warn",
    ]


def _api_server(settings: Settings, pki: Pki) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{settings.ports.etcd}",
        f"--bind-address={settings.api_address}",
        f"--secure-port={settings.ports.api}",
        *_endpoint(settings),
        f"--tls-cert-file={pki.server}",
        f"--tls-private-key-file={pki.server_key}",
        f"--client-ca-file={pki.authority}",
        f"--token-auth-file={pki.tokens}",
        "--authorization-mode=Node,RBAC",
        "--anonymous-auth=false",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.service_accounts}",
        f"--service-account-signing-key-file={pki.service_accounts}",
        f"--service-cluster-ip-range={settings.network.services}",
        f"--kubelet-client-certificate={pki.kubelet_client}",
        f"--kubelet-client-key={pki.kubelet_client_key}",
        "--kubelet-preferred-address-types=InternalIP",
        # Debian's etcd 3.4 does not report the progress of a watch, which this feature needs. With
        # it the API server would refuse watches from version 0, as kwok opens them.
        "--feature-gates=WatchList=false",
        # A clean shutdown need not wait for clients, because the cluster does not survive a
        # restart.
        "--shutdown-delay-duration=0s",
    ]


def _endpoint(settings: Settings) -> list[str]:
    """The address of the Service `kubernetes`. It must not be a loopback address."""
    if settings.nodes:
        return [f"--advertise-address={settings.api_address}"]
    return ["--endpoint-reconciler-type=none"]


def _controller_manager(pki: Pki, settings: Settings, node_grace_s: int) -> list[str]:
    return [
        f"--kubeconfig={pki.kubeconfig(identity.CONTROLLER_MANAGER)}",
        NO_PORT,
        f"--root-ca-file={pki.authority}",
        f"--service-account-private-key-file={pki.service_accounts}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        f"--node-monitor-grace-period={node_grace_s}s",
        *_controllers(settings),
        # With the default of 20 calls a second, discovery takes seconds.
        "--kube-api-qps=300",
        "--kube-api-burst=600",
    ]


def _controllers(settings: Settings) -> list[str]:
    """The controllers. Without real nodes those for endpoints are off: simulated pods have loopback
    addresses, which the API server refuses as endpoints."""
    if settings.nodes:
        return []
    return ["--controllers=*,-endpoints-controller,-endpointslice-controller"]


def _scheduler(pki: Pki) -> list[str]:
    return [
        f"--kubeconfig={pki.kubeconfig(identity.SCHEDULER)}",
        NO_PORT,
        "--leader-elect=false",
    ]
