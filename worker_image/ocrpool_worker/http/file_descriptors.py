"""Divide the limit of open files between the ports, so that clients cannot use up the descriptors
that instances and the control port need."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from ocrpool_worker.settings import WorkerSettings

# Of one instance: socket, parent watch, shared buffer, output, pidfd (two in later Pythons), a
# spare.
_OF_INSTANCE = 8
# For short use: files that are read, processes that are started, connections that are closing.
_PASSING = 32


@dataclass(frozen=True, slots=True)
class DescriptorShares:
    """The most connections of each port at once, and the most that are being refused."""

    data: int
    control: int
    refused: int


def shares(settings: WorkerSettings, *, limit: int, in_use: int) -> DescriptorShares:
    """Divide `limit` descriptors, of which `in_use` are taken already. Where the limit is too low
    for all, each part gets a little."""
    control, refused = min(32, limit // 8), min(32, limit // 16)
    # `instances.max` may be far more than the worker will ever run.
    instances = min(settings.instances.max * _OF_INSTANCE, limit // 4)
    fetches = settings.http.max_fetches if settings.http.fetch_urls else 0
    left = limit - in_use - _PASSING - control - refused - instances - fetches
    return DescriptorShares(min(settings.http.max_connections, max(8, left)), control, refused)


def raise_and_share_limit(settings: WorkerSettings) -> DescriptorShares:
    """Raise this process's soft limit as far as needed and allowed, and divide it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _finite(soft)
    http = settings.http
    needed = 2 * (
        http.max_connections + settings.instances.max * _OF_INSTANCE + http.max_fetches + 256
    )
    if soft < needed and soft < _finite(hard):
        soft = min(needed, _finite(hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return shares(settings, limit=soft, in_use=len(os.listdir("/proc/self/fd")))


def _finite(limit: int) -> int:
    return 2**30 if limit == resource.RLIM_INFINITY else limit
