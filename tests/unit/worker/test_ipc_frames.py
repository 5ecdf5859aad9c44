"""Frames between supervisor and instance, however the stream is cut."""

from __future__ import annotations

import itertools
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.ipc.frames import (
    MAX_HEAD,
    MAX_PAYLOAD,
    ChannelBroken,
    ChannelClosed,
    Frame,
    FrameReader,
    InstanceChannel,
    encode,
)

HEADS = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    max_size=4,
)
FRAMES = st.lists(st.tuples(HEADS, st.binary(max_size=60)), max_size=5)


@given(FRAMES, st.lists(st.integers(min_value=0, max_value=400), max_size=12))
def test_any_cut_of_the_stream_gives_the_same_frames(
    frames: list[tuple[dict[str, object], bytes]], cuts: list[int]
) -> None:
    stream = b"".join(encode(head, payload) for head, payload in frames)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    reader = FrameReader()
    found: list[Frame] = []
    for begin, end in itertools.pairwise(edges):
        found.extend(reader.feed(stream[begin:end]))
    assert found == [Frame(head, payload) for head, payload in frames]


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    head = {"message": "no file \ud83d here: 文", "status": 422, "field": None}
    (frame,) = FrameReader().feed(encode(head, b"pages"))
    assert frame == Frame(head | {"message": "no file ? here: 文"}, b"pages")


@given(st.binary(max_size=200))
def test_random_bytes_raise_channel_broken_and_nothing_else(garbage: bytes) -> None:
    try:
        frames = list(FrameReader().feed(garbage))
    except ChannelBroken:
        return
    assert all(isinstance(frame.head, dict) for frame in frames)


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (struct.pack("<IQ", MAX_HEAD + 1, 0), "a frame of"),
        (struct.pack("<IQ", 2, MAX_PAYLOAD + 1), "a frame of"),
        (struct.pack("<IQ", 3, 0) + b"{]}", "not JSON"),
        (struct.pack("<IQ", 2, 0) + b"\xff\xfe", "not JSON"),
        (struct.pack("<IQ", 2, 0) + b"[]", "not a JSON object"),
    ],
)
def test_invalid_frames_raise_channel_broken(stream: bytes, why: str) -> None:
    with pytest.raises(ChannelBroken, match=why):
        list(FrameReader().feed(stream))


def test_the_end_of_the_other_side_raises_channel_closed() -> None:
    ours, theirs = socket.socketpair()
    channel = InstanceChannel(theirs)
    try:
        ours.sendall(encode({"op": "next"}, b"abc"))
        assert channel.receive() == Frame({"op": "next"}, b"abc")
        channel.send({"op": "done"}, b"xyz")
        assert list(FrameReader().feed(ours.recv(1000))) == [Frame({"op": "done"}, b"xyz")]
        ours.close()
        with pytest.raises(ChannelClosed):
            channel.receive()
        with pytest.raises(ChannelClosed):
            channel.send({"op": "done"})
    finally:
        ours.close()
        theirs.close()
