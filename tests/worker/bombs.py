"""Files with excessive claims, contents or nesting, built by hand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence


def png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *before: bytes, packed: bytes = b"") -> bytes:
    """A grey PNG with chunks before its pixels."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = packed or zlib.compress(bytes((width + 1) * min(height, 500)), 1)
    end = png_chunk(b"IDAT", data) + png_chunk(b"IEND")
    return b"".join((b"\x89PNG\r\n\x1a\n", head, *before, end))


def tiff_frame(at: int, tags: Sequence[tuple[int, int, int, int]], following: int) -> bytes:
    """One directory for offset `at`, which points to the next one."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def size_tags(width: int, height: int) -> list[tuple[int, int, int, int]]:
    pixels = width * height % 2**32
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, pixels),
    ]


def tiff_of(*frames: bytes) -> bytes:
    return b"II*\x00\x08\x00\x00\x00" + b"".join(frames)


def tiff_chain(frames: int, size: int = 10) -> bytes:
    """A chain of this many empty frames."""
    first = tiff_frame(8, size_tags(size, size), 0)
    at = 8 + len(first)
    chain = [first[:-4] + struct.pack("<I", at)]
    for number in range(frames):
        at += 6
        chain.append(tiff_frame(at, [], at if number + 1 < frames else 0))
    return tiff_of(*chain)


def pdf_of(*objects: bytes, root: int = 1, extra: bytes = b"") -> bytes:
    """A PDF of these objects, the first of them number 1."""
    out, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"<</Size %d/Root %d 0 R%s>>" % (len(objects) + 1, root, extra)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer%s\n" % (len(objects) + 1, table, trailer)
    return out + end + b"startxref\n%d\n%%%%EOF\n" % len(out)


_CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
_ONE_PAGE = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"


def pdf_page(box: bytes, contents: bytes = b"", resources: bytes = b"") -> bytes:
    """A PDF of one page with this MediaBox."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox %s/Contents 4 0 R%s>>" % (box, resources)
    stream = b"<</Length %d>>stream\n%s\nendstream" % (len(contents), contents)
    return pdf_of(_CATALOG, _ONE_PAGE, page, stream)


def document_bombs() -> dict[str, bytes]:
    """PDFs and TIFFs, by their defect."""
    small = b"[0 0 50 50]"
    nested = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>"
    nested += b"/Length 5>>stream\n/F Do\nendstream"
    form = b"/Resources<</XObject<</F 5 0 R>>>>"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox %s/Contents 4 0 R%s>>" % (small, form)
    draw = b"<</Length 5>>stream\n/F Do\nendstream"
    inflating = zlib.compress(bytes(20_000_000), 9)
    packed = b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream"
    simple = b"<</Type/Page/Parent 2 0 R/MediaBox %s/Contents 4 0 R>>" % small
    tags = size_tags(10, 10)
    return {
        "pdf of 10^6 pages": pdf_of(_CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1000000>>", simple),
        "pdf of -1 pages": pdf_of(_CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count -1>>", simple),
        "pdf whose pages are their own parents": pdf_of(
            _CATALOG, b"<</Type/Pages/Kids[2 0 R 2 0 R]/Parent 2 0 R/Count 4>>"
        ),
        "pdf that is its own form": pdf_of(_CATALOG, _ONE_PAGE, page, draw, nested),
        "pdf without a root": pdf_of(_CATALOG, root=9),
        "pdf after itself": pdf_of(_CATALOG, _ONE_PAGE, simple, extra=b"/Prev 9"),
        "pdf of deep arrays": pdf_of(_CATALOG, _ONE_PAGE, b"[" * 50_000),
        "pdf of deep dictionaries": pdf_of(_CATALOG, _ONE_PAGE, b"<</A" * 20_000),
        "pdf that inflates": pdf_of(
            _CATALOG, _ONE_PAGE, simple, packed % (len(inflating), inflating)
        ),
        "pdf of a huge page": pdf_page(b"[0 0 1e9 1e9]"),
        "pdf of an endless page": pdf_page(b"[0 0 %s 10]" % (b"9" * 400)),
        "pdf of a page of nothing": pdf_page(b"[0 0 0 0]"),
        "pdf of a turned page": pdf_page(b"[50 50 -50 -50]"),
        "pdf of a thread": pdf_page(b"[0 0 100000 0.001]"),
        "pdf of a page of words": pdf_page(b"[a b c d]"),
        "pdf of many strokes": pdf_page(small, b"0 0 m 50 50 l S\n" * 3000),
        "pdf of wild numbers": pdf_page(small, b"1e99 -1e99 m 99999999999 1e-99 l S q " * 300),
        "tiff that loops": tiff_of(tiff_frame(8, tags, 8)),
        "tiff of two that loop": tiff_of(
            tiff_frame(8, tags, 8 + 6 + 108), tiff_frame(8 + 6 + 108, tags, 8)
        ),
        "tiff of 60,000 frames": tiff_chain(60_000),
        "tiff of 150 empty frames": tiff_chain(150),
        "tiff that ends": tiff_of(tiff_frame(8, tags, 0)[:40]),
        "tiff of the same bytes in all tags": tiff_of(
            tiff_frame(8, [*tags, *((1000 + n, 7, 400_000, 8) for n in range(900))], 0)
        )
        + bytes(400_000),
        "tiff of 30,000 tags": tiff_of(
            tiff_frame(8, [*tags, *((1000 + n, 4, 1, 0) for n in range(30_000))], 0)
        ),
        "tiff of too long strips": tiff_of(
            tiff_frame(8, [*tags[:5], (273, 4, 2**31, 8), *tags[6:]], 0)
        ),
        "tiff of a huge page": tiff_of(tiff_frame(8, size_tags(60_000, 60_000), 0)),
        "tiff of two, one huge": tiff_of(
            tiff_frame(8, tags, 8 + 6 + 108), tiff_frame(8 + 6 + 108, size_tags(60_000, 60_000), 0)
        ),
    }


def heic_of(width: int, height: int) -> bytes:
    """The boxes of a HEIC of this size, with nothing in them."""

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(data), kind) + data

    size = box(b"ispe", struct.pack(">III", 0, width, height))
    given = box(b"ipma", struct.pack(">IIHBB", 0, 1, 1, 1, 1))
    inside = box(b"pitm", struct.pack(">IH", 0, 1)) + box(b"iprp", box(b"ipco", size) + given)
    meta = box(b"meta", bytes(4) + inside)
    return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + meta + box(b"mdat", bytes(99))


def jpeg_2000_of(width: int, height: int, components: int) -> bytes:
    """The start of a codestream of this size, and its end."""
    sides = struct.pack(">8I", width, height, 0, 0, width, height, 0, 0)
    size = struct.pack(">HH", 38 + 3 * components, 0) + sides + struct.pack(">H", components)
    return b"\xff\x4f\xff\x51" + size + b"\x07\x01\x01" * components + b"\xff\xd9"


def image_bombs() -> dict[str, bytes]:
    """Images, by their defect. The limit is a page of 0.25 megapixels."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 400, 400, 1) + b"\x01\x11\x00"
    huge_frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 65_535, 65_535, 1) + b"\x01\x11\x00"
    text = png_chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(2_000_000), 9))
    profile = png_chunk(b"iCCP", b"k\x00\x00" + zlib.compress(bytes(2_000_000), 9))
    bmp = struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, 400, 400, 1, 8, *[0] * 4, 2**32 - 1, 0)
    return {
        "png of 30,000 × 30,000": png_of(30_000, 30_000),
        "png of 2^31 × 2^31": png_of(2**31 - 1, 2**31 - 1, packed=b"x"),
        "png of no width": png_of(0, 5, packed=b"x"),
        "png that inflates": png_of(400, 400, packed=zlib.compress(bytes(50_000_000), 9)),
        "png of inflating texts": png_of(400, 400, *[text] * 20),
        "png of inflating profiles": png_of(400, 400, *[profile] * 20),
        "png of 30,000 chunks": png_of(400, 400, *[png_chunk(b"abCd")] * 30_000),
        "png of 1,000 ends": png_of(400, 400, *[png_chunk(b"IEND")] * 1000),
        "png of chunks before its header": b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"tEXt", b"a\x00b") * 5000
        + png_of(9, 9)[8:],
        "png of one long chunk": b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR" + bytes(99),
        "jpeg of 65,535 × 65,535": b"\xff\xd8" + huge_frame + b"\xff\xda" + bytes(999),
        "jpeg of two sizes": b"\xff\xd8" + frame + huge_frame + b"\xff\xda" + bytes(999),
        "jpeg of no pixels": b"\xff\xd8" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00",
        "jpeg of 100,000 comments": b"\xff\xd8" + b"\xff\xfe\x00\x02" * 100_000 + frame,
        "jpeg of fill bytes": b"\xff\xd8" + b"\xff" * 500_000 + frame,
        "bmp of too many colours": b"BM" + bmp + bytes(999),
        "bmp of no pixels": b"BM" + bmp[:30],
        "webp of 16,383 × 16,383": b"RIFF\x20\x00\x00\x00WEBPVP8L\x14\x00\x00\x00\x2f"
        + b"\xff" * 19,
        "webp of no frame": b"RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00"
        + b"\x63\x00\x00\x63\x00\x00"
        + bytes(40),
        "gif": b"GIF89a\xff\xff\xff\xff\x00\x00\x00" + bytes(99),
        "gif of a frame of 65,535 × 65,535": b"GIF89a\x09\x00\x09\x00\x00\x00\x00,"
        + struct.pack("<4H", 0, 0, 65_535, 65_535)
        + b"\x00\x08\x01\x00\x00;",
        "gif of a million blocks": b"GIF89a\x09\x00\x09\x00\x00\x00\x00!\xfe" + b"\x01a" * 500_000,
        "heic of 60,000 × 60,000": heic_of(60_000, 60_000),
        "heic of no pixels": heic_of(400, 400),
        "heic of 200,000 boxes": heic_of(400, 400)[:24] + b"\x00\x00\x00\x08free" * 200_000,
        "jpeg 2000 of 2^31 × 2^31": jpeg_2000_of(2**31, 2**31, 3),
        "jpeg 2000 of 16,384 components": jpeg_2000_of(9, 9, 16_384),
        "jpeg 2000 of no pixels": jpeg_2000_of(400, 400, 3),
        "ppm of 10^9 × 10^9": b"P6 999999999 999999999 255\n" + bytes(99),
        "ppm of a long number": b"P3 400 400 255\n" + b"9" * 900_000,
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='1e9' height='1e9'/>",
        "svg that grows": b"<!DOCTYPE s [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><svg>&b;</svg>",
        "exr": b"\x76\x2f\x31\x01" + bytes(200),
        "hdr": b"#?RADIANCE\n\n-Y 99999 +X 99999\n",
        "netpbm": b"P5 99999 99999 255\n",
        "jpeg 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(99),
    }
