"""Bytes of a request in a memory file, which any instance can map without a copy.

The body of a request lives in exactly one place until the request is answered: an anonymous
memory file (memfd). Handing it to an instance passes the descriptor; the pages of a PDF share one
file over many instances, and a page that is put back needs nothing sent again. Linux only.
`bench.handover` compares this with the alternatives.
"""

from __future__ import annotations

import fcntl
import mmap
import os

Buffer = bytes | bytearray | memoryview

# Sealed, so that an instance gone mad cannot change what another one will read.
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SharedBytes:
    """A read-only memory file. Close it exactly once, when nobody will need it again."""

    __slots__ = ("_descriptor", "size")

    def __init__(self, data: Buffer) -> None:
        """Copy `data` in. Raises OSError where memory or descriptors are short."""
        self.size = len(data) if not isinstance(data, memoryview) else data.nbytes
        self._descriptor = os.memfd_create("ocrpool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            view = memoryview(data).cast("B")
            done = 0
            while done < self.size:
                done += os.write(self._descriptor, view[done:])
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for handing it over. Raises ValueError once closed."""
        if self._descriptor < 0:
            raise ValueError("the bytes were closed")
        return self._descriptor

    def read(self) -> bytes:
        """A copy of all bytes."""
        return os.pread(self.fileno(), self.size, 0)

    def close(self) -> None:
        """Give the memory back as soon as no instance maps it any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


def map_bytes(descriptor: int, size: int) -> mmap.mmap:
    """Map a memory file that came from the supervisor, and close the descriptor."""
    try:
        return mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
