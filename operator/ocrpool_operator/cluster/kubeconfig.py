"""Credentials from a kubeconfig, and how they are renewed while the operator runs.

Inside a cluster there is no kubeconfig: the official client reads the service account's token file
again every minute by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import kube_config, load_kube_config

# A token file is read again, and an expired plugin token replaced, at most once in this time.
RENEW_SECONDS = 60.0
# A plugin that takes longer has hung.
PLUGIN_SECONDS = 15.0

_log = logging.getLogger(__name__)


def kubeconfig_path() -> str:
    """The kubeconfig's path, or several with a colon between. Raises kopf.LoginError."""
    paths = os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    if not any(os.path.isfile(os.path.expanduser(path)) for path in paths.split(os.pathsep)):
        raise kopf.LoginError(
            f"no cluster: neither a service account nor a kubeconfig ({paths}); set KUBECONFIG"
        )
    return paths


async def load_kubeconfig(configuration: Configuration, paths: str) -> None:
    """Load server, certificates and token. Raises kopf.LoginError."""
    loader = await _load(configuration, paths)
    user = loader._user or {}
    if "exec" in user:
        if not (configuration.api_key or configuration.cert_file):
            # The official client logs the plugin's error and goes on without credentials.
            raise kopf.LoginError("the kubeconfig's plugin gave no credentials; see the log above")

        async def renew() -> None:
            await loader.load_from_exec_plugin()  # which runs it only when the token expires
            configuration.api_key["BearerToken"] = loader.token

    elif "tokenFile" in user:

        async def renew() -> None:
            fresh = Configuration()
            await _load(fresh, paths)
            configuration.api_key = fresh.api_key

    else:
        return
    if configuration.api_key:
        configuration.refresh_api_key_hook = _Renewal(renew)


async def _load(configuration: Configuration, paths: str) -> kube_config.KubeConfigLoader:
    _drop_removed_files()
    try:
        return await load_kube_config(
            config_file=paths, client_configuration=configuration, persist_config=False
        )
    except Exception as error:  # the official client raises what its parsers and plugins raise
        raise kopf.LoginError(f"the kubeconfig cannot be used ({paths}): {error}") from error


def _drop_removed_files() -> None:
    """Certificates inside a kubeconfig are written to temporary files, whose names the official
    client remembers. A cleaner of /tmp may have removed the files."""
    for content, path in tuple(kube_config._temp_files.items()):
        if not os.path.isfile(path):
            del kube_config._temp_files[content]


class _Renewal:
    """The hook that the official client calls before each request with a token."""

    def __init__(
        self, renew: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._renew = renew
        self._clock = clock
        self._due = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self, _: Configuration) -> None:
        if self._clock() < self._due:
            return
        async with self._lock:
            if self._clock() < self._due:
                return  # another request has renewed it meanwhile
            self._due = self._clock() + RENEW_SECONDS
            try:
                async with asyncio.timeout(PLUGIN_SECONDS):
                    await self._renew()
            except (kopf.LoginError, TimeoutError) as error:
                _log.error("credentials cannot be renewed: %s", error or "the plugin hangs")
