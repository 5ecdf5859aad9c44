"""PDFs whose page is a grey or coloured picture, possibly with text or marks over it."""

from __future__ import annotations

import zlib

import numpy as np
from PIL import Image

from tests.worker.documents.drawing import TICKET, encoded, sheet, ticket
from tests.worker.documents.kind import Kind
from tests.worker.documents.pdfs import (
    DRAW,
    GREY,
    HEIGHT,
    WIDTH,
    flate,
    grey_scan,
    image,
    pdf,
    protected,
    scan,
    stream,
)


def negative() -> bytes:
    """Three channels, each with Decode [1 0]."""
    inverted = Image.fromarray(255 - np.asarray(ticket().convert("RGB")))
    entries = b"/ColorSpace/DeviceRGB/BitsPerComponent 8/Decode[1 0 1 0 1 0]/Filter/DCTDecode"
    return scan(stream(image(entries), encoded(inverted, "JPEG", quality=90)))


def indexed() -> bytes:
    """A palette of four colours, two bits a pixel."""
    grey = np.asarray(ticket()) >> 6
    packed = (grey[:, 0::4] << 6 | grey[:, 1::4] << 4 | grey[:, 2::4] << 2 | grey[:, 3::4]).astype(
        np.uint8
    )
    space = b"/ColorSpace[/Indexed/DeviceRGB 3<14285a3c5078a0a0b4fff8e6>]/BitsPerComponent 2"
    return scan(flate(image(space), packed.tobytes()))


def jpeg2000() -> bytes:
    """Without a colour space: the picture itself says what its channels are."""
    data = encoded(ticket().convert("RGB"), "JPEG2000")
    return scan(stream(image(b"/Filter/JPXDecode"), data))


def strips() -> bytes:
    """Cut into strips of eight rows, an image each, as some scanners' drivers do."""
    pixels = np.asarray(ticket())
    width, height = ticket().size
    step = HEIGHT / height
    pieces = [pixels[at : at + 8] for at in range(0, height, 8)]
    objects = [flate(image(GREY, height=len(piece)), piece.tobytes()) for piece in pieces]
    names = b"".join(b"/I%d %d 0 R" % (i, 5 + i) for i in range(len(pieces)))
    draw = b" ".join(
        b"q %.3f 0 0 %.3f 0 %.3f cm /I%d Do Q"
        % (WIDTH, len(piece) * step, HEIGHT - (i * 8 + len(piece)) * step, i)
        for i, piece in enumerate(pieces)
    )
    assert width == pixels.shape[1]
    return pdf(draw, b"/XObject<<%s>>" % names, *objects)


def wide_pixels() -> bytes:
    """200 dots an inch across, 100 down."""
    half = ticket().resize((ticket().width, ticket().height // 2))
    return scan(flate(image(GREY, height=half.height), half.tobytes()))


def inline() -> bytes:
    """The image is within the contents (BI … ID … EI), and has the letters EI among its bytes."""
    width, height = ticket().size
    data = ticket().tobytes()[:-20] + b" EI \n" + ticket().tobytes()[-15:]
    head = b"q %.2f 0 0 %.2f 0 0 cm BI/W %d/H %d/CS/G/BPC 8/F/Fl ID " % (
        WIDTH,
        HEIGHT,
        width,
        height,
    )
    return pdf(head + zlib.compress(data) + b" EI Q", b"")


def searchable() -> bytes:
    """A scan with an invisible text layer of an earlier, wrong OCR (render mode 3)."""
    layer = b" BT /F 14 Tf 3 Tr 10 30 Td (H4rb0ur F3rry 999) Tj ET"
    fonts = b"/XObject<</I 5 0 R>>/Font<</F 6 0 R>>"
    helvetica = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    return pdf(DRAW + layer, fonts, grey_scan(), helvetica)


def searchable_by_drawn_letters() -> bytes:
    """The same layer in a Type 3 font whose letters are black boxes, all invisible."""
    box = stream(b"", b"500 0 0 0 500 700 d1 0 0 500 700 re f")
    font = (
        b"<</Type/Font/Subtype/Type3/FontBBox[0 0 500 700]/FontMatrix[0.001 0 0 0.001 0 0]"
        b"/CharProcs<</a 7 0 R>>/Encoding<</Type/Encoding/Differences[97/a]>>"
        b"/FirstChar 97/LastChar 97/Widths[500]>>"
    )
    layer = b" BT /F 20 Tf 3 Tr 10 30 Td (aaaaaaaaaa) Tj ET"
    return pdf(DRAW + layer, b"/XObject<</I 5 0 R>>/Font<</F 6 0 R>>", grey_scan(), font, box)


def behind_a_password() -> bytes:
    return protected(b"sesame")


def blank() -> bytes:
    return pdf(b"", b"")


def paper_only() -> bytes:
    """A scanned reverse side: paper with grain, and nothing on it."""
    grain = np.random.default_rng(7).integers(236, 254, ticket().size[::-1], dtype=np.uint8)
    return scan(flate(image(GREY), grain.tobytes()))


def cut_by_the_box() -> bytes:
    """Its MediaBox does not begin at 0, 0."""
    box = b"[100 440 %.2f %.2f]" % (100 + WIDTH, 440 + HEIGHT)
    draw = b"q %.2f 0 0 %.2f 100 440 cm /I Do Q" % (WIDTH, HEIGHT)
    return pdf(draw, b"/XObject<</I 5 0 R>>", grey_scan(), box=box)


def two_pages_on_a_sheet() -> bytes:
    """A book's double page: the second page's first line is at the height of the first's."""
    left, right = (
        sheet(("Chapter one begins",), width=420, size=32),
        sheet(("Chapter two ends",), width=420, size=32),
    )
    pixels = np.hstack(
        [np.asarray(left), np.full((left.height, 60), 255, np.uint8), np.asarray(right)]
    )
    height, width = pixels.shape
    draw = b"q %.2f 0 0 %.2f 0 0 cm /I Do Q" % (width * 0.36, height * 0.36)
    box = b"[0 0 %.2f %.2f]" % (width * 0.36, height * 0.36)
    picture = flate(image(GREY, width=width, height=height), pixels.tobytes())
    return pdf(draw, b"/XObject<</I 5 0 R>>", picture, box=box)


_BY_HAND = "PDF built from bytes"

KINDS = (
    Kind(
        "colour JPEG stored as negative (Decode per channel)",
        "mozilla/pdf.js#6238",
        _BY_HAND,
        negative,
        TICKET,
    ),
    Kind(
        "scan with a palette, two bits a pixel",
        "py-pdf/pypdf#2308",
        f"{_BY_HAND}, Indexed",
        indexed,
        TICKET,
    ),
    Kind(
        "JPEG 2000 scan that names no colour space",
        "yfedoseev/pdf_oxide#1211",
        f"{_BY_HAND}, JPXDecode",
        jpeg2000,
        TICKET,
    ),
    Kind(
        "scan cut into many strips",
        "ocrmypdf/OCRmyPDF#1217",
        f"{_BY_HAND}, an image for every eight rows",
        strips,
        TICKET,
    ),
    Kind(
        "scan whose pixels are not square",
        "ocrmypdf/OCRmyPDF#137",
        f"{_BY_HAND}, 200×100 dots an inch",
        wide_pixels,
        TICKET,
    ),
    Kind(
        "image within the page's contents, with EI in its bytes",
        "py-pdf/pypdf#3107",
        f"{_BY_HAND}, BI … EI",
        inline,
        TICKET,
    ),
    Kind(
        "scan with an older, wrong text layer",
        "docling-project/docling#4053",
        f"{_BY_HAND}, text of render mode 3",
        searchable,
        TICKET,
    ),
    Kind(
        "scan with an invisible layer of drawn letters",
        "mozilla/pdf.js#5422",
        f"{_BY_HAND}, Type 3 font, render mode 3",
        searchable_by_drawn_letters,
        TICKET,
    ),
    Kind(
        "protected against changes, opens without a password",
        "ocrmypdf/OCRmyPDF#211",
        f"{_BY_HAND}, RC4 of 40 bits, empty user password",
        protected,
        TICKET,
    ),
    Kind(
        "opens with a password only",
        "eikek/docspell#2636",
        f"{_BY_HAND}, RC4 of 40 bits",
        behind_a_password,
        TICKET,
        "refused",
        "needs a password to be read",
    ),
    Kind("empty page", "firecrawl/pdf-inspector#319", f"{_BY_HAND}, no contents", blank, ()),
    Kind(
        "scanned reverse side: paper without text",
        "ocrmypdf/OCRmyPDF#12",
        f"{_BY_HAND}, grain only",
        paper_only,
        (),
    ),
    Kind(
        "page whose box does not begin at 0, 0",
        "ocrmypdf/OCRmyPDF#1709",
        _BY_HAND,
        cut_by_the_box,
        TICKET,
    ),
    Kind(
        "double page of a book",
        "Yuliang-Liu/MonkeyOCR#351",
        _BY_HAND,
        two_pages_on_a_sheet,
        ("Chapter one begins", "Chapter two ends"),
    ),
)
