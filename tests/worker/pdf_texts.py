"""PDFs with text in fonts that are not embedded, and a font file made by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from tests.worker.bombs import pdf_of

# Adobe's names of letters, as `/Differences` has them.
POLISH = "Lslash lslash aogonek eogonek Zdotaccent zacute sacute cacute"
CYRILLIC = "afii10017 afii10018 afii10065 uni0416 uni0436 uni0429"
GREEK = "Alpha alpha Omega lambda uni03B2"
TURKISH = "Gbreve gbreve Scedilla scedilla Idotaccent dotlessi"
HUNGARIAN = "Ohungarumlaut ohungarumlaut Uhungarumlaut uhungarumlaut"
CZECH = "Rcaron rcaron uring ecaron ncaron dcaron"


def text_pdf(
    fonts: Sequence[bytes], shown: bytes, *, before: bytes = b"", form: bytes = b""
) -> bytes:
    """A PDF of one page that shows a string; `fonts` are objects from number 5 on. `form`: the
    matrix of a form that shows it."""
    contents = b"%s BT /F 24 Tf 20 40 Td %s Tj ET" % (before, shown)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R"
    resources = b"/Resources<</Font<</F 5 0 R>>"
    forms = []
    if form:
        head = b"<</Type/XObject/Subtype/Form/BBox[-9999 -9999 9999 9999]%s>>" % resources
        forms.append(b"%s/Length %d>>stream\n%s\nendstream" % (head, len(contents), contents))
        contents = b"%s cm /X Do" % form
        resources += b"/XObject<</X %d 0 R>>" % (5 + len(fonts))
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page + resources + b">>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(contents), contents),
        *fonts,
        *forms,
    )


def hexadecimal(data: bytes) -> bytes:
    return b"<" + data.hex().encode() + b">"


def simple_font(names: str, *, base: bytes = b"Arial", kind: bytes = b"TrueType") -> list[bytes]:
    """A font of one byte a letter, which from 128 on has the letters of these names."""
    encoding = b"/Encoding<</BaseEncoding/WinAnsiEncoding/Differences[128/%s]>>"
    font = b"<</Type/Font/Subtype/%s/BaseFont/%s" % (kind, base)
    font += encoding % b"/".join(names.encode().split())
    font += b"/FirstChar 0/LastChar 255/Widths[%s]/FontDescriptor 6 0 R>>" % (b"600 " * 256)
    return [font, _descriptor(base, 32)]


def letters_pdf(
    names: str, *, base: bytes = b"Arial", kind: bytes = b"TrueType", before: bytes = b""
) -> bytes:
    """A page with `Ab` and then these letters."""
    codes = bytes(range(128, 128 + len(names.split())))
    return text_pdf(
        simple_font(names, base=base, kind=kind), hexadecimal(b"Ab" + codes), before=before
    )


def asian_pdf(
    ordering: bytes, encoding: bytes, data: bytes, *, kind: int = 2, before: bytes = b""
) -> bytes:
    """A page in a font of one of Adobe's collections, under one of their predefined CMaps."""
    name = b"Song"
    fonts = [
        b"<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/%s/DescendantFonts[7 0 R]>>"
        % (name, encoding),
        _descriptor(name, 4),
        b"<</Type/Font/Subtype/CIDFontType%d/BaseFont/%s/FontDescriptor 6 0 R/DW 1000/CIDSystemInfo"
        b"<</Registry(Adobe)/Ordering(%s)/Supplement 2>>>>" % (kind, name, ordering),
    ]
    return text_pdf(fonts, hexadecimal(data), before=before)


def numbered_pdf(text: str, *, named: bool, more: int = 0, before: bytes = b"") -> bytes:
    """Letters by their numbers in a font (`Identity-H`); `named`: with a table of what they are.
    `more`: letters behind them that are not in the table."""
    numbers = {character: 0x100 + at for at, character in enumerate(dict.fromkeys(text))}
    units = {each: each.encode("utf-16-be", "surrogatepass").hex().encode() for each in numbers}
    pairs = b"".join(b"<%04x><%s>\n" % (number, units[each]) for each, number in numbers.items())
    table = b"/CIDInit/ProcSet findresource begin 12 dict begin begincmap /CMapName/X def "
    table += b"/CMapType 2 def 1 begincodespacerange <0000><ffff> endcodespacerange "
    table += b"%d beginbfchar\n%sendbfchar endcmap end end" % (len(numbers), pairs)
    name = b"Calibri"
    fonts = [
        b"<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[7 0 R]%s>>"
        % (name, b"/ToUnicode 8 0 R" if named else b""),
        _descriptor(name, 4),
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/FontDescriptor 6 0 R/DW 1000/CIDSystemInfo"
        b"<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>" % name,
        b"<</Length %d>>stream\n%s\nendstream" % (len(table), table),
    ]
    codes = [*(numbers[each] for each in text), *range(0x41, 0x41 + more)]
    return text_pdf(fonts, hexadecimal(struct.pack(f">{len(codes)}H", *codes)), before=before)


def _descriptor(name: bytes, flags: int, more: bytes = b"") -> bytes:
    return (
        b"<</Type/FontDescriptor/FontName/%s/Flags %d/StemV 80/ItalicAngle 0/Ascent 900"
        b"/Descent -200/CapHeight 700/FontBBox[0 -200 1000 900]%s>>" % (name, flags, more)
    )


def embedded_pdf(codes: bytes, font: bytes, *, before: bytes = b"") -> bytes:
    """A page in an embedded TrueType font."""
    head = b"<</Type/Font/Subtype/TrueType/BaseFont/Own/FirstChar 0/LastChar 255/Widths[%s]"
    return text_pdf(
        [
            head % (b"600 " * 256) + b"/FontDescriptor 6 0 R/Encoding/WinAnsiEncoding>>",
            _descriptor(b"Own", 32, b"/FontFile2 7 0 R"),
            b"<</Length %d/Length1 %d>>stream\n%s\nendstream" % (len(font), len(font), font),
        ],
        hexadecimal(codes),
        before=before,
    )


def box_font(characters: str, *, long: bool = False, collection: bool = False) -> bytes:
    """A TrueType font in which each of the characters is a black box, and which has no other.
    `long`: its table of characters is of format 12, and not 4."""
    codes = sorted({ord(each) for each in characters})
    # One contour of four points on the curve, as differences; no instructions.
    box = struct.pack(">hhhhhHH", 1, 100, 0, 500, 700, 3, 0) + bytes((0x01,) * 4)
    box += struct.pack(">8h", 100, 0, 400, 0, 0, 700, 0, -700)
    box += bytes(-len(box) % 4)
    glyphs = len(codes) + 1
    offsets = [0, 0, *(len(box) * (number + 1) for number in range(len(codes)))]
    tables = {
        b"OS/2": struct.pack(">HhHH", 4, 600, 400, 5)
        + bytes(54)
        + struct.pack(">H", 0x40)
        + bytes(32),
        b"cmap": _map_12(codes) if long else _map_4(codes),
        b"glyf": box * len(codes),
        b"head": struct.pack(
            ">IIIIHHqqhhhhHHhhh",
            0x10000,
            0x10000,
            0,
            0x5F0F3CF5,
            0,
            1000,
            0,
            0,
            0,
            0,
            600,
            700,
            0,
            8,
            2,
            1,
            0,
        ),
        b"hhea": struct.pack(">IhhhHhhhhhh", 0x10000, 800, -200, 0, 600, 0, 0, 600, 1, 0, 0)
        + bytes(8)
        + struct.pack(">hH", 0, 1),
        b"hmtx": struct.pack(">Hh", 600, 0) + bytes(2 * (glyphs - 1)),
        b"loca": struct.pack(f">{len(offsets)}I", *offsets),
        b"maxp": struct.pack(">IH13H", 0x10000, glyphs, 4, 1, 0, 0, 1, *[0] * 8),
        b"post": struct.pack(">IIhhI", 0x30000, 0, 0, 0, 0) + bytes(16),
    }
    start = 16 if collection else 0
    head = struct.pack(">IHHHH", 0x10000, len(tables), 128, 3, 16 * len(tables) - 128)
    at = start + len(head) + 16 * len(tables)
    directory, body = b"", b""
    for name, data in sorted(tables.items()):
        directory += struct.pack(">4sIII", name, 0, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    before = struct.pack(">4sIII", b"ttcf", 0x10000, 1, start) if collection else b""
    return before + head + directory + body


def _map_4(codes: Sequence[int]) -> bytes:
    """A segment for each character; consecutive ones share a segment with a list of glyphs."""
    segments: list[list[int]] = []
    for code in codes:
        if segments and code == segments[-1][-1] + 1:
            segments[-1].append(code)
        else:
            segments.append([code])
    ends = [segment[-1] for segment in segments] + [0xFFFF]
    starts = [segment[0] for segment in segments] + [0xFFFF]
    glyph = {code: number + 1 for number, code in enumerate(codes)}
    deltas, offsets, listed = [], [], []
    count = len(ends)
    for number, segment in enumerate(segments):
        if len(segment) == 1:
            deltas.append((glyph[segment[0]] - segment[0]) % 65536)
            offsets.append(0)
        else:
            deltas.append(0)
            offsets.append(2 * (count - number + len(listed)))
            listed += [glyph[code] for code in segment]
    deltas.append(1)
    offsets.append(0)
    words = [*ends, 0, *starts, *deltas, *offsets, *listed]
    table = struct.pack(f">HHHH{len(words)}H", 2 * count, 0, 0, 0, *words)
    table = struct.pack(">HHH", 4, 6 + len(table), 0) + table
    return struct.pack(">HHHHI", 0, 1, 3, 1, 12) + table


def _map_12(codes: Sequence[int]) -> bytes:
    groups = [struct.pack(">III", code, code, number) for number, code in enumerate(codes, 1)]
    assert all(first < second for first, second in pairwise(codes))
    table = struct.pack(">HHIII", 12, 0, 16 + 12 * len(groups), 0, len(groups)) + b"".join(groups)
    return struct.pack(">HHHHI", 0, 1, 3, 10, 12) + table
