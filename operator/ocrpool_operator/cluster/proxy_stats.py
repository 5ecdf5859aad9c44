"""The backends that a proxy's pod sends requests to, from HAProxy's statistics."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterable

import aiohttp

from ocrpool.planner.observed import ObservedPod
from ocrpool.resource.names import PROXY_PORT

TIMEOUT_SECONDS = 3.0


async def fetch_up_addresses(
    session: aiohttp.ClientSession, pods: Iterable[ObservedPod]
) -> dict[str, frozenset[str]]:
    """The addresses that each pod sends to, by uid of the pods that answered. Never raises."""
    asked = [pod for pod in pods if pod.ip]
    views = await asyncio.gather(*(_view_of(session, pod.ip) for pod in asked))
    return {pod.uid: view for pod, view in zip(asked, views, strict=True) if view is not None}


async def _view_of(session: aiohttp.ClientSession, ip: str) -> frozenset[str] | None:
    host = f"[{ip}]" if ":" in ip else ip
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with session.get(
            f"http://{host}:{PROXY_PORT}/stats;csv", timeout=timeout, allow_redirects=False
        ) as response:
            return up_addresses(await response.text()) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError, csv.Error):
        return None


def up_addresses(text: str) -> frozenset[str]:
    """The addresses, without ports, of the servers that are up in HAProxy's statistics (CSV)."""
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return frozenset(
        str(row.get("addr") or "").rpartition(":")[0].strip("[]")
        for row in rows
        if row.get("pxname") == "workers"
        and row.get("svname") not in ("FRONTEND", "BACKEND")
        and str(row.get("status")).startswith("UP")
    )
