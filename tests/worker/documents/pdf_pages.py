"""PDFs whose page is drawn, and which of its parts are visible."""

from __future__ import annotations

from tests.worker.documents.kind import Kind
from tests.worker.documents.pdfs import HELVETICA, pdf, stream

_BOX = b"[0 0 240 90]"
_FONT = b"/Font<</F 5 0 R>>"
_SHOWN = ("Valid until March",)


def _text(text: bytes, y: int, *, before: bytes = b"") -> bytes:
    return b"BT %s /F 18 Tf 20 %d Td (%s) Tj ET\n" % (before, y, text)


def hidden_layer() -> bytes:
    """Optional content that is off, marked in the page's contents."""
    contents = _text(b"Valid until March", 55) + b"/OC /L BDC\n" + _text(b"Draft only", 20) + b"EMC"
    layers = b"/OCProperties<</OCGs[6 0 R]/D<</OFF[6 0 R]>>>>"
    return pdf(
        contents,
        _FONT + b"/Properties<</L 6 0 R>>",
        HELVETICA,
        b"<</Type/OCG/Name(Draft)>>",
        box=_BOX,
        catalog=layers,
    )


def hidden_form() -> bytes:
    """The same, said by the /OC entry of a form."""
    form = stream(
        b"/Type/XObject/Subtype/Form/BBox[0 0 240 90]/OC 6 0 R/Resources<</Font<</F 5 0 R>>>>",
        _text(b"Draft only", 20),
    )
    layers = b"/OCProperties<</OCGs[6 0 R]/D<</OFF[6 0 R]>>>>"
    contents = _text(b"Valid until March", 55) + b"/X Do"
    return pdf(
        contents,
        _FONT + b"/XObject<</X 7 0 R>>",
        HELVETICA,
        b"<</Type/OCG/Name(Draft)>>",
        form,
        box=_BOX,
        catalog=layers,
    )


def white_on_white() -> bytes:
    """Text in the paper's colour, which only a reader of the text layer sees."""
    return pdf(
        _text(b"Valid until March", 55) + _text(b"Draft only", 20, before=b"1 g"),
        _FONT,
        HELVETICA,
        box=_BOX,
    )


def painted_over() -> bytes:
    """A white box over the text, as some redact."""
    contents = _text(b"Valid until March", 55) + _text(b"Draft only", 20) + b"1 g 10 10 200 30 re f"
    return pdf(contents, _FONT, HELVETICA, box=_BOX)


def filled_without_appearance() -> bytes:
    """A form's value, whose looks the viewer is asked to make (NeedAppearances, no /AP)."""
    field = (
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Rosalind Ek)/Rect[20 15 220 45]/F 4"
        b"/DA(/F 18 Tf 0 g)/P 3 0 R>>"
    )
    form = (
        b"/AcroForm<</Fields[6 0 R]/NeedAppearances true/DA(/F 18 Tf 0 g)/DR<</Font<</F 5 0 R>>>>>>"
    )
    return pdf(
        _text(b"Name of owner", 60),
        _FONT,
        HELVETICA,
        field,
        box=_BOX,
        page=b"/Annots[6 0 R]",
        catalog=form,
    )


def dynamic_form() -> bytes:
    """XFA: the page only asks to wait; the form is XML beside it."""
    xml = (
        b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'><template><subform><draw><value>"
        b"<text>Licence 4417</text></value></draw></subform></template></xdp:xdp>"
    )
    form = b"/AcroForm<</Fields[]/XFA 6 0 R>>/NeedsRendering true"
    return pdf(
        _text(b"Please wait...", 45), _FONT, HELVETICA, stream(b"", xml), box=_BOX, catalog=form
    )


def drawn_letters() -> bytes:
    """A Type 3 font of bitmaps, as old LaTeX makes them: each letter is an image."""
    from tools.bench.lib.page_image import font as face  # noqa: PLC0415

    text = "Lemma 12"
    letters = sorted(set(text) - {" "})
    objects: list[bytes] = []
    widths, procs, names = [], b"", b""
    for number, letter in enumerate(letters):
        mask = face(60).getmask(letter, mode="1")
        width, height = mask.size
        left, top, _, _ = face(60).getbbox(letter)
        rows = bytes(
            255 if mask.getpixel((x, y)) else 0 for y in range(height) for x in range(width)
        )
        bits = b"".join(
            int(
                "".join("1" if value else "0" for value in rows[y * width : (y + 1) * width]).ljust(
                    -(-width // 8) * 8, "0"
                ),
                2,
            ).to_bytes(-(-width // 8), "big")
            for y in range(height)
        )
        advance = int(face(60).getlength(letter))
        bottom = 60 - int(top) - height
        draw = (
            b"%d 0 0 %d %d %d d1 q %d 0 0 %d %d %d cm "
            b"BI/W %d/H %d/IM true/BPC 1/D[1 0]/F/AHx ID %s> EI Q"
            % (
                advance,
                bottom,
                width,
                70,
                width,
                height,
                int(left),
                bottom,
                width,
                height,
                bits.hex().encode(),
            )
        )
        objects.append(stream(b"", draw))
        widths.append(advance)
        procs += b"/g%d %d 0 R" % (number, 6 + number)
        names += b"/g%d" % number
    kerned = b"".join(b"%02x" % (letters.index(c) if c != " " else len(letters)) for c in text)
    font = (
        b"<</Type/Font/Subtype/Type3/FontBBox[0 -20 70 70]/FontMatrix[0.0166 0 0 0.0166 0 0]"
        b"/CharProcs<<%s>>/Encoding<</Type/Encoding/Differences[0%s]>>"
        b"/FirstChar 0/LastChar %d/Widths[%s 20]>>"
        % (procs, names, len(letters), b" ".join(b"%d" % width for width in widths))
    )
    contents = b"BT /F 24 Tf 20 40 Td <%s> Tj ET" % kerned
    return pdf(contents, _FONT, font, *objects, box=_BOX)


_BY_HAND = "PDF built from bytes"
KINDS = (
    Kind(
        "layer that is switched off",
        "mozilla/pdf.js#4841",
        f"{_BY_HAND}, marked content",
        hidden_layer,
        _SHOWN,
    ),
    Kind(
        "form that belongs to a layer that is switched off",
        "mozilla/pdf.js#13931",
        f"{_BY_HAND}, /OC of an XObject",
        hidden_form,
        _SHOWN,
    ),
    Kind(
        "text in the colour of the paper",
        "docling-project/docling#4053",
        _BY_HAND,
        white_on_white,
        _SHOWN,
    ),
    Kind(
        "text painted over with white",
        "docling-project/docling#4053",
        _BY_HAND,
        painted_over,
        _SHOWN,
    ),
    Kind(
        "filled form without drawn values (NeedAppearances)",
        "docling-project/docling#2677",
        _BY_HAND,
        filled_without_appearance,
        ("Name of owner", "Rosalind Ek"),
    ),
    Kind(
        "dynamic XFA form",
        "mozilla/pdf.js#13781",
        _BY_HAND,
        dynamic_form,
        ("Licence 4417",),
        "not read",
        "the page only asks to wait, and the warning `XfaForm` says so",
    ),
    Kind(
        "letters that are bitmaps (Type 3 font of LaTeX)",
        "docMentis/docmentis-udoc-viewer#21",
        f"{_BY_HAND}, bitmaps of our font",
        drawn_letters,
        ("Lemma 12",),
    ),
)
