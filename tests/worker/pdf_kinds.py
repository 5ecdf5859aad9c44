"""PDFs of common kinds, each of one page of 200×100 points that says Hello."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from tests.worker.bombs import pdf_of

HELLO = b"BT /F 24 Tf 20 40 Td (Hello) Tj ET"
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
_PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
# The padding of passwords, and other steps of encryption: ISO 32000-1, 7.6.3.
PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_IDENT = b"0123456789abcdef"


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)


def hello(
    *more: bytes,
    page: bytes = b"",
    box: bytes = b"[0 0 200 100]",
    contents: bytes = HELLO,
    catalog: bytes = b"",
    extra: bytes = b"",
) -> bytes:
    """`page` and `catalog`: entries of those; `more`: objects from number 6 on."""
    body = b"<</Type/Page/Parent 2 0 R/MediaBox%s/Contents 4 0 R" % box
    body += b"/Resources<</Font<</F 5 0 R>>>>%s>>" % page
    root = b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog
    return pdf_of(root, _PAGES, body, stream(contents), FONT, *more, extra=extra)


def stamp(text: bytes, font: Sequence[bytes] = ()) -> bytes:
    """With a stamp that has text. `font`: objects of its font."""
    reference = b"7" if font else b"5"
    resources = b"/Resources<</Font<</F %s 0 R>>>>" % reference
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 100 30]" + resources
    annotation = b"/Annots[<</Type/Annot/Subtype/Stamp/Rect[50 60 150 90]/AP<</N 6 0 R>>/F 4>>]"
    return hello(stream(b"BT /F 20 Tf 2 5 Td %s Tj ET" % text, form), *font, page=annotation)


def field(value: bytes, *, flags: int = 0) -> bytes:
    """With a filled form field without an appearance."""
    widget = b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V%s/Rect[50 60 150 90]/F 4" % value
    widget += b"/Ff %d" % flags
    return hello(
        widget + b"/DA(/F 12 Tf 0 g)>>",
        page=b"/Annots[6 0 R]",
        catalog=b"/AcroForm<</NeedAppearances true/Fields[6 0 R]/DR<</Font<</F 5 0 R>>>>>>",
    )


def comment(text: bytes) -> bytes:
    """With a comment without an appearance."""
    annotation = b"/Annots[<</Type/Annot/Subtype/FreeText/Rect[50 60 150 90]/Contents%s"
    return hello(page=annotation % text + b"/DA(/Helv 12 Tf 0 g)/F 4>>]")


def xfa() -> bytes:
    """An XFA form, whose pages only a program creates."""
    template = b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'><template/></xdp:xdp>"
    catalog = b"/AcroForm<</Fields[]/XFA 6 0 R>>/NeedsRendering true"
    return hello(stream(template), catalog=catalog)


def with_files(*names: bytes) -> bytes:
    """With attached files that are not on the page."""
    listed = b"".join(
        b"(%s) <</Type/Filespec/F(%s)/UF(%s)/EF<</F 6 0 R>>>>" % (name, name, name)
        for name in names
    )
    catalog = b"/Collection<</View/D>>/Names<</EmbeddedFiles<</Names[%s]>>>>" % listed
    return hello(stream(b"some file", b"/Type/EmbeddedFile"), catalog=catalog)


def encrypted(password: bytes, *, handler: bytes = b"Standard") -> bytes:
    """Encrypted with RC4 of 40 bits, as by old programs."""
    padded = (password + PADDING)[:32]
    owner = rc4(hashlib.md5((b"owner" + PADDING)[:32]).digest()[:5], padded)
    key = hashlib.md5(padded + owner + struct.pack("<i", -4) + _IDENT).digest()[:5]
    of_contents = hashlib.md5(key + b"\x04\0\0\0\0").digest()[:10]
    return hello(
        b"<</Filter/%s/V 1/R 2/O<%s>/U<%s>/P -4>>"
        % (handler, owner.hex().encode(), rc4(key, PADDING).hex().encode()),
        contents=rc4(of_contents, HELLO),
        extra=b"/Encrypt 6 0 R/ID[<%s><%s>]" % (_IDENT.hex().encode(), _IDENT.hex().encode()),
    )


def rc4(key: bytes, data: bytes) -> bytes:
    """The cipher of PDFs of before 2006 (ISO 32000-1, 7.6.2)."""
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
