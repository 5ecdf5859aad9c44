"""Request bytes from the supervisor to an instance, in memory that both see."""

from __future__ import annotations

import mmap
import os

import pytest

from ocrpool_worker.ipc import shared_buffer
from ocrpool_worker.ipc.shared_buffer import Buffer, SharedBuffer, SharedBufferReader


@pytest.fixture
def box() -> SharedBuffer:
    return SharedBuffer()


def reader_of(box: SharedBuffer) -> SharedBufferReader:
    return SharedBufferReader(os.dup(box.fileno()))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_same_bytes_come_out(box: SharedBuffer, kind: type[Buffer]) -> None:
    reader = reader_of(box)
    box.put(kind(b"picture" * 10_000))
    assert bytes(reader.view(70_000)) == b"picture" * 10_000


def test_pixels_count_as_bytes(box: SharedBuffer) -> None:
    reader = reader_of(box)
    box.put(memoryview(b"\x01\x00" * 6).cast("H"))
    assert bytes(reader.view(12)) == b"\x01\x00" * 6


def test_one_after_the_other_of_any_size(box: SharedBuffer) -> None:
    reader = reader_of(box)
    for size in (10, 5_000_000, 3, 12_000_000, 70_000, 1):
        body = os.urandom(size)
        box.put(body)
        assert bytes(reader.view(size)) == body, f"a body of {size} bytes came out wrong"
        box.trim()


def test_what_a_large_body_took_is_given_back(box: SharedBuffer) -> None:
    box.put(bytes(shared_buffer.KEEP_BYTES * 2))
    box.trim()
    assert os.fstat(box.fileno()).st_size == mmap.PAGESIZE + shared_buffer.KEEP_BYTES


def test_what_a_small_body_took_is_kept(box: SharedBuffer) -> None:
    box.put(bytes(100_000))
    box.trim()
    assert os.fstat(box.fileno()).st_size == mmap.PAGESIZE + 100_000


def test_an_instance_cannot_write(box: SharedBuffer) -> None:
    reader = reader_of(box)
    box.put(b"abc")
    with pytest.raises(TypeError, match="read-only"):
        reader.view(3)[0] = 1


def test_the_supervisor_sees_which_order_was_taken(box: SharedBuffer) -> None:
    reader = reader_of(box)
    assert box.taken() == 0
    reader.take(2**40 + 1)
    box.put(b"another body")
    assert box.taken() == 2**40 + 1


def test_closed_once(box: SharedBuffer) -> None:
    box.close()
    box.close()
    with pytest.raises(ValueError, match="closed"):
        box.put(b"x")


def test_an_order_is_given_up_by_its_number(box: SharedBuffer) -> None:
    reader = reader_of(box)
    reader.take(7)
    assert not reader.given_up(7)
    box.put(b"body")
    box.give_up(7)
    assert reader.given_up(7)
    assert not reader.given_up(8)
    assert box.taken() == 7
    assert bytes(reader.view(4)) == b"body"
