"""Backgrounds and marks: behind the letters or over them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.worker.documents.drawing import encoded, png, sheet
from tests.worker.documents.kind import drawn
from tools.bench.lib.page_image import font


def dark_mode() -> bytes:
    return png(sheet(("Unread messages 12", "Archive folder"), ink=225, paper=24))


def white_on_grey() -> bytes:
    return png(sheet(("Opening hours", "Monday to Friday"), ink=255, paper=150))


def white_on_blue() -> bytes:
    """A selected row between others."""
    image = Image.new("RGB", (480, 190), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 64, 480, 122), fill=(0, 96, 210))
    for number, (text, ink) in enumerate(
        (("First entry", "black"), ("Chosen entry", "white"), ("Third entry", "black"))
    ):
        draw.text((30, 12 + number * 60), text, font=font(34), fill=ink)
    return png(image)


def watermark() -> bytes:
    """Grey letters across the page, under the text."""
    image = Image.new("L", (560, 300), 255)
    mark = Image.new("L", (700, 120), 255)
    ImageDraw.Draw(mark).text((20, 10), "CONFIDENTIAL", font=font(90), fill=205)
    image.paste(mark.rotate(24, expand=True, fillcolor=255), (-70, -60))
    draw = ImageDraw.Draw(image)
    for number, text in enumerate(
        ("The rent is 940 euro", "due on the first day", "of every month")
    ):
        draw.text((40, 50 + number * 70), text, font=font(36), fill=10)
    return png(image)


def light_note() -> bytes:
    """A print of the lightest grey, such as "for reference only"."""
    return png(sheet(("For reference only",), ink=205))


def faded_receipt() -> bytes:
    """Thermal paper after a year: grey on grey, with grain."""
    pixels = np.asarray(sheet(("Coffee beans 8.40", "Total 8.40"), ink=165, paper=215)).astype(
        float
    )
    pixels += np.random.default_rng(3).normal(0, 5, pixels.shape)
    return encoded(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), "JPEG", quality=80)


def seal() -> bytes:
    """A red ring over a signature's line."""
    image = sheet(("Signed on 4 June 2025", "Head of department"), width=520).convert("RGB")
    ring = Image.new("RGB", image.size, "white")
    draw = ImageDraw.Draw(ring)
    draw.ellipse((280, 10, 450, 175), outline=(220, 40, 40), width=7)
    draw.ellipse((310, 40, 420, 145), outline=(220, 40, 40), width=3)
    return png(Image.fromarray(np.minimum(np.asarray(image), np.asarray(ring))))


def show_through() -> bytes:
    """The reverse side of thin paper, mirrored and faint."""
    proxy = np.asarray(sheet(("Minutes of the meeting", "Present: six members"), width=560))
    back = sheet(("Second page of notes", "Treasurer reports"), width=560).transpose(
        Image.Transpose.FLIP_LEFT_RIGHT
    )
    faint = (
        255
        - (255 - np.roll(np.asarray(back.filter(ImageFilter.GaussianBlur(1.5))), 38, axis=0)) // 9
    )
    return png(Image.fromarray(np.minimum(proxy, faint.astype(np.uint8))))


def black_edges() -> bytes:
    """A book on a copier: black around the page."""
    page = sheet(("Volume two", "Letters 1851"))
    image = Image.new("L", (page.width + 160, page.height + 120), 8)
    image.paste(page, (80, 60))
    return png(image)


def black_and_white() -> bytes:
    """A grey page that a scanner's driver dithered to two colours."""
    return png(sheet(("Deed of sale", "Parcel 118"), ink=70, paper=210, size=44).convert("1"))


def low_resolution() -> bytes:
    """A page at 72 dots an inch: letters of ten pixels."""
    return png(sheet(("Delivery note 5512", "Ten boxes of paper"), size=13, width=240))


KINDS = (
    drawn(
        "screenshot in dark mode",
        "Lynnesbian/OCRbot#15",
        dark_mode,
        ("Unread messages 12", "Archive folder"),
    ),
    drawn(
        "white text on grey",
        "ocrmypdf/OCRmyPDF#1061",
        white_on_grey,
        ("Opening hours", "Monday to Friday"),
    ),
    drawn(
        "white text on blue between black on white",
        "tesseract-ocr/tesseract#4316",
        white_on_blue,
        ("First entry", "Chosen entry", "Third entry"),
    ),
    drawn(
        "watermark across the text",
        "PaddlePaddle/PaddleOCR#922",
        watermark,
        ("The rent is 940 euro", "due on the first day", "of every month"),
    ),
    drawn(
        "note in the lightest grey",
        "PaddlePaddle/PaddleOCR#9990",
        light_note,
        ("For reference only",),
    ),
    drawn(
        "faded thermal receipt",
        "JaidedAI/EasyOCR#235",
        faded_receipt,
        ("Coffee beans 8.40", "Total 8.40"),
        how="drawn, grain, JPEG",
    ),
    drawn(
        "red seal over the text",
        "PaddlePaddle/PaddleOCR#4629",
        seal,
        ("Signed on 4 June 2025", "Head of department"),
        verdict="with mistakes",
        told="where the ring crosses a gap, it is read as a character",
    ),
    drawn(
        "reverse side shows through",
        "datalab-to/marker#596",
        show_through,
        ("Minutes of the meeting", "Present: six members"),
        verdict="with mistakes",
        told="a strip of the mirrored letters is read as digits, with a low score",
        how="drawn, mirrored and faint",
    ),
    drawn(
        "black edges of a copier",
        "tesseract-ocr/tesseract#3453",
        black_edges,
        ("Volume two", "Letters 1851"),
    ),
    drawn(
        "dithered to black and white by the scanner",
        "fritz-hh/OCRmyPDF#121",
        black_and_white,
        ("Deed of sale", "Parcel 118"),
        how="drawn, Floyd and Steinberg",
    ),
    drawn(
        "letters of ten pixels (72 dpi)",
        "tesseract-ocr/tesseract#3453",
        low_resolution,
        ("Delivery note 5512", "Ten boxes of paper"),
    ),
)
