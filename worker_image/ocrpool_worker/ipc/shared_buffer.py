"""A piece of memory between the supervisor and one instance, in which request bytes cross.

The supervisor writes a body into the instance's memory file (memfd) and the instance reads it
there, mapped: one copy, into pages that exist and are mapped already. A fresh memory file for each
request would cost the kernel the zeroing and the faults of every page each time; a socket would
copy twice. `make bench ARGS="--only handover"` compares them. One request is with an
instance at any
time, so one piece is enough. It is not in `/dev/shm`, whose size containers limit. Linux only.

The first page of the memory holds two numbers of orders: the one that the instance has taken, which
tells the supervisor whether it had begun when it dies, and the one that nobody waits for any more,
which tells the instance to give it up.
"""

from __future__ import annotations

import mmap
import os
import struct

Buffer = bytes | bytearray | memoryview

# More than this is given back after the answer; less is kept, for it will be needed again.
KEEP_BYTES = 8 * 2**20
_BODY = mmap.PAGESIZE
_NUMBER = struct.Struct("<Q")


class SharedBuffer:
    """The supervisor's end. Close it exactly once."""

    def __init__(self) -> None:
        """Raises OSError where memory or descriptors are short."""
        self._descriptor = os.memfd_create("ocrpool", os.MFD_CLOEXEC)
        os.ftruncate(self._descriptor, _BODY)
        self._size = 0

    def fileno(self) -> int:
        """The descriptor that the instance inherits. Raises ValueError once closed."""
        if self._descriptor < 0:
            raise ValueError("the shared_buffer was closed")
        return self._descriptor

    def put(self, data: Buffer, at: int = 0) -> None:
        """Write `data` at this place of the body. Raises OSError where memory is short."""
        view = memoryview(data).cast("B")
        done = 0
        while done < view.nbytes:
            done += os.pwrite(self.fileno(), view[done:], _BODY + at + done)
        self._size = max(self._size, at + view.nbytes)

    def trim(self) -> None:
        """Give back what a large body took. The instance must be done with it."""
        if self._size > KEEP_BYTES:
            os.ftruncate(self.fileno(), _BODY + KEEP_BYTES)
            self._size = KEEP_BYTES

    def taken(self) -> int:
        """The number of the last order that the instance has taken; 0 before the first."""
        (number,) = _NUMBER.unpack(os.pread(self.fileno(), _NUMBER.size, 0))
        return int(number)

    def give_up(self, number: int) -> None:
        """Nobody waits for the order of this number any more."""
        os.pwrite(self.fileno(), _NUMBER.pack(number), _NUMBER.size)

    def close(self) -> None:
        """Give the memory back as soon as the instance has gone, too."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class SharedBufferReader:
    """The instance's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own = mmap.mmap(descriptor, _BODY)
        self._map: mmap.mmap | None = None

    def take(self, number: int) -> None:
        """Say that the work on this order begins."""
        _NUMBER.pack_into(self._own, 0, number)

    def given_up(self, number: int) -> bool:
        """Whether nobody waits for the order of this number any more."""
        (found,) = _NUMBER.unpack_from(self._own, _NUMBER.size)
        return bool(found == number)

    def view(self, size: int) -> memoryview:
        """The body's `size` bytes, read-only and not copied. It must not be touched after the
        answer was sent: the memory can be given back then."""
        end = _BODY + size
        if self._map is None or len(self._map) < end:
            # As large as the file is: smaller bodies that follow need no new mapping.
            length = max(end, os.fstat(self._descriptor).st_size)
            self._map = mmap.mmap(self._descriptor, length, prot=mmap.PROT_READ)
        return memoryview(self._map)[_BODY:end]
