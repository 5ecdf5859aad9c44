"""Parse the body of `POST /ocr` into its fields and the bytes of its file, in bounded steps."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from ocrpool_worker.errors import NotAnImage, RequestError
from ocrpool_worker.http.base64_text import (
    STEP,
    decode_in_steps,
    decode_plain_base64,
    http_url_in,
    max_decoded_size,
    parse_data_url,
)
from ocrpool_worker.http.json_outline import MARK, SMALL, NotJson, Skimmer, cut_out_file
from ocrpool_worker.http.json_skim import JsonSkimProcess
from ocrpool_worker.http.params import (
    OcrRequest,
    errors_as_paddlex,
    log_id_in,
    paddlex_invalid_json,
)
from ocrpool_worker.ipc.shared_buffer import Buffer

# A body up to this size is skimmed in the event loop, which takes up to 40 ms.
AT_ONCE = 8 << 20
_NAMES = tuple(str(field.alias) for field in OcrRequest.model_fields.values())


class WrongRequest(RequestError):
    """The JSON is not a valid request of `/ocr`. The message is PaddleX's list of errors."""

    status, reason = 422, "BadRequest"

    def __init__(self, message: str, log_id: str | None) -> None:
        super().__init__(message)
        self.log_id = log_id


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """`file`: its bytes, its text if that is short or a URL, or what is wrong with it.
    `request.file` holds nothing."""

    request: OcrRequest
    file: Buffer | str | RequestError


class RequestParser:
    """Parses bodies. `seconds`: the longest time for a large one, in its own process."""

    def __init__(self, seconds: float) -> None:
        self._skimmer = Skimmer(_NAMES)
        self._large = JsonSkimProcess(_NAMES, seconds)

    async def parse(self, body: bytearray, hold: Callable[[int], None]) -> ParsedRequest:
        """Parse one body, which may be empty afterwards.

        `hold` is called with the bytes of memory that are needed on top of the body, and may raise;
        a negative number releases memory. Raises WrongRequest or Unavailable.
        """
        await _to_utf8(body, hold)
        parsed = await self._parse_plain_base64(body, hold)
        if parsed is not None:
            return parsed
        if len(body) <= SMALL:
            request = _validated(body)
            return ParsedRequest(_without_file(request), request.file)
        if len(body) > AT_ONCE:
            return await self._skim_in_subprocess(body)
        try:
            outline = self._skimmer.outline(body)
        except NotJson as error:
            raise WrongRequest(paddlex_invalid_json(str(error)), None) from None
        await asyncio.sleep(0)
        request = _validated(outline.fields)
        if outline.text is None:
            return ParsedRequest(request, "")
        url = http_url_in(outline.text)
        if url is not None:
            return ParsedRequest(request, url)
        file = bytearray()
        try:
            hold(max_decoded_size(outline.text))
            for _ in decode_in_steps(outline.text, file.extend):
                await asyncio.sleep(0)
        except NotAnImage as error:
            return ParsedRequest(request, error)
        return ParsedRequest(request, file)

    async def _parse_plain_base64(
        self, body: bytearray, hold: Callable[[int], None]
    ) -> ParsedRequest | None:
        """Parse a body that is plain base64 and little else. None for any other body."""
        outline = cut_out_file(body)
        if outline is None or outline.text is None:
            return None
        with outline.text:
            try:
                request = OcrRequest.model_validate_json(outline.fields)
            except ValidationError:
                return None  # the error must be that of the body as it was sent
            if request.file != MARK:
                return None
            text = _data(outline.text)
            if text is None:
                return None
            if len(text) <= STEP:
                small = decode_plain_base64(text)
                return None if small is None else ParsedRequest(request, small)
            file, size = bytearray(), len(text) * 3 // 4
            for at in range(0, len(text), STEP):
                piece = decode_plain_base64(text[at : at + STEP])
                # Nothing may follow the padding.
                if piece is None or (len(piece) % 3 and at + STEP < len(text)):
                    if at:
                        hold(-size)
                    return None
                if not at:
                    hold(size)
                file += piece
                await asyncio.sleep(0)
        return ParsedRequest(request, file)

    async def _skim_in_subprocess(self, body: bytearray) -> ParsedRequest:
        found, file = await self._large.skim(body)
        if found.not_json:
            raise WrongRequest(paddlex_invalid_json(found.not_json), None)
        request = _validated(found.fields.encode())
        if found.not_base64:
            return ParsedRequest(request, NotAnImage(found.not_base64, field="file"))
        return ParsedRequest(request, found.url or file)


async def _to_utf8(body: bytearray, hold: Callable[[int], None]) -> None:
    """Convert `body` to UTF-8 without a byte-order mark, in steps and in place.

    PowerShell sends other encodings of Unicode. The encoding is detected as RFC 4627 says, as in
    PaddleX. Raises WrongRequest.
    """
    encoding = json.detect_encoding(bytes(body[:4]))
    if encoding == "utf-8":
        return
    if encoding == "utf-8-sig":
        del body[:3]
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    read = written = 0
    try:
        while read < len(body):
            step = bytes(body[read : read + STEP])
            read += len(step)
            piece = decoder.decode(step, read == len(body)).encode()
            more = written + len(piece) - read
            if more > 0:  # this text is longer in UTF-8
                hold(more)
                body[written:read] = piece
                read += more
            else:
                body[written : written + len(piece)] = piece
            written += len(piece)
            await asyncio.sleep(0)
    except UnicodeDecodeError as error:
        raise WrongRequest(
            paddlex_invalid_json(f"the body is not {encoding}: {error.reason}"), None
        ) from None
    del body[written:]


def _data(text: memoryview) -> memoryview | None:
    """The base64 part of a data URL, or a text that is not a data URL. None for anything else."""
    try:
        url = parse_data_url(text)
    except NotAnImage:
        return None
    if url is None:
        return text
    return text[url[0] :] if url[1] else None


def _validated(fields: bytes | bytearray) -> OcrRequest:
    try:
        return OcrRequest.model_validate_json(fields)
    except ValidationError as error:
        raise WrongRequest(errors_as_paddlex(error), log_id_in(fields)) from None


def _without_file(request: OcrRequest) -> OcrRequest:
    """Drop the text of `file`, so that megabytes are not kept while the request waits."""
    return request.model_copy(update={"file": ""})
