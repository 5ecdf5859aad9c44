"""One page in each of the common formats, small and A4 at 150 dpi."""

from __future__ import annotations

import io

from PIL import Image

from tools.bench.lib.page_image import PageImage
from tools.bench.lib.samples import sample_page


def format_pages() -> dict[str, bytes]:
    """Files by name. All files of a size show the same picture."""
    small, large = _small(), Image.open(io.BytesIO(sample_page().data)).resize((1240, 1754))
    return {
        "JPEG": _file(small, "JPEG", quality=90),
        "PNG": _file(small, "PNG"),
        "grey PNG": _file(small.convert("L"), "PNG"),
        "WebP": _file(small, "WEBP", quality=90),
        "BMP": _file(small, "BMP"),
        "TIFF": _file(small, "TIFF", compression="tiff_lzw"),
        "PDF scan": _file(small, "PDF", resolution=144),
        "A4 JPEG": _file(large, "JPEG", quality=90),
        "A4 PNG": _file(large, "PNG"),
        "A4 TIFF": _file(large, "TIFF", compression="tiff_lzw"),
        "A4 PDF scan": _file(large, "PDF", resolution=144),
    }


def _small() -> Image.Image:
    page = PageImage(640, 480)
    texts = ["Tide table of the harbour", "High water 06:41", "Low water 12:55", "潮汐表 四月"]
    page.column(40, 50, texts, 34, 100)
    return page.image


def _file(image: Image.Image, form: str, **save: object) -> bytes:
    out = io.BytesIO()
    image.convert("RGB" if image.mode != "L" else "L").save(out, form, **save)
    return out.getvalue()
