"""HTTP sessions to the API server with kopf's credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import kopf

_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def api_session(
    connection: kopf.ConnectionInfo,
    *,
    sockets: Callable[[aiohttp.AddrInfoType], object] | None = None,
) -> aiohttp.ClientSession:
    """`sockets`: what makes its sockets, if not aiohttp."""
    account = connection.token is not None and _ACCOUNT_TOKEN.exists()

    async def authorize(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        headers: Mapping[str, str] = connection.as_http_headers()
        if account and request.url.host == "kubernetes.default.svc":
            # The kubelet writes a new token into the file before the old one runs out.
            headers = {"Authorization": f"Bearer {_account_token()}"}
        request.headers.update(headers)
        return await handler(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=connection.as_ssl_context(),
            limit=32,
            socket_factory=sockets,  # type: ignore[arg-type]
        ),
        headers={"User-Agent": "ocrpool-operator"},
        middlewares=(authorize,),
        trust_env=connection.trust_env,
    )


def _account_token() -> str:
    return _ACCOUNT_TOKEN.read_text(encoding="utf-8").strip()
