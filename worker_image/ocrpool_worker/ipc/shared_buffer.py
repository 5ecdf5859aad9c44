"""Memory that the supervisor shares with one instance, for request bytes.

The supervisor writes a body into the instance's memory file (memfd), and the instance reads it
through a mapping: one copy, into pages that exist and are mapped already. A new memory file for
each request would make the kernel zero and fault every page again; a socket would copy twice.
`make bench ARGS="--only handover"` compares them. An instance has one request at a time, so one
buffer is enough. It is not in `/dev/shm`, whose size containers limit. Linux only.

The first page of the memory holds the numbers of two commands: the last one that the instance has
taken, so that the supervisor knows after an exit whether the page was begun; and the last one that
was cancelled, so that the instance can stop early.
"""

from __future__ import annotations

import mmap
import os
import struct

Buffer = bytes | bytearray | memoryview

# Memory beyond this is given back after the answer. The rest is kept for the next request.
KEEP_BYTES = 8 * 2**20
_BODY = mmap.PAGESIZE
_NUMBER = struct.Struct("<Q")


class SharedBuffer:
    """The supervisor's side."""

    def __init__(self) -> None:
        """Raises OSError where there is no memory or no free descriptor."""
        self._descriptor = os.memfd_create("ocrpool", os.MFD_CLOEXEC)
        os.ftruncate(self._descriptor, _BODY)
        self._size = 0

    def fileno(self) -> int:
        """The descriptor that the instance inherits. Raises ValueError once closed."""
        if self._descriptor < 0:
            raise ValueError("the shared buffer was closed")
        return self._descriptor

    def write(self, data: Buffer, at: int = 0) -> None:
        """Write `data` at this offset of the body. Raises OSError where there is no memory."""
        view = memoryview(data).cast("B")
        done = 0
        while done < view.nbytes:
            done += os.pwrite(self.fileno(), view[done:], _BODY + at + done)
        self._size = max(self._size, at + view.nbytes)

    def shrink(self) -> None:
        """Give back the memory of a large body. The instance must be done with it."""
        if self._size > KEEP_BYTES:
            os.ftruncate(self.fileno(), _BODY + KEEP_BYTES)
            self._size = KEEP_BYTES

    def last_taken(self) -> int:
        """The number of the last command that the instance began; 0 before the first."""
        (number,) = _NUMBER.unpack(os.pread(self.fileno(), _NUMBER.size, 0))
        return int(number)

    def cancel(self, number: int) -> None:
        """No client waits any more for the result of the command of this number."""
        os.pwrite(self.fileno(), _NUMBER.pack(number), _NUMBER.size)

    def close(self) -> None:
        """Release this side. The memory is freed once the instance has exited as well."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class SharedBufferReader:
    """The instance's side."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own = mmap.mmap(descriptor, _BODY)
        self._map: mmap.mmap | None = None

    def take(self, number: int) -> None:
        """Record that the command of this number begins."""
        _NUMBER.pack_into(self._own, 0, number)

    def is_cancelled(self, number: int) -> bool:
        """Whether the command of this number was cancelled."""
        (found,) = _NUMBER.unpack_from(self._own, _NUMBER.size)
        return bool(found == number)

    def view(self, size: int) -> memoryview:
        """The body's `size` bytes, read-only, without a copy. Do not use it after the answer was
        sent: the memory may be given back then."""
        end = _BODY + size
        if self._map is None or len(self._map) < end:
            # As large as the file, so that smaller bodies need no new mapping.
            length = max(end, os.fstat(self._descriptor).st_size)
            self._map = mmap.mmap(self._descriptor, length, prot=mmap.PROT_READ)
        return memoryview(self._map)[_BODY:end]
