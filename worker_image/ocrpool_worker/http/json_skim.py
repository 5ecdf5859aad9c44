"""Has large JSON bodies skimmed in a process of their own, one at a time (`http.skim_main`)."""

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

# A body is copied in steps of so many bytes, a few milliseconds each.
STEP = 4 << 20


class JsonSkimProcess:
    """`seconds`: how long one may take."""

    def __init__(self, names: tuple[str, ...], seconds: float) -> None:
        self._names = names
        self._seconds = seconds
        self._turn = asyncio.Semaphore(1)

    async def skim(self, body: bytearray) -> tuple[SkimResult, Buffer]:
        """What the JSON holds, and the file's bytes. `body` is empty afterwards: it moves into the
        memory file, which is never held twice as a whole. Raises Unavailable."""
        async with self._turn:
            descriptor = os.memfd_create("ocrpool-json", os.MFD_CLOEXEC)
            try:
                await _move(body, descriptor)
                found = await self._run(descriptor)
                if found.size <= STEP:  # a mapping would keep a descriptor
                    return found, os.pread(descriptor, found.size, 0)
                os.ftruncate(descriptor, found.size)
                # Mapped, not copied; it goes with its last user.
                return found, memoryview(mmap.mmap(descriptor, found.size, prot=mmap.PROT_READ))
            except (OSError, TimeoutError, msgspec.MsgspecError) as error:
                why = str(error) or f"not done within {self._seconds:g} s"
                raise Unavailable(
                    f"the JSON could not be taken apart: {why}", retry_after=1
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
    """From the end, so that the memory of what has moved is given back on the way."""
    os.ftruncate(descriptor, len(body))
    while body:
        start = max(0, len(body) - STEP)
        with memoryview(body) as view, view[start:] as piece:
            done = 0
            while done < len(piece):
                done += os.pwrite(descriptor, piece[done:], start + done)
        del body[start:]
        await asyncio.sleep(0)
