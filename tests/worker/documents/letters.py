"""Unusual letters and digits."""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image, ImageDraw

from tests.worker.documents.drawing import png, sheet
from tests.worker.documents.kind import drawn
from tools.bench.lib.page_image import font


def superscript() -> bytes:
    image = sheet(("Area 25 m",))
    ImageDraw.Draw(image).text(
        (30 + font(36).getlength("Area 25 m"), 24), "2", font=font(22), fill=20
    )
    return png(image)


def formula() -> bytes:
    """Subscripts as chemists write them."""
    image = Image.new("L", (420, 100), 255)
    draw = ImageDraw.Draw(image)
    x = 30.0
    for text, size, drop in (
        ("H", 44, 0),
        ("2", 26, 26),
        ("SO", 44, 0),
        ("4", 26, 26),
        (" acid", 44, 0),
    ):
        draw.text((x, 20 + drop), text, font=font(size), fill=10)
        x += font(size).getlength(text)
    return png(image)


def full_width() -> bytes:
    return png(sheet(("ＡＢＣ１２３",), size=40))


def groups_of_digits() -> bytes:
    return png(sheet(("8709 2221 6898",), size=40))


def spaced_words() -> bytes:
    return png(sheet(("How are you today?",), size=40))


def accents() -> bytes:
    return png(sheet(("PRESIÓN DE DESCARGA",), width=560))


def one_or_l() -> bytes:
    return png(sheet(("live art p1", "bill l0 and 10l"), size=36))


def machine_readable_zone() -> bytes:
    lines = (
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
        "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    )
    return png(sheet(lines, width=1180, size=36))


_SEGMENTS = {
    "0": "abcdef",
    "1": "bc",
    "2": "abdeg",
    "3": "abcdg",
    "4": "bcfg",
    "5": "acdfg",
    "6": "acdefg",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
}
_LINES = {
    "a": (0, 0, 1, 0),
    "b": (1, 0, 1, 1),
    "c": (1, 1, 1, 2),
    "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2),
    "f": (0, 0, 0, 1),
    "g": (0, 1, 1, 1),
}


def seven_segments() -> bytes:
    """The display of a meter."""
    image = Image.new("L", (420, 170), 200)
    draw = ImageDraw.Draw(image)
    for number, digit in enumerate("30846"):
        for segment in _SEGMENTS[digit]:
            x1, y1, x2, y2 = _LINES[segment]
            at = (40 + number * 72, 35)
            gap = 4
            draw.line(
                (
                    at[0] + x1 * 42 + gap * (x2 > x1),
                    at[1] + y1 * 48 + gap * (y2 > y1),
                    at[0] + x2 * 42 - gap * (x2 > x1),
                    at[1] + y2 * 48 - gap * (y2 > y1),
                ),
                fill=30,
                width=8,
            )
    return png(image)


def dot_matrix() -> bytes:
    """A date as ink jets print it on a lid: separate dots."""
    small = Image.new("L", (150, 24), 255)
    ImageDraw.Draw(small).text((4, 0), "EXP 14 08 2027", font=font(18), fill=0)
    grey = np.asarray(small)
    image = Image.new("L", (600, 120), 235)
    draw = ImageDraw.Draw(image)
    for y, x in zip(*np.nonzero(grey < 120), strict=True):
        draw.ellipse((x * 4, 12 + y * 4, x * 4 + 3, 15 + y * 4), fill=40)
    return png(image)


def script() -> bytes:
    """A pen's letters: OpenCV's Hershey script."""
    image = np.full((130, 640), 255, np.uint8)
    cv2.putText(
        image,
        "Thank you for your help",
        (20, 80),
        cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
        1.6,
        30,
        2,
        cv2.LINE_AA,
    )
    return png(Image.fromarray(image))


def stacked_letters() -> bytes:
    """One letter under the other, as on a hotel's sign."""
    image = Image.new("L", (150, 460), 255)
    for number, letter in enumerate("HOTEL"):
        ImageDraw.Draw(image).text(
            (75, 50 + number * 88), letter, font=font(64), fill=10, anchor="mm"
        )
    return png(image)


def on_an_arc() -> bytes:
    """The words along the upper half of a ring, as on a badge."""
    image = Image.new("L", (460, 320), 255)
    text = "HARBOUR MASTER OFFICE"
    for number, letter in enumerate(text):
        angle = math.radians(200 + number * 140 / (len(text) - 1))
        glyph = Image.new("L", (60, 60), 255)
        ImageDraw.Draw(glyph).text((30, 30), letter, font=font(38), fill=0, anchor="mm")
        turned = glyph.rotate(-math.degrees(angle) - 90, fillcolor=255)
        at = (int(230 + 180 * math.cos(angle)) - 30, int(240 + 180 * math.sin(angle)) - 30)
        image.paste(
            Image.fromarray(
                np.minimum(
                    np.asarray(turned), np.asarray(image.crop((*at, at[0] + 60, at[1] + 60)))
                )
            ),
            at,
        )
    return png(image)


def plate() -> bytes:
    """A number plate: a wide gap between its groups, on yellow."""
    image = Image.new("RGB", (520, 130), (250, 205, 40))
    draw = ImageDraw.Draw(image)
    draw.rectangle((6, 6, 513, 123), outline="black", width=5)
    draw.text((40, 22), "KX 482", font=font(70), fill="black")
    draw.text((330, 22), "BV", font=font(70), fill="black")
    return png(image)


KINDS = (
    drawn(
        "superscript",
        "PaddlePaddle/PaddleOCR#9279",
        superscript,
        ("Area 25 m²",),
        verdict="with mistakes",
        told="the raised 2 is read as 2, and again as a separate line",
    ),
    drawn(
        "subscripts of a formula (as plain digits)",
        "PaddlePaddle/PaddleOCR#15013",
        formula,
        ("H2SO4 acid",),
    ),
    drawn(
        "full-width letters and digits",
        "dmMaze/BallonsTranslator#995",
        full_width,
        ("ＡＢＣ１２３",),
        verdict="not read",
        told="some are returned as half-width ones: compare after NFKC",
    ),
    drawn(
        "groups of digits", "PaddlePaddle/PaddleOCR#16231", groups_of_digits, ("8709 2221 6898",)
    ),
    drawn(
        "spaces between English words",
        "PaddlePaddle/PaddleX#3519",
        spaced_words,
        ("How are you today?",),
    ),
    drawn("accents on capitals", "PaddlePaddle/PaddleOCR#12952", accents, ("PRESIÓN DE DESCARGA",)),
    drawn(
        "1 beside l",
        "PaddlePaddle/PaddleOCR#11256",
        one_or_l,
        ("live art p1", "bill l0 and 10l"),
        verdict="with mistakes",
        told="a 1 after a letter is read as l",
    ),
    drawn(
        "machine-readable zone of a passport",
        "konstantint/PassportEye#58",
        machine_readable_zone,
        (
            "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
            "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
        ),
        verdict="with mistakes",
        told="an I between capitals is read as |; the check digits reveal it",
    ),
    drawn(
        "seven-segment display",
        "JaidedAI/EasyOCR#253",
        seven_segments,
        ("30846",),
        verdict="with mistakes",
        told="segment digits are confused with each other: a display needs its own models",
    ),
    drawn(
        "date of separate dots (ink jet)",
        "joshbingham/fresh-cue#65",
        dot_matrix,
        ("EXP 14 08 2027",),
        verdict="with mistakes",
        told="the gap between day and month is lost",
    ),
    drawn(
        "handwriting",
        "PaddlePaddle/PaddleOCR#10893",
        script,
        ("Thank you for your help",),
        how="OpenCV's script letters",
    ),
    drawn(
        "letters stacked on a sign",
        "PaddlePaddle/PaddleOCR#1213",
        stacked_letters,
        ("HOTEL",),
        verdict="with mistakes",
        told="each letter is a separate line, and a single O is read as 0",
    ),
    drawn(
        "text on an arc",
        "PaddlePaddle/PaddleOCR#829",
        on_an_arc,
        ("HARBOUR MASTER OFFICE",),
        verdict="not read",
        told="the detector's boxes are straight; see PaddleOCR's seal models",
    ),
    drawn("number plate with a wide gap", "PaddlePaddle/PaddleOCR#8398", plate, ("KX 482", "BV")),
)
