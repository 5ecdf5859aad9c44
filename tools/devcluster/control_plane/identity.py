"""The identities of a cluster: one CA, the API server's certificate, and a token for each
caller."""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=365)


@dataclass(frozen=True)
class Caller:
    """A caller: one line of the API server's token file."""

    user: str
    groups: tuple[str, ...] = ()


ADMIN = Caller("admin", ("system:masters",))
CONTROLLER_MANAGER = Caller("system:kube-controller-manager")
SCHEDULER = Caller("system:kube-scheduler")
PROXY = Caller("system:kube-proxy")
DNS = Caller("devcluster:dns", ("system:masters",))
POLICIES = Caller("devcluster:policies", ("system:masters",))


def kubelet(node_name: str) -> Caller:
    return Caller(f"system:node:{node_name}", ("system:nodes",))


@dataclass(frozen=True)
class Pki:
    """The files below one folder."""

    root: Path

    @property
    def authority(self) -> Path:
        return self.root / "ca.crt"

    @property
    def server(self) -> Path:
        return self.root / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        return self.root / "apiserver.key"

    @property
    def kubelet_client(self) -> Path:
        """The API server's client certificate for kubelets (logs, exec, port-forward)."""
        return self.root / "kubelet-client.crt"

    @property
    def kubelet_client_key(self) -> Path:
        return self.root / "kubelet-client.key"

    @property
    def service_accounts(self) -> Path:
        return self.root / "service-accounts.key"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens.csv"

    def kubeconfig(self, caller: Caller) -> Path:
        return self.root / f"{caller.user.rpartition(':')[2]}.kubeconfig"


def issue(
    pki: Pki, server: str, addresses: Iterable[IPv4Address], callers: Iterable[Caller]
) -> None:
    """Create all keys, certificates, tokens and kubeconfigs for a server at `addresses`."""
    pki.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("devcluster")
    authority = (
        _certificate(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    _write(pki.authority, authority.public_bytes(serialization.Encoding.PEM))

    names: list[x509.GeneralName] = [x509.IPAddress(address) for address in addresses]
    names += [x509.DNSName(name) for name in ("localhost", *_service_names("kubernetes"))]
    for certificate, key_file, subject, usage in (
        (pki.server, pki.server_key, _name("kube-apiserver"), ExtendedKeyUsageOID.SERVER_AUTH),
        (
            pki.kubelet_client,
            pki.kubelet_client_key,
            _name("kube-apiserver", "system:masters"),
            ExtendedKeyUsageOID.CLIENT_AUTH,
        ),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        signed = (
            _certificate(subject, authority_name, key.public_key())
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        _write(certificate, signed.public_bytes(serialization.Encoding.PEM))
        _write_key(key_file, key)
    _write_key(pki.service_accounts, ec.generate_private_key(ec.SECP256R1()))

    lines = []
    for caller in callers:
        token = secrets.token_hex(16)
        lines.append(f'{token},{caller.user},{caller.user},"{",".join(caller.groups)}"\n')
        _write(pki.kubeconfig(caller), _kubeconfig(server, pki.authority, caller, token).encode())
    _write(pki.tokens, "".join(lines).encode())


def _service_names(service: str) -> tuple[str, ...]:
    base = f"{service}.default"
    return (service, base, f"{base}.svc", f"{base}.svc.cluster.local")


def _name(common: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    # Valid an hour earlier, in case the clock is set back during the tests.
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + LIFETIME)
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    _write(
        path,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _kubeconfig(server: str, authority: Path, caller: Caller, token: str) -> str:
    """A kubeconfig as JSON, which is also YAML. It contains the CA, so that it can be copied."""
    name = "devcluster"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": server, "certificate-authority-data": _base64(authority)},
                }
            ],
            "users": [{"name": caller.user, "user": {"token": token}}],
            "contexts": [
                {
                    "name": name,
                    "context": {"cluster": name, "user": caller.user},
                }
            ],
            "current-context": name,
        },
        indent=2,
    )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
