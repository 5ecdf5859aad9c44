"""Skim large JSON bodies in a separate process, one at a time (`http.json_skim_main`)."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import sys

import msgspec

from ocrpool_worker.errors import Unavailable
from ocrpool_worker.http.json_skim_main import SkimResult
from ocrpool_worker.ipc.shared_buffer import Buffer

# A body is copied in steps of this many bytes, which take a few milliseconds each.
STEP = 4 << 20


class JsonSkimProcess:
    """Runs the skim process. `seconds`: the longest time for one body."""

    def __init__(self, names: tuple[str, ...], seconds: float) -> None:
        self._names = names
        self._seconds = seconds
        self._turn = asyncio.Semaphore(1)

    async def skim(self, body: bytearray) -> tuple[SkimResult, Buffer]:
        """Return the fields of the JSON and the bytes of the file.

        `body` is empty afterwards. It is moved piece by piece into a memory file, so that it is
        never held twice. Raises Unavailable.
        """
        async with self._turn:
            descriptor = os.memfd_create("ocrpool-json", os.MFD_CLOEXEC)
            try:
                await _move(body, descriptor)
                found = await self._run(descriptor)
                if found.size <= STEP:  # a mapping would keep the descriptor open
                    return found, os.pread(descriptor, found.size, 0)
                os.ftruncate(descriptor, found.size)
                # Mapped, not copied. The mapping is freed with its last user.
                return found, memoryview(mmap.mmap(descriptor, found.size, prot=mmap.PROT_READ))
            except (OSError, TimeoutError, msgspec.MsgspecError) as error:
                why = str(error) or f"not done within {self._seconds:g} s"
                raise Unavailable(
                    f"the JSON could not be parsed: {why}; try again", retry_after=1
                ) from None
            finally:
                os.close(descriptor)

    async def _run(self, descriptor: int) -> SkimResult:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ocrpool_worker.http.json_skim_main",
            str(descriptor),
            *self._names,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._seconds):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return msgspec.json.decode(out, type=SkimResult)


async def _move(body: bytearray, descriptor: int) -> None:
    """Move the body into the file, from its end, freeing the memory of each moved piece."""
    os.ftruncate(descriptor, len(body))
    while body:
        start = max(0, len(body) - STEP)
        with memoryview(body) as view, view[start:] as piece:
            done = 0
            while done < len(piece):
                done += os.pwrite(descriptor, piece[done:], start + done)
        del body[start:]
        await asyncio.sleep(0)
