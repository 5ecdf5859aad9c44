"""A device plugin that offers the fake GPUs: `python -m tools.devcluster.fakegpu.plugin FOLDER`.

It uses kubelet's real API over its real socket. A container with a device gets what the real plugin
and runtime give it: the device, the driver library, and its UUID in the environment.
"""

from __future__ import annotations

import platform
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from tools.devcluster.fakegpu import device
from tools.devcluster.fakegpu.device import RESOURCE, FakeGpu
from tools.devcluster.fakegpu.library import SONAME, library

SOCKETS = Path("/var/lib/kubelet/device-plugins")
KUBELET = SOCKETS / "kubelet.sock"
OURS = SOCKETS / "fake-gpus.sock"
API_VERSION = "v1beta1"
# Compiled when the module loads, so there is no generated code in the repository.
messages, services = grpc.protos_and_services("tools/devcluster/fakegpu/deviceplugin.proto")


class Plugin(services.DevicePluginServicer):  # type: ignore[misc, name-defined]
    """The gRPC service for kubelet. The devices do not change while it runs."""

    def __init__(self, devices: dict[str, FakeGpu], ended: threading.Event) -> None:
        self._devices = devices
        self._ended = ended

    def GetDevicePluginOptions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.DevicePluginOptions()

    def ListAndWatch(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        devices = [messages.Device(ID=uuid, health="Healthy") for uuid in self._devices]
        yield messages.ListAndWatchResponse(devices=devices)
        # kubelet would take an ended stream as the loss of the devices.
        self._ended.wait()

    def Allocate(self, request: Any, context: Any) -> Any:  # noqa: N802
        answers = [self._container(list(each.devices_ids)) for each in request.container_requests]
        return messages.AllocateResponse(container_responses=answers)

    def _container(self, uuids: list[str]) -> Any:
        driver = f"/usr/lib/{platform.machine()}-linux-gnu/{SONAME}"
        mounts = [
            messages.Mount(container_path=driver, host_path=str(library()), read_only=True)
        ] + [
            messages.Mount(container_path=f"/run/fakegpu/{root.name}", host_path=str(root))
            for root in (self._devices[uuid].root for uuid in uuids)
        ]
        environment = {"NVIDIA_VISIBLE_DEVICES": ",".join(uuids)}
        return messages.ContainerAllocateResponse(envs=environment, mounts=mounts)


def _kubelet() -> int | None:
    """The inode of kubelet's socket. Another one means a new kubelet without our registration."""
    try:
        return KUBELET.stat().st_ino
    except FileNotFoundError:
        return None


def _serve(devices: dict[str, FakeGpu], kubelet: int) -> None:
    """Offer the devices to this kubelet until it is replaced."""
    ended = threading.Event()
    OURS.unlink(missing_ok=True)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services.add_DevicePluginServicer_to_server(Plugin(devices, ended), server)
    server.add_insecure_port(f"unix://{OURS}")
    server.start()
    with grpc.insecure_channel(f"unix://{KUBELET}") as channel:
        request = messages.RegisterRequest(
            version=API_VERSION, endpoint=OURS.name, resource_name=RESOURCE
        )
        services.RegistrationStub(channel).Register(request, timeout=10, wait_for_ready=True)
    print(f"registered {len(devices)} devices", flush=True)
    while _kubelet() == kubelet:
        time.sleep(0.5)
    ended.set()
    server.stop(grace=None).wait()


def main() -> None:
    root = Path(sys.argv[1])
    devices = {each.uuid: each for each in device.devices(root)}
    while True:
        kubelet = _kubelet()
        if kubelet is None:
            time.sleep(0.2)
        else:
            _serve(devices, kubelet)


if __name__ == "__main__":
    main()
