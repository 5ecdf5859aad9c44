"""Files of every supported format, complete and truncated, generated on request."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from tests.worker import bombs

WIDTH, HEIGHT = 360, 240
ANIMATED = ("animated GIF", "animated WebP", "APNG", "animated AVIF")


def picture() -> Image.Image:
    """A picture without equal rows and without large areas of one colour."""
    noise = random.Random(0).randbytes(60 * 40 * 3)
    return Image.frombytes("RGB", (60, 40), noise).resize((WIDTH, HEIGHT))


def encoded(form: str, mode: str = "RGB", **save: object) -> bytes:
    out = io.BytesIO()
    picture().convert(mode).save(out, form, **save)
    return out.getvalue()


def images() -> dict[str, bytes]:
    """Complete files of one page, by format."""
    deep = np.asarray(picture()).astype(np.uint16) * 257
    files = {
        "JPEG": encoded("JPEG"),
        "grey JPEG": encoded("JPEG", "L"),
        "CMYK JPEG": encoded("JPEG", "CMYK"),
        "JPEG without subsampling": encoded("JPEG", subsampling=0),
        "JPEG with restarts": encoded("JPEG", restart_marker_rows=1),
        "progressive JPEG": encoded("JPEG", progressive=True),
        "JPEG with a thumbnail": with_thumbnail(encoded("JPEG")),
        "turned JPEG": encoded("JPEG", exif=turned()),
        "PNG": encoded("PNG"),
        "grey PNG": encoded("PNG", "L"),
        "palette PNG": encoded("PNG", "P"),
        "bilevel PNG": encoded("PNG", "1"),
        "transparent PNG": encoded("PNG", "RGBA"),
        "PNG of 16 bits": cv2.imencode(".png", deep)[1].tobytes(),
        "BMP": encoded("BMP"),
        "palette BMP": encoded("BMP", "P"),
        "bilevel BMP": encoded("BMP", "1"),
        "BMP of 32 bits": encoded("BMP", "RGBA"),
        "WebP": encoded("WEBP"),
        "lossless WebP": encoded("WEBP", lossless=True),
        "transparent WebP": encoded("WEBP", "RGBA"),
        "BigTIFF": encoded("TIFF", big_tiff=True),
        "GIF": encoded("GIF", "P"),
        "animated GIF": encoded("GIF", "P", **frames()),
        "animated WebP": encoded("WEBP", **frames()),
        "APNG": encoded("PNG", **frames()),
        "JP2": encoded("JPEG2000"),
        "transparent JP2": encoded("JPEG2000", "RGBA"),
        "lossy JP2": encoded("JPEG2000", irreversible=True, quality_layers=[20]),
        "JPEG 2000 codestream of tiles": encoded("JPEG2000", no_jp2=True, tile_size=(128, 128)),
        "AVIF": encoded("AVIF"),
        "transparent AVIF": encoded("AVIF", "RGBA"),
        "animated AVIF": encoded("AVIF", **frames()),
        "HEIC": heic(),
        "transparent HEIC": heic("RGBA"),
        "grey HEIC": heic("L"),
        "PPM": encoded("PPM"),
        "PGM": encoded("PPM", "L"),
        "PBM": encoded("PPM", "1"),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files[f"TIFF, {compression}"] = encoded("TIFF", compression=compression)
        files[f"CMYK TIFF, {compression}"] = encoded("TIFF", "CMYK", compression=compression)
    for compression in ("raw", "group3", "group4"):
        files[f"bilevel TIFF, {compression}"] = encoded("TIFF", "1", compression=compression)
    return files


def documents() -> dict[str, bytes]:
    """Complete TIFFs of three frames and PDFs of three pages."""
    return {
        "frames, raw": encoded("TIFF", compression="raw", **frames()),
        "frames, lzw": encoded("TIFF", compression="tiff_lzw", **frames()),
        "frames, jpeg": encoded("TIFF", compression="jpeg", **frames()),
        "PDF": encoded("PDF", **frames()),
    }


def frames() -> dict[str, object]:
    """Options with which Pillow writes two more pictures."""
    return {"save_all": True, "append_images": [picture().rotate(90), picture().rotate(180)]}


def heic(mode: str = "RGB", **save: object) -> bytes:
    """Pillow does not write HEIC, and neither does the decoder of an instance."""
    import pillow_heif  # noqa: PLC0415

    out = io.BytesIO()
    pillow_heif.from_pillow(picture().convert(mode)).save(out, **save)
    return out.getvalue()


def turned() -> Image.Exif:
    """An orientation of a picture that was taken upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def with_thumbnail(jpeg: bytes) -> bytes:
    """The same with a small JPEG, end marker included, in a segment before its pixels."""
    out = io.BytesIO()
    picture().resize((60, 40)).save(out, "JPEG")
    exif = b"Exif\0\0" + out.getvalue()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def cuts(data: bytes) -> Iterator[bytes]:
    """The beginnings of a file that arrive when its upload is interrupted."""
    for part in (0.6, 0.25, 0.95):
        yield data[: int(len(data) * part)]
    yield data[:-2]
    if not data.startswith(b"GIF8"):  # the last byte tells nothing: some programs leave it out
        yield data[:-1]


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A damaged copy: bits flipped, a part doubled, removed or zeroed, or the end cut off."""
    out = bytearray(data)
    at = rng.randrange(len(out))
    how = rng.randrange(5)
    if how == 0:
        for _ in range(rng.choice([1, 2, 8])):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif how == 1:
        out[at:at] = out[at : at + rng.choice([1, 16, 300])]
    elif how == 2:
        del out[at : at + rng.choice([1, 16, 300])]
    elif how == 3:
        size = len(out[at : at + rng.choice([4, 60, 500])])
        out[at : at + size] = bytes(size)
    else:
        del out[-rng.randrange(1, 60) :]
    return bytes(out)


def pdf_with(pixels: bytes, entries: bytes, *, page_box: bytes = b"[0 0 200 140]") -> bytes:
    """A sound PDF of one page with this image on it, whose dictionary has these entries."""
    head = b"<</Type/XObject/Subtype/Image/Width %d/Height %d" % (WIDTH, HEIGHT)
    image = head + b"%s/Length %d>>stream\n%s\nendstream" % (entries, len(pixels), pixels)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox %s/Contents 4 0 R" % page_box
    page += b"/Resources<</XObject<</I 5 0 R>>>>>>"
    draw = b"q 180 0 0 120 10 10 cm /I Do Q"
    return bombs.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw),
        image,
    )


RGB = b"/ColorSpace/DeviceRGB/BitsPerComponent 8"
GREY = b"/ColorSpace/DeviceGray/BitsPerComponent 8"
BILEVEL = b"/ColorSpace/DeviceGray/BitsPerComponent 1"


def lzw(data: bytes) -> bytes:
    """Valid LZW without compression: each code stands for one byte."""
    codes = []
    for at in range(0, len(data), 250):
        codes += [256, *data[at : at + 250]]  # before codes need a tenth bit
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big")


def run_lengths(data: bytes) -> bytes:
    pieces = (data[at : at + 128] for at in range(0, len(data), 128))
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces) + b"\x80"


def pdf_images() -> dict[str, tuple[bytes, bytes]]:
    """Complete images as in PDFs: (data, entries of the dictionary)."""
    fax = encoded("TIFF", "1", compression="group4")
    (strip,) = (
        fax[at : at + size]
        for image in [Image.open(io.BytesIO(fax))]
        for at, size in zip(image.tag_v2[273], image.tag_v2[279], strict=True)  # type: ignore[attr-defined]
    )
    # Pillow writes 1 for black where the tag says so; PDF's default is 0.
    fax_entries = b"/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns %d/Rows %d>>" % (
        WIDTH,
        HEIGHT,
    )
    rgb, grey = picture().tobytes(), picture().convert("L").tobytes()
    jpeg = encoded("JPEG")
    return {
        "JPEG": (jpeg, b"/Filter/DCTDecode" + RGB),
        "grey JPEG": (encoded("JPEG", "L"), b"/Filter/DCTDecode" + GREY),
        "progressive JPEG": (encoded("JPEG", progressive=True), b"/Filter/DCTDecode" + RGB),
        "JPEG 2000": (encoded("JPEG2000", irreversible=True), b"/Filter/JPXDecode" + RGB),
        "Flate": (zlib.compress(rgb), b"/Filter/FlateDecode" + RGB),
        "grey Flate": (zlib.compress(grey), b"/Filter/FlateDecode" + GREY),
        "bilevel Flate": (
            zlib.compress(picture().convert("1").tobytes()),
            b"/Filter/FlateDecode" + BILEVEL,
        ),
        "uncompressed": (rgb, RGB),
        "LZW": (lzw(rgb), b"/Filter/LZWDecode" + RGB),
        "grey LZW": (lzw(grey), b"/Filter/LZWDecode" + GREY),
        "run lengths": (run_lengths(rgb), b"/Filter/RunLengthDecode" + RGB),
        "Flate in ASCII": (
            zlib.compress(rgb).hex().encode() + b">",
            b"/Filter[/ASCIIHexDecode/FlateDecode]" + RGB,
        ),
        "fax": (strip, fax_entries + BILEVEL),
    }
