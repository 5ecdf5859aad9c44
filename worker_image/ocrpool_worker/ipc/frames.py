"""Frames on the socket between supervisor and instance.

A frame is a JSON head and an opaque payload: `u32 head length, u64 payload length, head, payload`,
little-endian. Request bodies do not travel in frames but through `ipc.shared_buffer`. An instance
gets one command at a time, so a frame to it is small and never blocks.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ocrpool_worker.ipc.answer_budget import AnswerBudget

_PREFIX = struct.Struct("<IQ")
_HEAD = msgspec.json.Decoder(dict[str, Any])
_CHUNK = 256 * 1024
# Far more than a page's text and pictures: a larger number means that the stream is corrupt.
MAX_HEAD = 1 << 20
MAX_PAYLOAD = 1 << 30


class ChannelClosed(Exception):
    """The other side has closed its end, or exited."""


class ChannelBroken(Exception):
    """What arrived is not a valid frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `head["op"]` is its kind."""

    head: Mapping[str, Any]
    payload: bytes | bytearray = b""
    # Size of a payload that did not fit the answer budget.
    dropped: int = 0


def encode(head: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """The bytes of one frame. Lone surrogates become question marks."""
    try:
        text = msgspec.json.encode(head)
    except UnicodeEncodeError:
        # An error's message may contain lone surrogates, which UTF-8 cannot encode.
        text = json.dumps(head, ensure_ascii=False).encode(errors="replace")
    return b"".join((_PREFIX.pack(len(text), len(payload)), text, payload))


class FrameReader:
    """Cuts a stream of bytes into frames. A payload that does not fit the `budget` is skipped."""

    def __init__(self, budget: AnswerBudget | None = None) -> None:
        self._budget = budget
        # A prefix and a head that are not complete yet.
        self._start = bytearray()
        # After that: the head, its payload, the payload's size, and how many bytes are missing.
        self._head: Mapping[str, Any] | None = None
        self._payload: bytearray | None = None
        self._size = 0
        self._missing = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes, and yield the frames that are complete now. Raises ChannelBroken."""
        while True:
            if self._head is None:
                self._start += data
                data = self._read_head()
                if self._head is None:
                    return
            if self._missing:
                piece = data if len(data) <= self._missing else memoryview(data)[: self._missing]
                data = data[len(piece) :]
                self._missing -= len(piece)
                if self._payload is not None:
                    self._payload += piece
                if self._missing:
                    return
            yield self._take_frame()
            if not data:
                return

    def close(self) -> None:
        """Release an incomplete payload."""
        self._payload = None

    def _read_head(self) -> bytes:
        """Parse the head if it is complete. Returns the bytes after it. Raises ChannelBroken."""
        start = self._start
        if len(start) < _PREFIX.size:
            return b""
        head_size, payload_size = _PREFIX.unpack_from(start)
        if head_size > MAX_HEAD or payload_size > MAX_PAYLOAD:
            raise ChannelBroken(f"a frame of {head_size} + {payload_size} bytes")
        end = _PREFIX.size + head_size
        if len(start) < end:
            return b""
        try:
            head = _HEAD.decode(start[_PREFIX.size : end])
        except msgspec.ValidationError:
            raise ChannelBroken("a head that is not a JSON object") from None
        except (ValueError, RecursionError) as error:
            raise ChannelBroken(f"a head that is not JSON: {error}") from None
        rest = bytes(start[end:])
        start.clear()
        self._head, self._size, self._missing = head, payload_size, payload_size
        if payload_size:
            budget = self._budget
            self._payload = bytearray() if budget is None else budget.reserve(payload_size)
        return rest

    def _take_frame(self) -> Frame:
        assert self._head is not None
        head, payload, size = self._head, self._payload, self._size
        self._head = self._payload = None
        if payload is None:
            return Frame(head, b"", dropped=size)
        return Frame(head, payload)


class InstanceChannel:
    """The instance's end of the socket: blocking, one command at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = FrameReader()

    def receive(self) -> Frame:
        """Wait for the next frame. Raises ChannelClosed when the supervisor hangs up or exits."""
        while True:
            data = self._sock.recv(_CHUNK)
            if not data:
                raise ChannelClosed
            for frame in self._reader.feed(data):
                return frame

    def send(self, head: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send one frame. Waits until the supervisor reads it."""
        try:
            self._sock.sendall(encode(head, payload))
        except (BrokenPipeError, ConnectionResetError):
            raise ChannelClosed from None
