"""A fake of the cluster's DNS: it answers A queries with the addresses that a test sets."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable
from typing import Protocol


class AddressSource(Protocol):
    """Knows the current addresses."""

    addresses: list[str]


class FakeDns:
    """A DNS server on UDP 127.0.0.1:`port`. Use it as a context manager; `addresses` may change at
    any time. It gives the same answer for every name, and none for AAAA.
    """

    def __init__(
        self, addresses: Iterable[str] = (), *, source: AddressSource | None = None
    ) -> None:
        self.addresses = list(addresses)
        self._source = source or self
        self.silent = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="dns", daemon=True)

    def __enter__(self) -> FakeDns:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(4096)
            if not query:
                return
            if not self.silent:
                self._socket.sendto(self._answer(query), sender)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        kind = struct.unpack(">H", question[-4:-2])[0]
        found = list(self._source.addresses) if kind == 1 else []
        flags = 0x8580 if found else 0x8583  # NXDOMAIN without addresses
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + socket.inet_aton(address)
            for address in found
        ]
        return head + question + b"".join(records)
