"""Arrangements of lines on the page."""

from __future__ import annotations

from PIL import Image, ImageDraw

from tests.worker.documents.drawing import png, sheet
from tests.worker.documents.kind import drawn
from tools.bench.lib.page_image import font


def leaders() -> bytes:
    """A table of contents whose page numbers stand behind rows of dots."""
    image = Image.new("L", (640, 220), 255)
    draw = ImageDraw.Draw(image)
    for number, (title, page) in enumerate(
        (("Preface", "5"), ("The harbour", "17"), ("Index", "203"))
    ):
        y = 20 + number * 64
        draw.text((30, y), title, font=font(34), fill=20)
        start = 40 + font(34).getlength(title)
        draw.text(
            (start, y), "." * int((540 - start) / font(34).getlength(".")), font=font(34), fill=20
        )
        draw.text((560, y), page, font=font(34), fill=20)
    return png(image)


def lone_digit() -> bytes:
    """A column of counts, some of one digit."""
    image = Image.new("L", (420, 260), 255)
    draw = ImageDraw.Draw(image)
    for number, (what, count) in enumerate((("Chairs", "1"), ("Tables", "24"), ("Lamps", "7"))):
        draw.text((30, 20 + number * 76), what, font=font(36), fill=20)
        draw.text((340, 20 + number * 76), count, font=font(36), fill=20)
    return png(image)


def grid() -> bytes:
    """A sheet of a spreadsheet with a border around every cell."""
    image = Image.new("L", (620, 200), 255)
    draw = ImageDraw.Draw(image)
    rows = (
        ("Part", "Weight", "Price"),
        ("A-113", "4.20", "17.80"),
        ("B-207", "3.65", "22.40"),
        ("C-331", "9.10", "35.00"),
    )
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            draw.rectangle((10 + x * 200, 8 + y * 46, 210 + x * 200, 54 + y * 46), outline=0)
            draw.text((22 + x * 200, 12 + y * 46), text, font=font(26), fill=0)
    return png(image)


def underlined() -> bytes:
    image = sheet(("Please reply by Friday",))
    ImageDraw.Draw(image).line(
        (30, 70, 30 + font(36).getlength("Please reply by Friday"), 70), fill=20, width=2
    )
    return png(image)


def struck_out() -> bytes:
    image = sheet(("Old price 89.90", "New price 59.90"))
    ImageDraw.Draw(image).line(
        (28, 55, 34 + font(36).getlength("Old price 89.90"), 55), fill=20, width=3
    )
    return png(image)


def blanks_to_fill_in() -> bytes:
    return png(sheet(("Date of birth ________",), width=560))


def cut_to_the_letters() -> bytes:
    """No paper around the text at all."""
    left, top, right, bottom = font(40).getbbox("Question 12")
    image = Image.new("L", (int(right - left), int(bottom - top)), 255)
    ImageDraw.Draw(image).text((-left, -top), "Question 12", font=font(40), fill=10)
    return png(image)


def banner() -> bytes:
    """A subtitle cut out of a film: 1,800 pixels wide and 44 high."""
    image = Image.new("L", (1800, 44), 20)
    ImageDraw.Draw(image).text(
        (20, 4),
        "We cross the river before the water rises again in spring",
        font=font(32),
        fill=240,
    )
    return png(image)


def ticked_box() -> bytes:
    """An empty box and a ticked one."""
    image = sheet(("By letter", "By telephone"), width=420)
    moved = Image.new("L", (500, image.height), 255)
    moved.paste(image, (60, 0))
    draw = ImageDraw.Draw(moved)
    for y in (34, 106):
        draw.rectangle((30, y, 62, y + 32), outline=0, width=3)
    draw.line((34, 120, 44, 134, 62, 100), fill=0, width=4)
    return png(moved)


def two_columns() -> bytes:
    image = Image.new("L", (900, 180), 255)
    draw = ImageDraw.Draw(image)
    for x, texts in (
        (30, ("The ferry leaves", "at seven o'clock")),
        (480, ("Tickets are sold", "at the kiosk")),
    ):
        for number, text in enumerate(texts):
            draw.text((x, 30 + number * 64), text, font=font(34), fill=20)
    return png(image)


KINDS = (
    drawn(
        "leader dots of a table of contents",
        "tesseract-ocr/tesseract#4126",
        leaders,
        ("Preface", "The harbour", "Index", "5", "17", "203"),
        verdict="with mistakes",
        told="the dots become … or a full stop after the title; the rest is right",
    ),
    drawn(
        "column with single digits",
        "PaddlePaddle/PaddleOCR#826",
        lone_digit,
        ("Chairs", "1", "Tables", "24", "Lamps", "7"),
    ),
    drawn(
        "table with a border around every cell",
        "PaddlePaddle/PaddleOCR#18244",
        grid,
        (
            "Part",
            "Weight",
            "Price",
            "A-113",
            "4.20",
            "17.80",
            "B-207",
            "3.65",
            "22.40",
            "C-331",
            "9.10",
            "35.00",
        ),
    ),
    drawn("underlined text", "oculix-org/SikuliX1#606", underlined, ("Please reply by Friday",)),
    drawn(
        "struck-out text",
        "tesseract-ocr/tesseract#2783",
        struck_out,
        ("Old price 89.90", "New price 59.90"),
    ),
    drawn(
        "blanks to fill in",
        "tesseract-ocr/tesseract#1772",
        blanks_to_fill_in,
        ("Date of birth ________",),
        verdict="with mistakes",
        told="the blanks are detected as lines and left out",
    ),
    drawn(
        "cut out without a margin",
        "manisandro/gImageReader#580",
        cut_to_the_letters,
        ("Question 12",),
    ),
    drawn(
        "long and narrow strip (subtitle)",
        "PaddlePaddle/PaddleOCR#15597",
        banner,
        ("We cross the river before the water rises again in spring",),
        how="drawn, 1,800×44 pixels",
    ),
    drawn(
        "boxes to tick",
        "PaddlePaddle/PaddleOCR#9466",
        ticked_box,
        ("By letter", "By telephone"),
        verdict="with mistakes",
        told="the models do not know the boxes as characters",
    ),
    drawn(
        "two columns",
        "ocrmypdf/OCRmyPDF#77",
        two_columns,
        ("The ferry leaves", "at seven o'clock", "Tickets are sold", "at the kiosk"),
    ),
)
