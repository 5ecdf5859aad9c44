"""Detect cross-site requests: those that a web page makes a browser send.

A browser sends simple requests of a page (POST without special headers) to any address, also to
addresses of the local machine, and only hides the response from the page. Its headers say which
page sent the request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))


def is_cross_origin(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something was sent by a page of another origin.

    With DNS rebinding a foreign page has the same origin by name. So only pages that were loaded
    from an IP address or from localhost count as the same origin.
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
