"""The configuration files of a node's components, for use inside its namespaces."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.devcluster.control_plane import identity
from tools.devcluster.control_plane.identity import Pki
from tools.devcluster.node.place import NodePlace

PAUSE_IMAGE = "localhost/ocrpool/pause:dev"
SOCKET = "/run/containerd/containerd.sock"
CLUSTER_DOMAIN = "cluster.local"
MAX_PODS = 100


@dataclass(frozen=True)
class NodeFiles:
    """The files below the node's folder."""

    root: Path

    @property
    def containerd(self) -> Path:
        return self.root / "containerd.toml"

    @property
    def containerd_root(self) -> Path:
        return self.root / "containerd"

    @property
    def cni(self) -> Path:
        return self.root / "cni"

    @property
    def kubelet(self) -> Path:
        return self.root / "kubelet.yaml"

    @property
    def proxy(self) -> Path:
        return self.root / "kube-proxy.yaml"

    @property
    def dns(self) -> Path:
        return self.root / "Corefile"

    @property
    def resolver(self) -> Path:
        return self.root / "resolv.conf"

    @property
    def var_lib(self) -> Path:
        """The folder that the node sees as /var/lib."""
        return self.root / "var-lib"

    @property
    def var_log(self) -> Path:
        return self.root / "var-log"

    @property
    def tunables(self) -> Path:
        """Files in place of kernel settings that kubelet would change for the whole machine."""
        return self.root / "tunables"


def write(place: NodePlace, cni_programs: Path) -> NodeFiles:
    files = NodeFiles(place.root)
    for directory in (files.cni, files.containerd_root, files.var_lib, files.var_log):
        directory.mkdir(parents=True, exist_ok=True)
    files.containerd.write_text(_containerd(files, cni_programs))
    _write_json(files.cni / "10-pods.conflist", _cni(place))
    _write_json(files.kubelet, _kubelet(place, files))
    _write_json(files.proxy, _proxy(place))
    files.dns.write_text(_dns(place))
    # Pods resolve only names of the cluster, because the node has no route to other networks.
    files.resolver.write_text("")
    return files


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))


def _containerd(files: NodeFiles, cni_programs: Path) -> str:
    return f"""\
version = 2
root = "{files.containerd_root}"
state = "/run/containerd"

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{files.root}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE runc fails on any score below its own:
  # "can't get final child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_programs}"
    conf_dir = "{files.cni}"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _cni(place: NodePlace) -> dict[str, Any]:
    """A point-to-point link from each pod to the node.

    On a bridge, an answer between two pods would bypass the node's address translation, and
    Services would need the kernel module br_netfilter.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(place.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni",
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(place: NodePlace, files: NodeFiles) -> dict[str, Any]:
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": str(place.address),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(Pki(place.folder.pki).authority)},
        },
        # Only the API server has a client certificate, and it has authorised the caller.
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.cgroup}",
        "clusterDNS": [str(place.address)],
        "clusterDomain": CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        # The disk is shared with the machine, so its fill level is not this node's.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "failSwapOn": False,
        "failCgroupV1": False,
        "healthzBindAddress": "127.0.0.1",
        "maxPods": MAX_PODS,
        "protectKernelDefaults": True,
        "resolvConf": str(files.resolver),
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # Tests change ConfigMaps and Secrets and wait until pods see them.
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
    }


def _proxy(place: NodePlace) -> dict[str, Any]:
    return {
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "bindAddress": str(place.address),
        "clusterCIDR": str(place.settings.network.pods),
        "clientConnection": {"kubeconfig": str(Pki(place.folder.pki).kubeconfig(identity.PROXY))},
        # Only the host's network namespace may change the size of the table.
        "conntrack": {"maxPerCore": 0},
        "mode": "iptables",
        # Tests create a Service and call it, so rules are written at once and not once a second.
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "nodePortAddresses": [f"{place.address}/32"],
    }


def _dns(place: NodePlace) -> str:
    return f"""\
.:53 {{
    bind {place.address}
    errors
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {Pki(place.folder.pki).kubeconfig(identity.DNS)}
        pods insecure
        ttl 5
    }}
    cache 5
}}
"""
