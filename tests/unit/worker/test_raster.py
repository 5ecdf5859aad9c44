"""The conversion of pictures to pages, as far as the matrix of pictures does not show it."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from ocrpool_worker.decoding import completeness, tiff_frames
from ocrpool_worker.decoding.document_page import EncodedImage, open_document
from ocrpool_worker.decoding.exif import ORIENTATION, orientation_of
from ocrpool_worker.decoding.raster import from_array, from_pillow
from ocrpool_worker.decoding.tiff import decode as decode_tiff
from ocrpool_worker.errors import BadRequest, NotAnImage, TooLarge
from tests.fake_engine import tiff_of
from tests.worker import bombs, pictures, tiffs
from tests.worker.tiffs import Frame, tiff

GREY = pictures.GREY


def exif(orientation: int) -> bytes:
    """As a TIFF of one frame."""
    found = Image.Exif()
    found[ORIENTATION] = orientation
    return found.tobytes().removeprefix(b"Exif\0\0")


def test_a_page_is_not_copied() -> None:
    page = pictures.WORD_PAGE.copy()
    assert from_array(page) is page


def test_pictures_are_decoded_once_and_as_paddlex_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decode, flags = cv2.imdecode, []

    def counted(data: object, flag: int) -> object:
        flags.append(flag)
        return decode(data, flag)  # type: ignore[call-overload]

    monkeypatch.setattr(cv2, "imdecode", counted)
    for form in ("JPEG", "PNG", "BMP", "WEBP", "TIFF"):
        data = pictures.file(pictures.COLOUR, form)
        found = EncodedImage(memoryview(data), 10**6).pixels()
        assert flags == [cv2.IMREAD_COLOR], form
        flags.clear()
        assert (found == decode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)).all()


def ink(draw: str, colour: int, size: int = 30) -> Image.Image:
    image = Image.new("RGBA", (240, 90), (0, 0, 0, 0))
    drawn = ImageDraw.Draw(image)
    if draw:
        drawn.text((10, 45), draw, font=pictures.font(size), fill=(colour,) * 3 + (255,))
    return image


def corner(image: Image.Image) -> int:
    """The background on which it was drawn."""
    return int(from_pillow(image)[-1, -1, 0])


@pytest.mark.parametrize(
    ("colour", "ground"), [(0, 255), (90, 255), (150, 255), (190, 0), (255, 0)]
)
def test_transparent_text_is_drawn_on_a_contrasting_background(colour: int, ground: int) -> None:
    assert corner(ink("ink", colour)) == ground


def test_faint_ink_counts_as_its_own_colour() -> None:
    faint = ink("ink", 255)
    alpha = faint.getchannel("A").point(lambda value: value // 4)
    faint.putalpha(alpha)
    assert corner(faint) == 0


def test_a_light_box_does_not_hide_dark_text_beside_it() -> None:
    image = ink("dark ink beside it", 0, 26)
    ImageDraw.Draw(image).rectangle((10, 5, 230, 40), fill=(255, 255, 255, 255))
    assert corner(image) == 255


@pytest.mark.parametrize(("paper", "colour"), [(230, 20), (20, 230)])
def test_a_page_that_fades_out_keeps_its_contrast(paper: int, colour: int) -> None:
    image = Image.new("L", (240, 90), paper)
    ImageDraw.Draw(image).text((10, 45), "ink", font=pictures.font(30), fill=colour)
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert from_pillow(image)[0, 0, 0] > 250


def test_colours_of_transparent_pixels_do_not_count() -> None:
    """Programs leave any colour in transparent pixels."""
    image = ink("ink", 0)
    bare = np.asarray(image).copy()
    bare[bare[:, :, 3] == 0, :3] = 255
    assert corner(Image.fromarray(bare)) == 255


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 0),
        (7, 7),
        (np.nan, np.nan),
        (np.inf, np.inf),
        (-np.inf, -np.inf),
        (-3, -3),
        (1e308, -1e308),
    ],
)
def test_a_picture_without_a_range_is_a_page_too(low: float, high: float) -> None:
    samples = np.full((20, 20), low)
    samples[10:] = high
    page = from_array(samples)
    assert (page.shape, page.dtype) == ((20, 20, 3), np.uint8)


def test_an_empty_pillow_image_is_refused() -> None:
    with pytest.raises(BadRequest):
        from_pillow(Image.new("RGB", (0, 0)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_an_orientation_is_found(order: str, prefix: bytes) -> None:
    start = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHII", 271, 2, 1, 0)
    entries += struct.pack(order + "HHIHH", 274, 3, 1, 8, 0)
    data = start + struct.pack(order + "IH", 8, 2) + entries
    assert orientation_of(prefix + data) == 8
    for cut in range(len(data)):
        assert orientation_of(prefix + data[:cut]) in (1, 8)
    for wrong in (0, 9, 65535):
        odd = data[:-4] + struct.pack(order + "HH", wrong, 0)
        assert orientation_of(odd) == 1


def test_a_bigtiff_with_absurd_offsets_is_refused() -> None:
    data = bytearray(tiff(Frame(GREY), big=True))
    struct.pack_into("<Q", data, 8, 2**64 - 1)
    with pytest.raises(NotAnImage):
        completeness.check_complete(bytes(data))
    with pytest.raises(NotAnImage):
        tiff_frames.find_pages(bytes(data))


def test_a_page_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    large = Frame(GREY)
    data = tiff(Frame(GREY[:8, :8]), large)
    document = open_document("tiff", data, 10_000)
    with pytest.raises(TooLarge, match="page 2 is 232×72"):
        document.size(1)
    with pytest.raises(TooLarge, match="page 2 is 232×72"):
        document.render(1)
    only = tiff(Frame(GREY[:8, :8], tags={tiffs.SUBFILE: [1]}), large)
    with pytest.raises(TooLarge):
        EncodedImage(memoryview(only), 10_000).pixels()


def test_a_turned_page_has_the_size_that_it_comes_out_with() -> None:
    turned = Frame(np.ascontiguousarray(GREY.T), tags={tiffs.ORIENTATION: [6]})
    document = open_document("tiff", tiff(Frame(GREY), turned), 10**6)
    assert document.size(0) == document.size(1) == (pictures.WIDTH, pictures.HEIGHT)


def test_thumbnails_are_pages_if_there_are_no_others() -> None:
    small = Frame(GREY[::4, ::4], tags={tiffs.SUBFILE: [1]})
    assert tiff_frames.count_frames(tiff(small, small)) == 2
    mask = Frame(GREY, tags={tiffs.SUBFILE: [4]})
    assert tiff_frames.count_frames(tiff(mask)) == 1
    tags = bombs.size_tags(10, 10)
    assert tiff_frames.count_frames(bombs.tiff_of(bombs.tiff_frame(8, tags, 0))) == 1


def test_a_pillow_image_is_as_it_was(tmp_path: object) -> None:
    data = tiff(Frame(np.ascontiguousarray(GREY.T), tags={tiffs.ORIENTATION: [6]}))
    path = f"{tmp_path}/turned.tiff"
    with open(path, "wb") as out:
        out.write(data)
    with Image.open(path) as image:
        assert from_pillow(image).shape[:2] == GREY.shape
        assert image.filename == path
    held = Image.open(io.BytesIO(pictures.file(GREY, "PNG", exif=pictures.exif(3))))
    first, second = from_pillow(held), from_pillow(held)
    assert (first == second).all()
    assert held.getexif()[ORIENTATION] == 3


@pytest.mark.parametrize("compression", [5, 32946, 34712, 12345])
def test_an_undecodable_tiff_is_refused(compression: int) -> None:
    """OpenCV 4.10 returns black for strips that libtiff cannot decode."""
    data = tiff_of([{"say": "plain pixels"}])
    tag = struct.pack("<HHI", 259, 3, 1)
    at = data.index(tag) + len(tag)
    data = data[:at] + struct.pack("<H", compression) + data[at + 2 :]
    with pytest.raises(NotAnImage, match=r"the TIFF is damaged.*(decoder error|no pixel)"):
        decode_tiff(data, 1_000_000)


def test_a_black_tiff_is_a_black_page() -> None:
    out = io.BytesIO()
    Image.new("L", (60, 40)).save(out, "TIFF", compression="tiff_lzw")
    assert not decode_tiff(out.getvalue(), 1_000_000).any()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("turned", [False, True], ids=["XMP alone", "with EXIF"])
def test_the_orientation_in_xmp_data_is_ignored(form: str, mode: str, turned: bool) -> None:
    """Pillow uses it if EXIF data has none. OpenCV does not."""
    if (form, mode) == ("JPEG", "RGBA"):
        mode = "L"
    save: dict[str, Any] = {"exif": pictures.exif(6)} if turned else {}
    xmp = '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    if form == "PNG":
        save["pnginfo"] = PngInfo()
        save["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    elif form == "TIFF":
        save["tiffinfo"] = {700: xmp.encode()} | ({ORIENTATION: 6} if turned else {})
        save.pop("exif", None)
    else:
        save["xmp"] = xmp.encode()
    data = pictures.file(Image.new(mode, (60, 30), "white"), form, **save)
    size = (60, 30, 3) if turned else (30, 60, 3)
    with Image.open(io.BytesIO(data)) as image:
        assert from_pillow(image).shape == from_pillow(image).shape == size
        assert xmp in str(image.info.get("xmp", image.info.get("XML:com.adobe.xmp")))
    assert EncodedImage(memoryview(data), 10**6).pixels().shape == size


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.float64])
def test_scaling_needs_little_memory(kind: type) -> None:
    """Arrays can be as large as the limit of pixels."""
    samples = np.full((1500, 2000, 3), 3000, kind)
    tracemalloc.start()
    try:
        page = from_array(samples)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < page.nbytes * 2


def test_a_tile_that_is_far_larger_than_the_picture_is_refused() -> None:
    """Decoders allocate memory for a whole tile."""
    for side in (16, 64, 1024):
        frame = Frame(GREY, tile=side)
        assert (decode_tiff(tiff(frame), 10**6) == pictures.WORD_PAGE).all()
    for across, down in ((16384, 16384), (65520, 1024), (16, 2**31)):
        data = tiff(Frame(GREY, tile=64))
        for tag, side in ((322, across), (323, down)):
            at = data.index(struct.pack("<HHIH", tag, 3, 1, 64))
            data = data[:at] + struct.pack("<HHII", tag, 4, 1, side) + data[at + 12 :]
        with pytest.raises(NotAnImage, match=f"232×72 pixels and has tiles of {across}×{down}"):
            decode_tiff(data, 10**6)
        with pytest.raises(NotAnImage, match=r"page 1 .* up to 4096×4096"):
            open_document("tiff", data, 10**6).render(0)


@pytest.mark.parametrize("rows", [1, 71, 72, 100, 65535])
def test_a_strip_ends_with_the_picture(rows: int) -> None:
    data = tiff(Frame(GREY, tags={278: [rows]}))
    if rows < 72:
        data = pictures.file(GREY, "TIFF", compression="tiff_lzw", tiffinfo={278: rows})
    assert (decode_tiff(data, 10**6) == pictures.WORD_PAGE).all()


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("rows", [300, 20], ids=["one strip", "strips"])
def test_a_strip_of_a_tiff_that_breaks_off_is_found(orientation: int, rows: int) -> None:
    """From the damage to the end of the strip, libtiff decodes nothing, and pixels are black."""
    noise = np.random.default_rng(0).integers(100, 255, (300, 200)).astype(np.uint8)
    tags = {ORIENTATION: orientation}
    data = bytearray(
        pictures.file(noise, "TIFF", compression="tiff_lzw", strip_size=rows * 200, tiffinfo=tags)
    )
    decode_tiff(bytes(data), 10**6)
    found = Image.open(io.BytesIO(data)).tag_v2
    strip = len(found[273]) // 2
    middle = found[273][strip] + found[279][strip] // 2
    data[middle : middle + 40] = b"\xff" * 40
    with pytest.raises(NotAnImage, match="the TIFF is damaged"):
        decode_tiff(bytes(data), 10**6)


def test_a_tiff_with_a_black_edge_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page = np.full((300, 200), 255, np.uint8)
    page[:12] = page[:, :3] = page[:, -3:] = 0
    data = pictures.file(page, "TIFF", compression="tiff_lzw", strip_size=20 * 200)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded again"))
    assert (decode_tiff(data, 10**6) == pictures.bgr(page)).all()


@pytest.mark.parametrize("times", [1, 2, 300_000])
def test_repeated_exif_headers_are_handled_fast(times: int) -> None:
    data = b"Exif\0\0" * times + exif(6)
    began = time.thread_time()
    assert orientation_of(data) == (6 if times <= 2 else 1)
    assert time.thread_time() - began < 1


def test_the_first_orientation_of_a_png_counts() -> None:
    chunk = bombs.png_chunk(b"eXIf", exif(6))
    other = bombs.png_chunk(b"eXIf", exif(3))
    rows = zlib.compress((b"\0" + b"\xff\x80" * 3) * 2)
    head = bombs.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 4, 0, 0, 0))
    end = bombs.png_chunk(b"IDAT", rows) + bombs.png_chunk(b"IEND")
    data = b"".join((b"\x89PNG\r\n\x1a\n", head, chunk, other, end))
    assert EncodedImage(memoryview(data), 1000).pixels().shape == (3, 2, 3)
