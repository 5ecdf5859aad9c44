"""Request bytes from the supervisor to an instance, in memory that both see."""

from __future__ import annotations

import mmap
import os

import pytest

from ocrpool_worker.ipc import shared_buffer
from ocrpool_worker.ipc.shared_buffer import Buffer, SharedBuffer, SharedBufferReader


@pytest.fixture
def buffer() -> SharedBuffer:
    return SharedBuffer()


def reader_of(buffer: SharedBuffer) -> SharedBufferReader:
    return SharedBufferReader(os.dup(buffer.fileno()))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_same_bytes_come_out(buffer: SharedBuffer, kind: type[Buffer]) -> None:
    reader = reader_of(buffer)
    buffer.write(kind(b"picture" * 10_000))
    assert bytes(reader.view(70_000)) == b"picture" * 10_000


def test_pixels_are_written_as_bytes(buffer: SharedBuffer) -> None:
    reader = reader_of(buffer)
    buffer.write(memoryview(b"\x01\x00" * 6).cast("H"))
    assert bytes(reader.view(12)) == b"\x01\x00" * 6


def test_bodies_of_any_size_follow_one_another(buffer: SharedBuffer) -> None:
    reader = reader_of(buffer)
    for size in (10, 5_000_000, 3, 12_000_000, 70_000, 1):
        body = os.urandom(size)
        buffer.write(body)
        assert bytes(reader.view(size)) == body, f"a body of {size} bytes came out wrong"
        buffer.shrink()


def test_memory_of_a_large_body_is_given_back(buffer: SharedBuffer) -> None:
    buffer.write(bytes(shared_buffer.KEEP_BYTES * 2))
    buffer.shrink()
    assert os.fstat(buffer.fileno()).st_size == mmap.PAGESIZE + shared_buffer.KEEP_BYTES


def test_memory_of_a_small_body_is_kept(buffer: SharedBuffer) -> None:
    buffer.write(bytes(100_000))
    buffer.shrink()
    assert os.fstat(buffer.fileno()).st_size == mmap.PAGESIZE + 100_000


def test_an_instance_cannot_write(buffer: SharedBuffer) -> None:
    reader = reader_of(buffer)
    buffer.write(b"abc")
    with pytest.raises(TypeError, match="read-only"):
        reader.view(3)[0] = 1


def test_the_supervisor_sees_which_command_was_taken(buffer: SharedBuffer) -> None:
    reader = reader_of(buffer)
    assert buffer.last_taken() == 0
    reader.take(2**40 + 1)
    buffer.write(b"another body")
    assert buffer.last_taken() == 2**40 + 1


def test_closing_twice_is_harmless(buffer: SharedBuffer) -> None:
    buffer.close()
    buffer.close()
    with pytest.raises(ValueError, match="closed"):
        buffer.write(b"x")


def test_a_command_is_cancelled_by_its_number(buffer: SharedBuffer) -> None:
    reader = reader_of(buffer)
    reader.take(7)
    assert not reader.is_cancelled(7)
    buffer.write(b"body")
    buffer.cancel(7)
    assert reader.is_cancelled(7)
    assert not reader.is_cancelled(8)
    assert buffer.last_taken() == 7
    assert bytes(reader.view(4)) == b"body"
