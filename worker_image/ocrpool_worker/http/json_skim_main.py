"""Program that skims one large JSON body: `python -m ocrpool_worker.http.json_skim_main FD NAME…`.

It reads the body in the memory file FD and writes the decoded bytes of `file` into the same file,
over what it has read. On standard output it writes a `SkimResult`. It needs a megabyte or two of
its own memory.
"""

from __future__ import annotations

import mmap
import os
import sys
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.http.base64_text import decode_in_steps, http_url_in
from ocrpool_worker.http.json_outline import NotJson, Skimmer


@dataclass(frozen=True)
class SkimResult:
    """`fields` as in an Outline. `size`: number of decoded bytes of the file. `url`: the value of
    `file` if it is a URL. `not_json` and `not_base64`: what is wrong, or empty."""

    fields: str = ""
    size: int = 0
    url: str = ""
    not_json: str = ""
    not_base64: str = ""


def skim(descriptor: int, names: tuple[str, ...]) -> SkimResult:
    """Skim the body in the memory file, and replace it by the decoded file."""
    body = mmap.mmap(descriptor, 0)
    try:
        outline = Skimmer(names).outline(memoryview(body))
    except NotJson as error:
        return SkimResult(not_json=str(error))
    fields = outline.fields.decode("utf-8", errors="replace")
    if outline.text is None:
        return SkimResult(fields)
    url = http_url_in(outline.text)
    if url is not None:
        return SkimResult(fields, url=url)
    size = 0

    def write(decoded: bytes) -> None:
        # This never overwrites unread text: no spelling is shorter than the bytes it stands for.
        nonlocal size
        size += os.pwrite(descriptor, decoded, size)

    try:
        for _ in decode_in_steps(outline.text, write):
            pass
    except NotAnImage as error:
        return SkimResult(fields, not_base64=error.message)
    return SkimResult(fields, size)


def main(arguments: list[str], out: BinaryIO) -> None:
    out.write(msgspec.json.encode(skim(int(arguments[0]), tuple(arguments[1:]))))


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdout.buffer)
