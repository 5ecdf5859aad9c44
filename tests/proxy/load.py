"""Clients of a proxy, with pages of the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fake_engine import order_png
from tools.bench.lib.load import Load
from tools.bench.lib.payload import plain_request

PORT = 8080


def page_load(address: Callable[[], str], **order: Any) -> Load:
    """Six clients that each send one page after another, on connections that they keep. A page
    takes 0.05 s; `order` adds to what the engine does with it."""
    body = order_png(**{"sleep": 0.05, **order})
    return Load(lambda: (address(), PORT), [plain_request(body)])
