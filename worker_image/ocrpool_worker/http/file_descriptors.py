"""Shares the limit of open files: what instances and the control port need is never a client's."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from ocrpool_worker.settings import WorkerSettings

# An instance: socket, lifeline, mailbox, output, pidfd (twice in later Pythons), and a spare one.
_OF_INSTANCE = 8
# Files that are read, a process that is started, connections that are on their way out.
_PASSING = 32


@dataclass(frozen=True, slots=True)
class DescriptorShares:
    """Most connections of each port at once; most that are told that there is no room."""

    data: int
    control: int
    refused: int


def shares(settings: WorkerSettings, *, limit: int, in_use: int) -> DescriptorShares:
    """How `limit` descriptors are shared, of which `in_use` are taken already. A limit that is too
    low for all gives a little to each."""
    control, refused = min(32, limit // 8), min(32, limit // 16)
    # A worker may be allowed many more instances than it will ever have.
    instances = min(settings.instances.max * _OF_INSTANCE, limit // 4)
    fetches = settings.http.max_fetches if settings.http.fetch_urls else 0
    left = limit - in_use - _PASSING - control - refused - instances - fetches
    return DescriptorShares(min(settings.http.max_connections, max(8, left)), control, refused)


def raise_and_share_limit(settings: WorkerSettings) -> DescriptorShares:
    """Raise this process's limit as far as it needs and may, and share it."""
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
