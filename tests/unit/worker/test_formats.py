"""Decoded pixels of HEIC, AVIF, GIF, JPEG 2000 and Netpbm files."""

from __future__ import annotations

import contextlib
import io
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from ocrpool_worker.decoding import netpbm
from ocrpool_worker.decoding.image import EncodedImage
from ocrpool_worker.errors import NotAnImage

Encode = Callable[..., bytes]


def drawn(mode: str = "RGB") -> Image.Image:
    """Dark bars on white, so that it differs after each turn; of modes with alpha only the bars are
    not transparent."""
    picture = Image.new("RGB", (96, 64), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((8, 8, 55, 15), fill="black")
    draw.rectangle((8, 24, 23, 47), fill="black")
    if mode in ("RGBA", "LA"):
        ink = ImageOps.invert(picture.convert("L")).point(lambda value: 255 if value else 0)
        dark = Image.new("RGB", picture.size).convert(mode[:-1])
        dark.putalpha(ink)
        return dark
    return picture.convert(mode)


def pillow(form: str, **always: object) -> Encode:
    def encode(picture: Image.Image, **save: object) -> bytes:
        out = io.BytesIO()
        picture.save(out, form, **always, **save)
        return out.getvalue()

    return encode


def heic(picture: Image.Image, **save: Any) -> bytes:
    out = io.BytesIO()
    # Not from_pillow: it turns the picture as its EXIF data says, and then once more.
    file, *others = (
        pillow_heif.from_bytes(each.mode, each.size, each.tobytes())
        for each in (picture, *save.pop("append_images", ()))
    )
    for other in others:
        file.add_from_heif(other[0])
    file.save(out, quality=95, **save)
    return out.getvalue()


FORMATS: dict[str, tuple[Encode, tuple[str, ...]]] = {
    "GIF": (pillow("GIF"), ("P", "L", "1", "RGB", "RGBA")),
    "JP2": (pillow("JPEG2000"), ("L", "LA", "RGB", "RGBA")),
    "JPEG 2000 codestream": (pillow("JPEG2000", no_jp2=True), ("L", "RGB")),
    "AVIF": (pillow("AVIF", quality=95), ("L", "RGB", "RGBA")),
    "HEIC": (heic, ("L", "RGB", "RGBA")),
    "Netpbm": (pillow("PPM"), ("1", "L", "RGB")),
}
CASES = [(name, mode) for name, (_, modes) in FORMATS.items() for mode in modes]


def read(data: bytes, max_pixels: int = 10**6) -> NDArray[np.uint8]:
    return EncodedImage(memoryview(data), max_pixels).pixels()


def same(pixels: NDArray[np.uint8], picture: Image.Image) -> bool:
    wanted = np.asarray(picture.convert("RGB"))[:, :, ::-1].astype(int)
    return pixels.shape == wanted.shape and bool(np.abs(pixels - wanted).max() < 48)


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_format_and_mode_is_the_page_that_was_drawn(name: str, mode: str) -> None:
    encode, _ = FORMATS[name]
    pixels = read(encode(drawn(mode)))
    assert same(pixels, drawn())
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_once(name: str, orientation: int) -> None:
    """Both encoders write the orientation as properties of the format, and keep the EXIF data."""
    encode, _ = FORMATS[name]
    picture = drawn()
    assert same(read(encode(picture)), picture)
    exif = picture.getexif()
    exif[0x0112] = orientation
    data = encode(picture, exif=exif.tobytes())
    picture.info["exif"] = exif.tobytes()
    assert same(read(data), ImageOps.exif_transpose(picture))


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("mode", ["RGB;16", "RGBA;16", "L;16"])
def test_heic_of_more_than_8_bits(bits: int, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    page = np.asarray(drawn("RGBA" if "A" in mode else "L" if mode[0] == "L" else "RGB"))
    deep = page.astype(np.uint16) * 257
    out = io.BytesIO()
    pillow_heif.encode(mode, (96, 64), deep.tobytes(), out, quality=95)
    assert same(read(out.getvalue()), drawn())


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_2000_of_opencv(depth: type, mode: str) -> None:
    page = np.asarray(drawn(mode)).astype(depth) * (257 if depth is np.uint16 else 1)
    data = cv2.imencode(".jp2", page, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1]
    assert same(read(data.tobytes()), drawn())


@pytest.mark.parametrize("largest", [1, 15, 255, 1000, 4095, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_netpbm_is_scaled_by_its_largest_value(kind: int, largest: int) -> None:
    picture = drawn("RGB" if kind in (3, 6) else "L").point(lambda value: 255 * (value > 99))
    samples = np.asarray(picture).astype(int) * largest // 255
    head = b"P%d\n# scanned\n96 64\n%d\n" % (kind, largest)
    if kind in (2, 3):
        data = head + b"\n".join(b"%d" % value for value in samples.ravel()) + b"\n"
    else:
        data = head + samples.astype(">u2" if largest > 255 else "u1").tobytes()
    assert same(read(data), picture)
    assert same(read(data + b"\nrubbish" + bytes(9)), picture)


def test_a_bitmap_that_is_written_out() -> None:
    bits = (np.asarray(drawn("L")) < 99).astype(int)
    rows = ["".join(map(str, row)) for row in bits]
    spaced = ["# a row\n" + " ".join(map(str, row)) for row in bits]
    for text in ("\n".join(rows), "\n".join(spaced), "".join(rows)):
        pixels = read(f"P1\n96 64\n{text}\n".encode())
        assert ((pixels[:, :, 0] == 0) == (bits == 1)).all()


@pytest.mark.parametrize("text", ["", " ", "1", "1 2 3 x 4 5 6 7 8 9 9 9", "-1 -1 -1 -1 -1 -1"])
@pytest.mark.parametrize("kind", ["P1", "P2", "P3"])
def test_missing_decimal_samples_are_reported(kind: str, text: str) -> None:
    largest = "" if kind == "P1" else " 9"
    with pytest.raises(NotAnImage, match=f"the {kind} image is not complete: [0-2] of its 3 rows"):
        read(f"{kind} 9 3{largest}\n{text}".encode())


@pytest.mark.parametrize("piece", [1, 2, 7, 4096])
@pytest.mark.parametrize("kind", [1, 2, 3])
def test_text_is_read_in_pieces_of_any_size(
    kind: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netpbm, "_PIECE", piece)
    count = 9 * 6 * (3 if kind == 3 else 1)
    samples = [
        number * (1 if kind == 1 else 37) % (2 if kind == 1 else 256) for number in range(count)
    ]
    text = "".join(
        f"{value}#1 2 # 3{end}" if number % 5 == 0 else f"{value}{end}"
        for number, (value, end) in enumerate(zip(samples, "\n\r" * count, strict=False))
    )
    largest = "" if kind == 1 else "255\n"
    pixels = read(f"P{kind}\n9 6\n{largest}{text}".encode())
    shown = np.array(samples).reshape(6, 9, -1)
    expected = 255 - 255 * shown if kind == 1 else shown
    assert (pixels == expected[:, :, ::-1]).all()


@pytest.mark.parametrize("text", [b"1 ", b" ", b"#\n", b"1", b"# "])
@pytest.mark.parametrize("head", [b"P1 10 10\n", b"P2 10 10 255\n", b"P3 10 10 255\n"])
def test_text_after_the_picture_is_not_read(head: bytes, text: bytes) -> None:
    data = memoryview(head + text * (20_000_000 // len(text)))
    took = []
    for traced in (False, False, True):
        if traced:
            tracemalloc.start()
        began = time.thread_time()
        with contextlib.suppress(NotAnImage):
            EncodedImage(data, 10**6).pixels()
        took.append(time.thread_time() - began)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(took) < 0.5
    assert most < 16 * 2**20


@pytest.mark.parametrize(
    "data", [b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(99), b"Pf\n9 9\n1\n" + bytes(999)]
)
def test_opencv_decodes_only_its_own_formats(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It crashes on damaged JPEG 2000 files."""
    monkeypatch.delattr(cv2, "imdecode")
    with pytest.raises(NotAnImage, match="damaged, or of an unknown format"):
        read(data)


ANIMATIONS: dict[str, Encode] = {
    "GIF": pillow("GIF"),
    "WebP": pillow("WEBP", lossless=True),
    "APNG": pillow("PNG"),
    "AVIF": pillow("AVIF", quality=95),
    "HEIC": heic,
}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_the_first_of_several_pictures_is_read_with_a_warning(name: str) -> None:
    others = [drawn().rotate(90 * turn) for turn in (1, 2)]
    data = ANIMATIONS[name](drawn(), save_all=True, append_images=others)
    page = EncodedImage(memoryview(data), 10**6)
    assert same(page.pixels(), drawn())
    (warning,) = page.warnings
    assert warning.reason == "FirstFrameOnly"
    assert "the file has 3 pictures" in warning.message
    alone = EncodedImage(memoryview(ANIMATIONS[name](drawn())), 10**6)
    alone.pixels()
    assert alone.warnings == ()


def test_the_primary_picture_of_a_heic_is_read() -> None:
    data = heic(drawn().rotate(180), append_images=[drawn()], primary_index=1)
    page = EncodedImage(memoryview(data), 10**6)
    assert same(page.pixels(), drawn())
    assert "2 pictures" in page.warnings[0].message


def test_the_first_picture_of_an_mpo_is_read_without_a_warning() -> None:
    """Phones add views, depth maps and gain maps of the same picture, which need no warning."""
    out = io.BytesIO()
    drawn().save(out, "MPO", save_all=True, append_images=[drawn().rotate(180)])
    page = EncodedImage(memoryview(out.getvalue()), 10**6)
    assert same(page.pixels(), drawn())
    assert page.warnings == ()
