"""Unsupported files are named, with advice."""

from __future__ import annotations

import base64
import gzip
import io
import random
import tarfile
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocrpool_worker.admission import admit
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.headers.unsupported_formats import describe_unsupported
from ocrpool_worker.settings import AdmissionSettings
from tests.worker import cut_files

PNG = cut_files.encoded("PNG")
LIMITS = AdmissionSettings(max_megapixels=1)


def zipped(*names: str, first: str = "[Content_Types].xml", text: str = "<Types/>") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(first, text)
        for name in names:
            archive.writestr(name, "x" * 9000)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = len(PNG)
        archive.addfile(info, io.BytesIO(PNG))
    return out.getvalue()


def encoded(form: str, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (40, 30)).save(out, form)
    return out.getvalue()


def media(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand + bytes(4) + b"isommp42" + bytes(40)


FILES: dict[str, tuple[bytes, str]] = {
    "DOCX": (zipped("word/document.xml"), "a Word document (DOCX)"),
    "XLSX": (zipped("docProps/app.xml", "xl/workbook.xml"), "an Excel workbook (XLSX)"),
    "PPTX": (zipped("ppt/presentation.xml"), "a PowerPoint presentation (PPTX)"),
    "ODT": (
        zipped(first="mimetype", text="application/vnd.oasis.opendocument.text"),
        "an OpenDocument file",
    ),
    "EPUB": (zipped(first="mimetype", text="application/epub+zip"), "an e-book"),
    "ZIP": (zipped("scans/1.png", first="a.txt"), "a ZIP archive"),
    "DOC": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old Office file"),
    "RTF": (b"{\\rtf1\\ansi hello}", "Rich Text"),
    "gzip": (gzip.compress(PNG), "compressed with gzip"),
    "tar": (tarred(), "a tar archive"),
    "HTML": (b"\n<!DOCTYPE HTML><html><body>404 Not Found</body></html>", "an HTML page"),
    "HTML with a mark": (b"\xef\xbb\xbf<!-- x --><html lang='de'>", "an HTML page"),
    "SVG": (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
    "JSON": (b'{"error": "not found"}', "JSON"),
    "e-mail": (b"Received: from a by b\r\nSubject: scan\r\n\r\n", "an e-mail"),
    "form": (b'--xyz\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + PNG, "a form"),
    "text": ("nur ein wenig Text, älter als das".encode(), "text"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
    "DjVu": (b"AT&TFORM\x00\x00\x10\x00DJVU", "a DjVu document"),
    "JPEG XL": (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(9), "a JPEG XL image"),
    "JPEG XL codestream": (b"\xff\x0a" + bytes(40), "a JPEG XL image"),
    "PSD": (b"8BPS\x00\x01" + bytes(40), "a Photoshop file"),
    "ICO": (encoded("ICO", "RGBA"), "an icon"),
    "PCX": (encoded("PCX"), "a PCX image"),
    "TGA": (encoded("TGA"), "a TGA image"),
    "QOI": (encoded("QOI"), "a QOI image"),
    "SGI": (encoded("SGI"), "an SGI image"),
    "DICOM": (bytes(128) + b"DICM" + bytes(40), "a DICOM image"),
    "MP4": (media(b"isom"), "a video or audio file (MP4, MOV)"),
    "CR3": (media(b"crx "), "a raw camera image (CR3)"),
    "AVI": (b"RIFF\x00\x00\x00\x00AVI LIST" + bytes(40), "a video or audio file"),
    "data URL": (b"data:image/png;base64," + base64.b64encode(PNG), "a data URL"),
    "base64 of a PNG": (base64.b64encode(PNG), "base64 text"),
    "base64 of a JPEG in quotes": (b'"' + base64.b64encode(cut_files.encoded("JPEG")), "base64"),
    "base64 of a PDF": (base64.encodebytes(b"%PDF-1.7\n" + bytes(99)), "base64 text"),
    "base64 of a HEIC": (base64.b64encode(cut_files.heic()), "base64 text"),
    "decoded as text": (PNG.decode("utf-8", "replace").encode(), "converted as text on the way"),
    "changed line ends": (PNG.replace(b"\r\n", b"\n"), "a PNG that was changed on the way"),
    "zeros": (bytes(5000), "begins with zeros"),
    "Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "a pointer of Git LFS",
    ),
}


@pytest.mark.parametrize(("data", "words"), FILES.values(), ids=FILES.keys())
def test_an_unsupported_file_is_named_with_advice(data: bytes, words: str) -> None:
    with pytest.raises(NotAnImage) as caught:
        admit(data, LIMITS)
    message = caught.value.message
    assert message.startswith("the file is ")
    assert words in message
    assert ", which is not read; " in message
    assert caught.value.field == "file"


def test_an_unknown_file_is_answered_with_the_supported_formats() -> None:
    with pytest.raises(NotAnImage, match=r"none of PNG, JPEG, .* HEIC, AVIF.*no known format"):
        admit(random.Random(3).randbytes(400), LIMITS)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 10**9))
def test_describing_a_damaged_file_raises_nothing(name: str, seed: int) -> None:
    describe_unsupported(cut_files.damaged(random.Random(seed), FILES[name][0]))


@pytest.mark.parametrize(
    "data",
    [
        b" " * 30_000_000,
        b"<!--" * 8_000_000,
        b"<!-- -->" * 4_000_000,
        b"<!doctype " + b" " * 30_000_000,
        b"MIME-Version" * 3_000_000,
        b"a" * 30_000_000,
        b"PK\x03\x04" + bytes(30_000_000),
        b"--" + b"x" * 30_000_000,
    ],
)
def test_describing_a_file_is_fast(data: bytes) -> None:
    took = []
    for _ in range(3):
        began = time.thread_time()
        describe_unsupported(data)
        took.append(time.thread_time() - began)
    assert min(took) < 0.05
