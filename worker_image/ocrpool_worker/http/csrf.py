"""Tells requests that a web page makes a browser send from those of programs.

A browser sends a page's simple requests (POST without special headers) to any address, also to this
machine's own, and only keeps the answer from the page. It says where they come from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))


def is_cross_origin(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something was sent by a page of another origin.

    A page whose name was made to point here (DNS rebinding) has the same origin by name: so only
    pages that were loaded from an address, or from localhost, are not foreign.
    """
    if method in _HARMLESS:
        return False
    site = headers.get("Sec-Fetch-Site", "none").lower()
    if site not in ("none", "same-origin"):
        return True
    origin = headers.get("Origin")
    return origin is not None and not _is_here(origin, headers.get("Host", ""))


def _is_here(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
    except ValueError:
        return False
    return parts.netloc.lower() == host.lower() and (name == "localhost" or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
