"""HTTP limits and checks: allowed addresses of URLs, client addresses, the sharing of descriptors,
cross-site requests, and repeated log records."""

from __future__ import annotations

import ipaddress
import logging
from pathlib import Path

import pytest

from ocrpool.json_logs import RateLimit
from ocrpool_worker.http.allowed_addresses import is_allowed
from ocrpool_worker.http.clients import Clients, network_of
from ocrpool_worker.http.csrf import is_cross_origin
from ocrpool_worker.http.file_descriptors import shares
from ocrpool_worker.settings import settings_from

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "2606:2800:220:1:248:1893:25c8:1946",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "",
    "localhost",
    "127.1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, ())


@pytest.mark.parametrize("address", PRIVATE)
def test_other_addresses_are_not_allowed(address: str) -> None:
    assert not is_allowed(address, ())


def test_named_networks_are_allowed_and_no_others() -> None:
    named = settings_from({"http": {"fetchNetworks": ["10.1.0.0/16", "fd00::/16"]}})
    networks = named.http.fetch_networks
    assert is_allowed("10.1.255.255", networks)
    assert is_allowed("::ffff:10.1.0.1", networks)
    assert is_allowed("fd00::1", networks)
    assert not is_allowed("10.2.0.1", networks)
    assert not is_allowed("127.0.0.1", networks)
    assert is_allowed("8.8.8.8", networks)
    assert networks[0] == ipaddress.ip_network("10.1.0.0/16")


def test_a_client_is_its_address_or_its_ipv6_network() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert (
        network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    )
    assert network_of("fe80::1%eth0") == "fe80::/64"


def test_only_a_proxy_with_the_secret_sets_the_client(tmp_path: Path) -> None:
    file = tmp_path / "proxy"
    now = 0.0
    clients = Clients(file, clock=lambda: now)
    assert clients.identify("10.0.0.1", "192.0.2.1 first") == "10.0.0.1"  # there is no file yet
    file.write_text("first\n")
    now = 20.0
    assert clients.identify("10.0.0.1", "192.0.2.1 first") == "192.0.2.1"
    assert clients.identify("10.0.0.1", None) == "10.0.0.1"
    for told in ("192.0.2.1", "192.0.2.1 ", "192.0.2.1 firs", "first", "", "192.0.2.1 first x"):
        assert clients.identify("10.0.0.1", told) == "10.0.0.1"
    file.write_text("second")
    now = 40.0
    assert clients.identify("10.0.0.1", "192.0.2.1 first") == "10.0.0.1"
    assert clients.identify("10.0.0.1", "192.0.2.1 second") == "192.0.2.1"
    file.write_text("")
    now = 60.0
    assert clients.identify("10.0.0.1", "192.0.2.1 ") == "10.0.0.1"
    assert Clients(None).identify("10.0.0.1", "192.0.2.1 ") == "10.0.0.1"


@pytest.mark.parametrize("limit", [128, 256, 1024, 4096, 2**20])
@pytest.mark.parametrize("most", [1, 8, 256])
def test_descriptors_are_shared_within_the_limit(limit: int, most: int) -> None:
    settings = settings_from({"instances": {"max": most}})
    found = shares(settings, limit=limit, in_use=16)
    assert found.control >= 16
    assert 8 <= found.data <= settings.http.max_connections
    # Enough is left for two instances and for short-lived descriptors.
    assert found.data + found.control + found.refused + 16 <= limit - 2 * 8 - 16
    if limit >= 4096:
        assert found.data == settings.http.max_connections


def test_only_changing_requests_are_checked_for_their_origin() -> None:
    headers = {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"}
    assert not is_cross_origin("GET", headers)
    assert is_cross_origin("POST", headers)
    assert not is_cross_origin("POST", {})


def test_a_repeated_log_record_appears_once_a_minute() -> None:
    now = 0.0
    rate_limit = RateLimit(clock=lambda: now)

    def told(message: str) -> logging.LogRecord | None:
        record = logging.makeLogRecord({"msg": message, "levelno": logging.WARNING})
        return record if rate_limit.filter(record) else None

    assert told("accept failed\nsocket 1") is not None
    assert [told(f"accept failed\nsocket {number}") for number in range(2, 7)] == [None] * 5
    assert told("something else") is not None
    now = 61.0
    again = told("accept failed\nsocket 7")
    assert again is not None
    assert vars(again)["leftOut"] == 5
    # Many kinds of records do not use unbounded memory, and each is logged.
    assert all(told(f"kind {number}") is not None for number in range(1000))
