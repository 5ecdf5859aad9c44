"""Sample pages that the project renders itself: the same bytes every time.

Every page has a text that no other page has, so an answer that went to the wrong client is noticed.
"""

from __future__ import annotations

import io
import time
from typing import NamedTuple

from PIL import Image

from tools.bench.lib.page_image import PageImage, add_noise, jpeg, png, shade, tilt

NULL_BASE64_BYTES = 94_000
_ORIENTATION = 0x0112  # the EXIF tag
_BLUE = (34, 68, 136)
_GREY = (110, 116, 128)


class SamplePage(NamedTuple):
    """One page: a name, the encoded file (PNG or JPEG), and its text."""

    name: str
    data: bytes
    lines: tuple[str, ...]


def sample_page() -> SamplePage:
    """The demo's page: an invoice in English and Chinese, 1000×1400 pixels."""
    page = PageImage(1000, 1400)
    page.box(0, 0, 1000, 170, _BLUE)
    page.text(60, 42, "Northwind Tea Company", 46, (255, 255, 255))
    page.text(60, 106, "北风茶叶有限公司", 34, (214, 226, 248))
    page.text(940, 62, "INVOICE", 40, (255, 255, 255), anchor="ra")
    page.text(60, 216, "Invoice No. 2026-0417", 28)
    page.text(60, 262, "开票日期：2026年4月17日", 28)
    page.text(60, 308, "Customer: Lantern Street Library", 28)
    page.text(60, 354, "客户：灯笼街图书馆", 28)
    page.box(60, 424, 880, 56, (232, 237, 247))
    for x, title, anchor in ((80, "Item", "la"), (640, "Quantity", "ra"), (920, "Amount", "ra")):
        page.text(x, 436, title, 28, _BLUE, anchor=anchor)
    goods = (
        ("Green tea 绿茶", "12", "¥ 480.00"),
        ("Flower tea 菊花茶", "8", "¥ 360.00"),
        ("Black tea 红茶", "20", "¥ 900.00"),
        ("Teapot 紫砂壶", "2", "¥ 1,250.00"),
        ("Delivery 运费", "1", "¥ 60.00"),
    )
    y = 512
    for item, quantity, amount in goods:
        page.text(80, y, item, 28)
        page.text(640, y, quantity, 28, anchor="ra")
        page.text(920, y, amount, 28, anchor="ra")
        page.rule(60, y + 54, 880)
        y += 76
    page.text(640, y + 24, "Total 合计", 34, _BLUE, anchor="ra")
    page.text(920, y + 24, "¥ 3,050.00", 34, _BLUE, anchor="ra")
    page.box(60, 1040, 880, 190, (248, 246, 238))
    page.text(90, 1064, "Please pay within thirty days.", 28)
    page.text(90, 1116, "请于三十日内付款，谢谢您的支持。", 28)
    page.text(90, 1168, "茶叶请存放在阴凉干燥处。", 28)
    page.text(60, 1290, "12 Harbour Road, Ningbo · 宁波市港口路12号", 24, _GREY)
    return SamplePage("invoice", png(page.image), tuple(page.lines))


def mixed_set() -> list[SamplePage]:
    """Twelve pages of different sizes, kinds and encodings, as a service receives them."""
    return [
        _photo(),
        _receipt(),
        _notice(),
        _letter(),
        _report(),
        _slide(),
        _faint(),
        _grey(),
        _turned(),
        _label(),
        _card(),
        _sign(),
    ]


def _photo() -> SamplePage:
    page = PageImage(640, 480, (226, 214, 190))
    page.column(90, 110, ["Ferry to Willow Island", "Departs 09:45 Pier 6"], 34, 62)
    page.column(90, 250, ["渡轮开往柳岛", "请提前十分钟登船"], 36, 66)
    image = shade(tilt(page.image, 2.5, (120, 108, 92)), 0.6)
    return SamplePage("photo", jpeg(add_noise(image, 7, 1), 82), tuple(page.lines))


def _receipt() -> SamplePage:
    page = PageImage(420, 760, (250, 250, 247))
    page.text(210, 50, "CORNER BAKERY", 34, anchor="ma")
    page.text(210, 100, "Receipt 88213", 26, anchor="ma")
    y = 180
    for item, price in (("Rye bread", "4.20"), ("Plum cake", "3.75"), ("Oat biscuit", "1.90")):
        page.text(40, y, item, 26)
        page.text(380, y, price, 26, anchor="ra")
        y += 56
    page.rule(40, y + 4, 340)
    page.text(40, y + 24, "TOTAL EUR", 30)
    page.text(380, y + 24, "9.85", 30, anchor="ra")
    page.text(210, 560, "Thank you, come again", 24, anchor="ma")
    return SamplePage("receipt", png(page.image), tuple(page.lines))


def _notice() -> SamplePage:
    page = PageImage(900, 700, (255, 253, 245))
    page.text(450, 60, "停水通知", 60, (170, 30, 30), anchor="ma")
    texts = [
        "因管道维修，本周三上午八点至下午五点",
        "花园小区二号楼和三号楼将停止供水。",
        "请各位住户提前储水，不便之处敬请原谅。",
    ]
    page.column(70, 200, texts, 34, 76)
    page.text(830, 560, "花园小区物业管理处", 32, anchor="ra")
    page.text(830, 610, "二〇二六年五月六日", 32, anchor="ra")
    return SamplePage("notice", png(page.image), tuple(page.lines))


def _letter() -> SamplePage:
    page = PageImage(827, 1169)
    page.text(90, 100, "Meadow Valley Observatory", 32, _BLUE)
    texts = [
        "Dear Professor Lindqvist,",
        "the new mirror arrived on Tuesday morning and",
        "was lifted into the eastern dome without damage.",
        "First light is planned for the ninth of October.",
        "We hope to welcome you to the opening evening.",
        "With kind regards, Amelia Thornbury",
    ]
    page.column(90, 240, texts, 25, 58)
    return SamplePage("a4-100dpi", jpeg(page.image, 88), tuple(page.lines))


def _report() -> SamplePage:
    page = PageImage(1240, 1754)
    page.text(140, 150, "Quarterly Rainfall Report", 54, _BLUE)
    page.text(140, 240, "季度降雨量报告", 46)
    y = 380
    for month, amount in (("January", "84 mm"), ("February", "57 mm"), ("March", "112 mm")):
        page.text(140, y, month, 40)
        page.text(1100, y, amount, 40, anchor="ra")
        page.rule(140, y + 70, 960)
        y += 110
    page.text(140, y + 60, "三月的雨量比去年同期多两成。", 40)
    page.text(620, 1640, "Station Birch Hill", 34, _GREY, anchor="ma")
    return SamplePage("a4-150dpi", png(page.image), tuple(page.lines))


def large_page() -> SamplePage:
    """An A4 page at 300 dpi, 2480×3508 pixels. After it an instance holds its largest memory."""
    page = PageImage(2480, 3508)
    page.text(280, 240, "Minutes of the lighthouse council", 84)
    texts = [
        f"Item {number}: the lamp of tower {number * 13} was turned {number * 29} times"
        for number in range(1, 25)
    ]
    page.column(280, 480, texts, 56, 112)
    page.text(280, 3260, "灯塔会议记录，共二十四项。", 64)
    return SamplePage("a4-300dpi", png(page.image), tuple(page.lines))


def _slide() -> SamplePage:
    page = PageImage(1280, 720, (24, 30, 46))
    page.text(90, 90, "Why bridges hum in the wind", 60, (255, 214, 120))
    for i, line in enumerate(["Vortex shedding", "Cable resonance", "桥梁为什么会唱歌"]):
        page.text(130, 260 + 110 * i, line, 46, (232, 236, 244))
    page.text(1190, 650, "Slide 17", 28, (150, 160, 180), anchor="ra")
    return SamplePage("slide", jpeg(page.image, 90), tuple(page.lines))


def _faint() -> SamplePage:
    page = PageImage(800, 560, (214, 214, 210))
    for i, line in enumerate(["Carbon copy, second sheet", "Parcel weight 3.6 kg", "已签收"]):
        page.text(80, 110 + 120 * i, line, 38, (158, 158, 156))
    return SamplePage("low-contrast", png(add_noise(page.image, 3, 2)), tuple(page.lines))


def _grey() -> SamplePage:
    page = PageImage(720, 520)
    page.column(70, 90, ["Library card 5520", "Member since 1998", "借书证有效"], 40, 120)
    return SamplePage("grey", png(page.image.convert("L")), tuple(page.lines))


def _turned() -> SamplePage:
    """Stored sideways with an EXIF orientation tag, as telephones do."""
    page = PageImage(600, 800, (244, 240, 232))
    page.column(
        70, 120, ["Recipe for lemon curd", "Four eggs, two lemons", "小火煮十分钟"], 36, 130
    )
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    sideways = page.image.transpose(Image.Transpose.ROTATE_90)
    return SamplePage("exif-turned", jpeg(sideways, 90, exif), tuple(page.lines))


def _label() -> SamplePage:
    """A PNG with a fully opaque alpha channel, as many programs write it."""
    page = PageImage(700, 360, (255, 232, 120))
    page.column(60, 60, ["FRAGILE GLASS", "小心轻放", "Order GX-7719"], 50, 90)
    image = page.image.convert("RGBA")
    image.putalpha(255)
    return SamplePage("alpha", png(image), tuple(page.lines))


def _card() -> SamplePage:
    page = PageImage(360, 220, (236, 244, 240))
    page.column(30, 40, ["Otto Feldmann", "Piano tuner", "0171 445 902"], 28, 52)
    return SamplePage("card", png(page.image), tuple(page.lines))


def _sign() -> SamplePage:
    """A palette PNG, wide and low."""
    page = PageImage(1400, 300, (20, 96, 60))
    page.text(60, 60, "火车站 Railway Station", 64, (255, 255, 255))
    page.text(60, 170, "出口向左 Exit on the left", 56, (255, 255, 255))
    return SamplePage("sign", png(page.image.quantize(16)), tuple(page.lines))


def document_page(number: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Page `number` (from 1) of the long document, and its text."""
    page = PageImage(620, 877)
    page.text(70, 80, f"Logbook page {number}", 36, _BLUE)
    texts = [
        f"Sea mile {number * 37 + 1000} was passed",
        f"Barometer {990 + number % 30}, wind force {number % 9}",
        f"第{number}页 航海日志",
        f"Signed by watch {chr(65 + number % 26)}{number * 7919 % 10_000:04d}",
    ]
    page.column(70, 200, texts, 30, 110)
    return page.image, tuple(page.lines)


def document_pdf(pages: int) -> bytes:
    """A PDF of `pages` scanned pages, each with its own text.

    PaddleX renders PDF pages at twice 72 dpi, so a page of 144 dpi comes out as it was drawn.
    """
    first, *rest = [document_page(number)[0] for number in range(1, pages + 1)]
    out = io.BytesIO()
    epoch = time.gmtime(0)  # instead of now: the same bytes every time
    first.save(
        out,
        "PDF",
        save_all=True,
        append_images=rest,
        resolution=144,
        creationDate=epoch,
        modDate=epoch,
    )
    return out.getvalue()


def null_image_94k() -> bytes:
    """A 640×480 JPEG whose base64 is just under 94,000 bytes, the input of serving measurements."""
    page = PageImage(640, 480, (200, 196, 188))
    page.text(120, 200, "Nobody reads this page", 36)
    image = add_noise(page.image, 18.5, 3)
    for quality in range(95, 5, -1):
        data = jpeg(image, quality)
        if len(data) * 4 // 3 <= NULL_BASE64_BYTES:
            return data
    raise AssertionError("a 640×480 JPEG that is never small")
