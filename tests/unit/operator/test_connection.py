"""The connection to the API server: its credentials, and how they follow a rotation."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import socket
import sys
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml
from aiohttp import web
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import incluster_config

from ocrpool_operator.cluster.client import CONFIG_MAPS, PODS, ApiError, KubeClient
from ocrpool_operator.cluster.connection import LARGE_BYTES, api_client, load_configuration, login
from ocrpool_operator.cluster.kubeconfig import RENEW_SECONDS, _Renewal

pytestmark = pytest.mark.asyncio


class RecordingServer:
    """An API server that answers every call with `{}`; `tokens` and `bodies` are what it got."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.bodies: list[bytes] = []

    async def __aenter__(self) -> RecordingServer:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        self.bodies.append(await request.read())
        return web.json_response({})


def write_kubeconfig(path: Path, server: str, user: dict[str, Any]) -> None:
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": user}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


async def get_pod(configuration: Configuration) -> None:
    async with api_client(configuration) as api:
        await KubeClient(api).get(PODS, "default", "pages-0")


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The token file of a service account, as the kubelet mounts it."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first", encoding="utf-8")
    authority.write_text("an authority", encoding="utf-8")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return token


def loader_of(configuration: Configuration) -> incluster_config.InClusterConfigLoader:
    """What reads the token file for this configuration."""
    return configuration.refresh_api_key_hook.__closure__[0].cell_contents


def rotate(configuration: Configuration, account: Path, token: str) -> None:
    """Write a new token, and let the minute pass after which the file is read again."""
    account.write_text(token, encoding="utf-8")
    loader_of(configuration).token_expires_at = datetime.datetime.now()


async def test_the_service_account_comes_before_the_kubeconfig(
    account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kubeconfig(tmp_path / "config", "http://elsewhere", {"token": "other"})
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    info = await login()

    assert (info.server, info.token) == ("https://10.96.0.1:443", "first")
    assert info.ca_path == str(account.with_name("ca.crt"))
    assert info.as_http_headers()["Authorization"].lower() == "bearer first"


async def test_a_rotated_service_account_token_is_sent(account: Path) -> None:
    async with RecordingServer() as server:
        configuration = await load_configuration()
        configuration.ssl_ca_cert = None
        loader = loader_of(configuration)
        loader.host, loader.ssl_ca_cert = server.url, None
        await get_pod(configuration)
        rotate(configuration, account, "second")
        await get_pod(configuration)

    assert [each.lower() for each in server.tokens] == ["bearer first", "bearer second"]
    assert (await login()).token == "second"


async def test_an_empty_token_file_is_an_api_error(account: Path) -> None:
    configuration = await load_configuration()
    rotate(configuration, account, "")
    configuration.ssl_ca_cert = None
    with pytest.raises(ApiError) as error:
        await get_pod(configuration)

    assert error.value.status == 0


@pytest.mark.parametrize("user", [{"token": "secret"}, {"tokenFile": "token"}])
async def test_a_kubeconfig_names_server_and_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: dict[str, str]
) -> None:
    (tmp_path / "token").write_text("secret", encoding="utf-8")
    write_kubeconfig(tmp_path / "config", "https://here:6443", user)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    info = await login()

    assert (info.server, info.token, info.insecure) == ("https://here:6443", "secret", False)


async def test_a_kubeconfig_plugin_runs_again_when_its_token_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "plugin.py"
    script.write_text(
        "import json, pathlib\n"
        f"runs = pathlib.Path({str(tmp_path / 'runs')!r})\n"
        "count = int(runs.read_text()) + 1 if runs.exists() else 1\n"
        "runs.write_text(str(count))\n"
        "expiry = '2020-01-01T00:00:00Z' if count < 2 else '2099-01-01T00:00:00Z'\n"
        "status = {'token': f'token-{count}', 'expirationTimestamp': expiry}\n"
        "print(json.dumps({'apiVersion': 'v1', 'kind': 'ExecCredential', 'status': status}))\n",
        encoding="utf-8",
    )
    plugin = {"apiVersion": "v1", "command": sys.executable, "args": [str(script)]}
    async with RecordingServer() as server:
        write_kubeconfig(tmp_path / "config", server.url, {"exec": plugin})
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        configuration = await load_configuration()
        await get_pod(configuration)
        await get_pod(configuration)

    assert server.tokens == ["Bearer token-2", "Bearer token-2"]
    assert (tmp_path / "runs").read_text() == "2"


async def test_without_a_cluster_the_error_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(kopf.LoginError, match="set KUBECONFIG"):
        await load_configuration()


async def test_a_broken_kubeconfig_is_a_login_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(kopf.LoginError, match="current-context"):
        await load_configuration()


async def test_a_large_body_arrives_whole() -> None:
    body: dict[str, Any] = {
        "metadata": {"name": "it", "namespace": "default"},
        "data": {"text": "ä" * LARGE_BYTES * 8},
    }
    async with RecordingServer() as server, api_client(Configuration(host=server.url)) as api:
        await KubeClient(api).create(CONFIG_MAPS, body)

    assert json.loads(server.bodies[0]) == body


async def test_a_server_that_does_not_answer_in_time_is_an_api_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocrpool_operator.cluster.client.TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(ApiError) as error:
            await get_pod(Configuration(host=f"http://{host}:{port}"))

    assert (error.value.status, error.value.reason) == (0, "Unreachable")


async def test_a_plugin_that_gives_no_credentials_is_a_login_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = {"apiVersion": "v1", "command": str(tmp_path / "no-such-plugin")}
    write_kubeconfig(tmp_path / "config", "http://here", {"exec": plugin})
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(kopf.LoginError, match="plugin gave no credentials"):
        await load_configuration()


async def test_a_rotated_token_file_of_a_kubeconfig_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("first", encoding="utf-8")
    async with RecordingServer() as server:
        write_kubeconfig(tmp_path / "config", server.url, {"tokenFile": "token"})
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        configuration = await load_configuration()
        await get_pod(configuration)
        (tmp_path / "token").write_text("second", encoding="utf-8")
        configuration.refresh_api_key_hook._due = 0.0  # a minute later
        await get_pod(configuration)

    assert server.tokens == ["Bearer first", "Bearer second"]


async def test_a_token_is_renewed_once_by_all_requests_of_a_moment() -> None:
    runs = []

    async def renew() -> None:
        runs.append(len(runs))
        await asyncio.sleep(0.01)

    now = 0.0
    renewal = _Renewal(renew, lambda: now)
    await asyncio.gather(*(renewal(Configuration()) for _ in range(5)))
    assert len(runs) == 1
    now = RENEW_SECONDS
    await renewal(Configuration())
    assert len(runs) == 2


async def test_a_hanging_plugin_costs_its_time_limit_and_the_old_token_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocrpool_operator.cluster.kubeconfig.PLUGIN_SECONDS", 0.05)
    await _Renewal(asyncio.Event().wait)(Configuration())  # type: ignore[arg-type]


async def test_certificates_are_written_again_when_tmp_was_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = base64.b64encode(b"a certificate").decode()
    user = {"client-certificate-data": data, "client-key-data": data}
    write_kubeconfig(tmp_path / "config", "https://here", user)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    before = (await load_configuration()).cert_file
    Path(before).unlink()  # noqa: ASYNC240
    after = (await login()).certificate_path
    assert after is not None
    assert Path(after).read_bytes() == b"a certificate"  # noqa: ASYNC240


@pytest.mark.parametrize("text", ["{", "[]", "users: 3"])
async def test_any_unusable_kubeconfig_is_a_login_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "config").write_text(text, encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(kopf.LoginError, match="cannot be used"):
        await load_configuration()
