"""Decide which addresses a client's URL may lead to: public ones, and those of named networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ocrpool_worker.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Networks that are not public, although `ipaddress` says so in some or all versions of Python:
# IANA's special-purpose registries, address translators, and a cloud's metadata service.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",
        "64:ff9b:1::/48",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "::/8",
        "fec0::/10",
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def embedded(address: Address) -> Address:
    """The IPv4 address that is embedded in an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_allowed(text: str, named: Iterable[Network]) -> bool:
    """Whether a URL may lead to this address, which may have a zone. `named`: networks that are
    allowed in addition to the public ones."""
    try:
        given = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    address = embedded(given)
    if any(address in network or given in network for network in named):
        return True
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NOT_PUBLIC)
    )
