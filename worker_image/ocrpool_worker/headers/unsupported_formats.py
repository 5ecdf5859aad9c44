"""Name the format of an unsupported file, and say what to send instead.

People send the wrong file, one that a program packed, encoded or broke on the way, or an error page
in place of a download. The name of the format helps them more than "not an image".
"""

from __future__ import annotations

import re

from ocrpool_worker.ipc.shared_buffer import Buffer

_HEAD, _TAIL = 4096, 64 * 1024
_CONVERT = "convert it to PNG, JPEG or PDF"
_UNPACK = "unpack it and send the files in it one by one"

# The first bytes of a file, the name of its format, and the advice.
_STARTS: tuple[tuple[bytes | tuple[bytes, ...], str, str], ...] = (
    (b"\x1f\x8b", "compressed with gzip", "decompress it"),
    (b"BZh", "compressed with bzip2", "decompress it"),
    (b"\xfd7zXZ\x00", "compressed with xz", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "decompress it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Office file (DOC, XLS, PPT, MSG)",
        "print to PDF",
    ),
    (b"{\\rtf", "a Rich Text document (RTF)", "print it to PDF"),
    (b"AT&TFORM", "a DjVu document", "convert it to PDF"),
    ((b"%!PS", b"\xc5\xd0\xd3\xc6"), "PostScript (PS, EPS)", "convert it to PDF"),
    ((b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"), "a JPEG XL image", _CONVERT),
    (b"8BPS", "a Photoshop file (PSD)", _CONVERT),
    (b"gimp xcf", "a GIMP file (XCF)", _CONVERT),
    ((b"\x00\x00\x01\x00", b"\x00\x00\x02\x00"), "an icon (ICO, CUR)", _CONVERT),
    (b"icns", "an icon of macOS (ICNS)", _CONVERT),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)", _CONVERT),
    (b"\x97JB2\r\n\x1a\n", "a JBIG2 image", _CONVERT),
    (b"BPG\xfb", "a BPG image", _CONVERT),
    (b"\x76\x2f\x31\x01", "an OpenEXR image", _CONVERT),
    ((b"#?RADIANCE", b"#?RGBE"), "a Radiance HDR image", _CONVERT),
    ((b"P7\n", b"Pf\n", b"PF\n"), "a PAM or PFM image", "convert it to PPM or PNG"),
    (b"\x59\xa6\x6a\x95", "a Sun raster image", _CONVERT),
    (b"\x01\xda", "an SGI image", _CONVERT),
    (b"DDS ", "a DirectDraw texture (DDS)", _CONVERT),
    (b"qoif", "a QOI image", _CONVERT),
    (b"SIMPLE  =", "a FITS image", _CONVERT),
    ((b"SDPX", b"XPDS"), "a DPX image", _CONVERT),
    ((b"\x8bJNG", b"\x8aMNG"), "an MNG or JNG image", _CONVERT),
    (b"/* XPM */", "an XPM image", _CONVERT),
    ((b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00"), "a raw camera image", _CONVERT),
    ((b"\x1a\x45\xdf\xa3", b"OggS"), "a video or audio file", "send single pictures of it"),
    ((b"ID3", b"fLaC", b"MThd"), "an audio file", "it holds no text to read"),
    (b"RIFF", "a video or audio file (RIFF)", "send single pictures of it"),
    (b"\x7fELF", "a program", "send an image or a PDF"),
    (b"MZ", "a program of Windows", "send an image or a PDF"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file that it points to"),
    (b"SQLite format 3\x00", "an SQLite database", "send an image or a PDF"),
    (b"\x89PNG", "a PNG that was changed on the way (line ends?)", "send the bytes unchanged"),
)
_OFFICE = (
    (b"word/", "a Word document (DOCX)"),
    (b"xl/", "an Excel workbook (XLSX)"),
    (b"ppt/", "a PowerPoint presentation (PPTX)"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file (ODT, ODS, ODP)"),
    (b"mimetypeapplication/epub", "an e-book (EPUB)"),
    (b"FixedDocSeq", "an XPS document"),
    (b"Index/Document.iwa", "a file of Apple's iWork (Pages, Numbers, Keynote)"),
)
_MARKUP = re.compile(rb"<(?:(!doctype\s+html|html|head|body)|svg)[\s>:]", re.I)
_MAIL = re.compile(rb"(Received|Return-Path|Delivered-To|MIME-Version|From|Message-ID): ", re.I)
_FORM = re.compile(rb"--[^\r\n]{1,200}\r?\nContent-Disposition:", re.I)
# Base64 of the first bytes of PNG, JPEG, PDF, GIF, TIFF, WebP, BMP and HEIC.
_BASE64 = re.compile(
    rb"\s*[\"']?(iVBORw0K|/9j/|_9j_|JVBERi|R0lGOD|SUkq|TU0AK|UklGR|Qk[0-9A-Za-z+/]{6}|AAAA[0-9A-Za-z]{2}Z0eXB)"
)
_LOST = b"\xef\xbf\xbd"
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{16,}")
_BOMS = (b"\xff\xfe", b"\xfe\xff")


def describe_unsupported(data: Buffer) -> str | None:
    """Describe a file of an unsupported format, or return None if the format is unknown.

    For example: `a Word document (DOCX), which is not read; convert it to PDF`.
    """
    found = _named(data)
    return None if found is None else f"{found[0]}, which is not read; {found[1]}"


def _named(data: Buffer) -> tuple[str, str] | None:
    head = bytes(data[:_HEAD])
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(head, bytes(data[-_TAIL:]))
    if head[4:8] == b"ftyp":
        return _media(head)
    if _LOST in head[:48]:
        return "binary data that was converted as text on the way", "send the bytes unchanged"
    found = _elsewhere(data, head)
    if found is not None:
        return found
    for starts, name, advice in _STARTS:
        if head.startswith(starts):
            return name, advice
    return _text(head.removeprefix(b"\xef\xbb\xbf"))


def _zip(head: bytes, tail: bytes) -> tuple[str, str]:
    for part, name in _OFFICE:
        if part in head or part in tail:
            return name, "convert it to PDF"
    return "a ZIP archive", _UNPACK


def _media(head: bytes) -> tuple[str, str]:
    if head[8:12] == b"crx ":
        return "a raw camera image (CR3)", _CONVERT
    return "a video or audio file (MP4, MOV)", "send single pictures of it"


def _elsewhere(data: Buffer, head: bytes) -> tuple[str, str] | None:
    """Recognise formats whose signature is not at the beginning."""
    if head[128:132] == b"DICM":
        return "a DICOM image", _CONVERT
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if head[40:44] == b" EMF":
        return "a Windows metafile (EMF)", _CONVERT
    if (
        head[:1] == b"\x0a"
        and head[1:2] in b"\0\2\3\4\5"
        and head[2:4] in (b"\1\1", b"\1\2", b"\1\4", b"\1\x08")
    ):
        return "a PCX image", _CONVERT
    if bytes(data[-18:]) == b"TRUEVISION-XFILE.\0":
        return "a TGA image", _CONVERT
    if len(head) >= 64 and not head.strip(b"\0"):
        return "a file that begins with zeros (was it fully written?)", "send it again"
    return None


def _text(head: bytes) -> tuple[str, str] | None:
    if head[:5].lower() == b"data:":
        return "a data URL", "send the decoded bytes, or the text as `file` of /ocr"
    if _BASE64.match(head):
        return "base64 text", "send the decoded bytes, or the text as `file` of /ocr"
    if _FORM.match(head):
        return "a form (multipart/form-data)", "send the file itself: curl --data-binary @FILE"
    if head.lstrip()[:1] == b"<":
        found = _MARKUP.search(head)
        if found is None:
            return "XML", "send an image or a PDF"
        if found[1]:
            return "an HTML page (an error page in place of a download?)", "send an image or a PDF"
        return "an SVG drawing", "convert it to PNG or PDF"
    if head.lstrip()[:1] in (b"{", b"["):
        return "JSON", "send the file itself; JSON with `file` goes to /ocr"
    if _MAIL.match(head):
        return "an e-mail", "send its attachments"
    if head.startswith(_BOMS) or _TEXT.fullmatch(head):
        return "text", "it has nothing to recognise"
    return None
