"""Bytes of a request in a sealed memory file."""

from __future__ import annotations

import errno
import mmap
import os

import pytest

from ocrpool_worker.ipc.memory import Buffer, SharedBytes, map_bytes


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_same_bytes_come_out(kind: type[Buffer]) -> None:
    shared = SharedBytes(kind(b"picture" * 10_000))
    assert shared.size == 70_000
    assert shared.read() == b"picture" * 10_000
    mapped = map_bytes(os.dup(shared.fileno()), shared.size)
    shared.close()
    assert mapped[:7] == b"picture", "a mapping outlives the file's descriptor"
    mapped.close()


def test_pixels_count_as_bytes() -> None:
    wide = memoryview(b"\x01\x00" * 6).cast("H")
    shared = SharedBytes(wide)
    assert (shared.size, shared.read()) == (12, b"\x01\x00" * 6)
    shared.close()


def test_nobody_can_change_them() -> None:
    shared = SharedBytes(b"abc")
    descriptor = shared.fileno()
    for change in (
        lambda: os.pwrite(descriptor, b"x", 0),
        lambda: os.ftruncate(descriptor, 1),
        lambda: os.ftruncate(descriptor, 9),
    ):
        with pytest.raises(OSError, match="not permitted") as caught:
            change()
        assert caught.value.errno == errno.EPERM
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, 3, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    shared.close()


def test_closed_once_and_for_all() -> None:
    shared = SharedBytes(b"abc")
    descriptor = shared.fileno()
    shared.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    # The number may be another file's by now: a second close must leave that alone.
    other = os.memfd_create("other")
    assert other == descriptor, "the kernel gives the lowest free number"
    shared.close()
    del shared
    os.fstat(other)
    os.close(other)


def test_a_closed_one_is_not_handed_over() -> None:
    shared = SharedBytes(b"abc")
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        shared.fileno()
    with pytest.raises(ValueError, match="closed"):
        shared.read()


def test_the_descriptor_is_closed_even_where_nothing_can_be_mapped() -> None:
    descriptor = os.memfd_create("empty")
    with pytest.raises(ValueError, match="empty"):
        map_bytes(descriptor, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
