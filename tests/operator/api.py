"""A plain client of the API server for tests and for the stand-in kubelet."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]


class Refused(Exception):
    """The API server refused a call."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Api:
    """Calls with the credentials of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        if "certificate-authority-data" in cluster:
            text = base64.b64decode(cluster["certificate-authority-data"]).decode()
            self.tls = ssl.create_default_context(cadata=text)
        else:
            self.tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        if "client-certificate-data" in user:
            with tempfile.TemporaryDirectory() as folder:
                paths = []
                for key in ("client-certificate-data", "client-key-data"):
                    path = Path(folder, key)
                    path.write_bytes(base64.b64decode(user[key]))
                    paths.append(path)
                self.tls.load_cert_chain(paths[0], paths[1])

    def call(self, method: str, path: str, body: object = None, kind: str = "json") -> Object:
        """Make one call and return the object. Raises Refused, OSError."""
        content = {"json": "application/json", "merge": "application/merge-patch+json"}[kind]
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={**self._headers, "Content-Type": content},
        )
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=10) as response:
                found: Object = json.loads(response.read())
                return found
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None

    def get(self, path: str) -> Object:
        return self.call("GET", path)

    def merge(self, path: str, body: object) -> Object:
        return self.call("PATCH", path, body, "merge")
