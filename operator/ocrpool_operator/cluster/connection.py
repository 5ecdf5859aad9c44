"""Where the API server is and with what credentials: the official client's configuration.

It is loaded once for the operator's own calls, and again by kopf whenever its credentials expire.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import (
    ConfigException,
    incluster_config,
    load_incluster_config,
)

from ocrpool_operator.cluster.kubeconfig import kubeconfig_path, load_kubeconfig

USER_AGENT = "ocrpool-operator"
CONNECTIONS = 32
# Larger request bodies are sent in pieces: one write of them would block the event loop.
LARGE_BYTES = 2**18


async def load_configuration() -> Configuration:
    """Load the service account inside a cluster, else the kubeconfig. Raises kopf.LoginError.

    The official client reads the service account's token file again every minute.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    if not _in_cluster():
        await load_kubeconfig(configuration, kubeconfig_path())
        return configuration
    try:
        load_incluster_config(configuration)
    except (ConfigException, OSError) as error:
        raise kopf.LoginError(f"no connection to a cluster: {error}") from error
    return configuration


def _in_cluster() -> bool:
    return os.path.isfile(incluster_config.SERVICE_TOKEN_FILENAME)


async def login(**_: Any) -> kopf.ConnectionInfo:
    """Log kopf's watches in with the same credentials as all other calls."""
    configuration = await load_configuration()
    scheme, _, token = configuration.api_key.get("BearerToken", "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme or None,
        token=token or None,
        proxy_url=configuration.proxy,
    )


def api_client(
    configuration: Configuration,
    *,
    socket_factory: Callable[[aiohttp.AddrInfoType], object] | None = None,
) -> ApiClient:
    """An official client with a connection pool of its own; close it after use."""
    client = ApiClient(configuration)
    client.user_agent = USER_AGENT
    rest = client.rest_client
    # The official client's own session takes proxies from the environment. Here, as in kopf, a
    # proxy is used only where the kubeconfig names one.
    rest.pool_manager = _Session(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=rest.ssl_context,
                limit=rest.maxsize,
                socket_factory=socket_factory,  # type: ignore[arg-type]
            ),
            trust_env=False,
        )
    )
    return client


class _Session:
    """What the official client calls of an aiohttp session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, *, data: str | None = None, **options: Any) -> aiohttp.ClientResponse:
        """Send one request; a large body goes in pieces."""
        body: str | io.BytesIO | None = data
        if data is not None and len(data) >= LARGE_BYTES:
            body = io.BytesIO(data.encode())
        return await self._session.request(data=body, **options)

    async def close(self) -> None:
        await self._session.close()
