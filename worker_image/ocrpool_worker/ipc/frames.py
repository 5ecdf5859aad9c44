"""Frames on the socket between supervisor and instance.

A frame is a JSON head and an opaque payload: `u32 head length, u64 payload length, head, payload`,
little-endian. Bodies of requests do not travel in frames but through the mailbox (`ipc.mailbox`).
At most one request is on the way to an instance at any time, so a frame to an instance is small and
never blocks.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PREFIX = struct.Struct("<IQ")
_CHUNK = 256 * 1024
# A sane upper bound: a page's text and pictures; more means that the stream is out of step.
MAX_HEAD = 1 << 20
MAX_PAYLOAD = 1 << 30


class ChannelClosed(Exception):
    """The other side has closed its end, or died."""


class ChannelBroken(Exception):
    """What arrived is not a frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: `head["op"]` says what it is."""

    head: Mapping[str, Any]
    payload: bytes = b""


def encode(head: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    return b"".join((_PREFIX.pack(len(text), len(payload)), text, payload))


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with `data`. Raises ChannelBroken."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            head_size, payload_size = _PREFIX.unpack_from(self._buffer)
            if head_size > MAX_HEAD or payload_size > MAX_PAYLOAD:
                raise ChannelBroken(f"a frame of {head_size} + {payload_size} bytes")
            start = _PREFIX.size + head_size
            end = start + payload_size
            if len(self._buffer) < end:
                return
            try:
                head = json.loads(self._buffer[_PREFIX.size : start])
            except ValueError as error:
                raise ChannelBroken(f"a head that is no JSON: {error}") from None
            if not isinstance(head, dict):
                raise ChannelBroken("a head that is no object")
            payload = bytes(memoryview(self._buffer)[start:end])
            del self._buffer[:end]
            yield Frame(head, payload)


class InstanceChannel:
    """The instance's end: blocking, one request at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = FrameReader()

    def receive(self) -> Frame:
        """Wait for the next frame. Raises ChannelClosed when the supervisor has gone."""
        while True:
            data = self._sock.recv(_CHUNK)
            if not data:
                raise ChannelClosed
            for frame in self._reader.feed(data):
                return frame

    def send(self, head: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send one frame, waiting as long as the supervisor takes to read it."""
        try:
            self._sock.sendall(encode(head, payload))
        except (BrokenPipeError, ConnectionResetError):
            raise ChannelClosed from None
