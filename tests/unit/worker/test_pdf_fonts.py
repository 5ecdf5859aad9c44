"""Text of PDFs in fonts that are not embedded: drawn with the machine's fonts, or reported in a
warning."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ocrpool_worker.decoding import font_files, pdf_fonts
from ocrpool_worker.decoding.document_page import open_document
from ocrpool_worker.decoding.font_files import ASSETS, covered, font_faces
from ocrpool_worker.decoding.pdf_glyphs import MISSING, MOST_NAMED
from ocrpool_worker.engine.base import PageWarning
from tests.worker import pdf_kinds as kinds
from tests.worker import pdf_texts as texts

Fonts = Callable[..., None]
MISSED = "cannot be drawn with those of this machine"
SAMPLES = {
    "Polish": (texts.letters_pdf(texts.POLISH), "ŁłąęŻźść"),
    "Cyrillic": (texts.letters_pdf(texts.CYRILLIC), "АБаЖжЩ"),
    "Greek": (texts.letters_pdf(texts.GREEK), "Αα\u2126λβ"),
    "Turkish": (texts.letters_pdf(texts.TURKISH), "ĞğŞşİı"),
    "Hungarian": (texts.letters_pdf(texts.HUNGARIAN), "ŐőŰű"),
    "Czech": (texts.letters_pdf(texts.CZECH), "Řřůěňď"),
    "Polish, Type 1": (texts.letters_pdf(texts.POLISH, kind=b"Type1"), "ŁłąęŻźść"),
    "Greek, Times": (texts.letters_pdf(texts.GREEK, base=b"TimesNewRoman"), "Αα\u2126λβ"),
    "Czech, unknown font": (texts.letters_pdf(texts.CZECH, base=b"AB+Xy", kind=b"Type1"), "Řřůěňď"),
    "numbers with names": (texts.numbered_pdf("ŻЖω发한", named=True), "ŻЖω发한"),
}
for _ordering, _encoding, _codec, _text in (
    (b"GB1", b"UniGB-UCS2-H", "utf-16-be", "发票号码"),
    (b"GB1", b"GBK-EUC-H", "gbk", "发票号码"),
    (b"CNS1", b"UniCNS-UCS2-H", "utf-16-be", "發票號碼"),
    (b"CNS1", b"ETen-B5-H", "big5", "發票號碼"),
    (b"Japan1", b"UniJIS-UCS2-H", "utf-16-be", "請求書カナ"),
    (b"Japan1", b"90ms-RKSJ-H", "cp932", "請求書カナ"),
    (b"Korea1", b"UniKS-UCS2-H", "utf-16-be", "한국어영수증"),
    (b"Korea1", b"KSCms-UHC-H", "cp949", "한국어영수증"),
):
    SAMPLES[_encoding.decode()] = (
        texts.asian_pdf(_ordering, _encoding, _text.encode(_codec)),
        _text,
    )
ALL = "".join(sorted({each for _, text in SAMPLES.values() for each in text} | set("Ab")))


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fonts]:
    """Set the font files of this machine."""

    def have(**files: bytes) -> None:
        for name, data in files.items():
            (tmp_path / f"{name}.ttf").write_bytes(data)
        monkeypatch.setattr(pdf_fonts, "font_faces", lambda: font_faces([tmp_path]))
        pdf_fonts.choose_fonts.cache_clear()

    yield have
    pdf_fonts.choose_fonts.cache_clear()


def drawn(data: bytes) -> tuple[int, tuple[PageWarning, ...]]:
    """Return (columns with ink on the only page, its warnings)."""
    pixels, warnings = open_document("pdf", data, 1_000_000).render(0)
    return int((pixels.min(axis=2) < 128).any(axis=0).sum()), warnings


def test_the_font_made_here_is_read_as_it_was_made(tmp_path: Path) -> None:
    codes = np.arange(0x30000)
    for number, (long, collection) in enumerate(((False, False), (True, False), (True, True))):
        path = tmp_path / str(number) / "made.ttf"
        path.parent.mkdir()
        path.write_bytes(
            texts.box_font("ABCąŻ한𠮷"[: None if long else -1], long=long, collection=collection)
        )
        (face,) = font_faces([path.parent])
        found = {chr(code) for code in codes[covered(face, codes)]}
        assert found == set("ABCąŻ한𠮷" if long else "ABCąŻ한")


@pytest.mark.parametrize("sample", SAMPLES)
def test_letters_that_pdfium_lacks_are_drawn_with_a_font_of_the_machine(
    sample: str, fonts: Fonts
) -> None:
    data, text = SAMPLES[sample]
    fonts()
    before, (warning,) = drawn(data)
    assert warning.reason == MISSING
    assert MISSED in warning.message
    assert set(warning.message.split("of this machine: ")[1].split(";")[0]) <= set(text)
    fonts(everything=texts.box_font(ALL))
    after, warnings = drawn(data)
    assert not warnings
    assert after >= before + 12 * (len(text) - 2)


def test_letters_that_stand_alone_are_drawn_as_well(fonts: Fonts) -> None:
    each = b" Tj 30 0 Td ".join((b"<41>", b"<80>", b"<20>", b"<81>"))
    data = texts.text_pdf(texts.simple_font("aogonek Zdotaccent"), each)
    fonts()
    before, _ = drawn(data)
    fonts(everything=texts.box_font(ALL))
    after, warnings = drawn(data)
    assert not warnings
    assert after >= before + 12
    # A single space is not such a letter.
    spaces = texts.text_pdf(texts.simple_font("space"), each.replace(b"81", b"20"))
    fonts()
    plain = open_document("pdf", spaces, 1_000_000).render(0)
    fonts(everything=texts.box_font(ALL))
    assert np.array_equal(open_document("pdf", spaces, 1_000_000).render(0)[0], plain[0])


@pytest.mark.parametrize("matrix", [b"1 0 0 1 0 0", b"1 0 0 1 500 0"])
def test_letters_that_stand_alone_in_a_form_are_drawn(fonts: Fonts, matrix: bytes) -> None:
    x = float(matrix.split()[4])
    each = b" Tj 30 0 Td ".join((b"%d 0 Td <41>" % -x, b"<80>", b"<81>"))
    data = texts.text_pdf(texts.simple_font("aogonek Zdotaccent"), each, form=matrix)
    fonts()
    before, _ = drawn(data)
    fonts(everything=texts.box_font(ALL))
    after, warnings = drawn(data)
    assert before > 0
    assert not warnings
    assert after >= before + 12


def test_single_letters_without_a_glyph_have_a_warning(fonts: Fonts) -> None:
    each = b" Tj 30 0 Td ".join((b"<41>", b"<80>", b"<20>", b"<81>"))
    data = texts.text_pdf(texts.simple_font("aogonek Zdotaccent"), each)
    for given in ({}, {"few": texts.box_font("Ab")}):
        fonts(**given)
        (warning,) = drawn(data)[1]
        assert warning.reason == MISSING
        assert "of 3 of 4 pieces of text" in warning.message
    # Words that are placed letter by letter have spaces.
    spaced = b" Tj 12 0 Td ".join(b"(%c)" % letter for letter in b"to be or not to be")
    fonts(few=texts.box_font("Ab"))
    assert not drawn(texts.text_pdf(texts.simple_font("space"), spaced))[1]


def test_a_collection_and_a_map_of_all_of_unicode_are_fonts_as_well(fonts: Fonts) -> None:
    fonts(everything=texts.box_font(ALL, long=True, collection=True))
    ink, warnings = drawn(SAMPLES["Cyrillic"][0])
    assert not warnings
    assert ink > 60


def test_two_fonts_complete_each_other(fonts: Fonts) -> None:
    letters = "".join(each for each in ALL if each < "\u2000")
    fonts(letters=texts.box_font(letters), asian=texts.box_font("发票号码發號碼請求書カナ"))
    for sample in ("Polish", "GBK-EUC-H", "90ms-RKSJ-H", "ETen-B5-H"):
        assert not drawn(SAMPLES[sample][0])[1], sample
    _, (warning,) = drawn(SAMPLES["KSCms-UHC-H"][0])
    assert "국수어영증한" in warning.message


def test_missing_characters_are_named(fonts: Fonts) -> None:
    fonts(polish=texts.box_font("AbŁłą"))
    for kind in (b"TrueType", b"Type1"):
        _, (warning,) = drawn(texts.letters_pdf(texts.POLISH, kind=kind))
        assert "of this machine: ćęśźŻ;" in warning.message
    many = "".join(chr(0x4E00 + at) for at in range(3 * MOST_NAMED))
    small = b"0.1 0 0 0.1 0 0 cm"
    _, (warning,) = drawn(
        texts.asian_pdf(b"GB1", b"UniGB-UCS2-H", many.encode("utf-16-be"), before=small)
    )
    assert "more" in warning.message
    assert len(warning.message) < 400


def test_other_fonts_do_not_change_a_complete_page(fonts: Fonts) -> None:
    """In the same font and document as pages that lack characters."""
    latin = texts.letters_pdf("Adieresis eacute germandbls Euro")
    fonts()
    plain = open_document("pdf", latin, 1_000_000).render(0)
    fonts(everything=texts.box_font(ALL))
    open_document("pdf", SAMPLES["Polish"][0], 1_000_000).render(0)
    pixels, warnings = open_document("pdf", latin, 1_000_000).render(0)
    assert not warnings
    assert not plain[1]
    assert np.array_equal(pixels, plain[0])


def test_letters_without_unicode_values_have_a_warning(fonts: Fonts) -> None:
    fonts(everything=texts.box_font(ALL))
    _, (warning,) = drawn(texts.numbered_pdf("Total", named=False))
    assert warning.reason == MISSING
    assert "5 letters of the page are given by their numbers" in warning.message


@pytest.mark.parametrize(
    "sample",
    {
        "invisible": texts.letters_pdf(texts.POLISH, before=b"3 Tr"),
        "outside": texts.letters_pdf(texts.POLISH, before=b"1 0 0 1 900 900 cm"),
        "marks and spaces": texts.letters_pdf(
            "space uni00AD uni200B uni0301 uniFEFF uni00A0 uni2003 uniF0B7"
        ),
        "embedded": texts.embedded_pdf(b"Ab", texts.box_font("Ab")),
        "embedded, without the letter": texts.embedded_pdf(b"Abc", texts.box_font("Ab")),
        "standard": texts.letters_pdf("Lslash Zcaron fi trademark", base=b"Helvetica"),
    }.items(),
    ids=lambda sample: sample[0],
)
def test_a_complete_page_has_no_warning(sample: tuple[str, bytes], fonts: Fonts) -> None:
    fonts()
    assert not drawn(sample[1])[1]


def test_the_projects_own_font_is_the_last_resort() -> None:
    assert font_files.FOLDERS[-1] == ASSETS
    (face,) = font_faces([ASSETS])
    assert covered(face, np.array(sorted(map(ord, "发票号码")))).all()


def test_files_that_are_not_fonts_are_skipped(tmp_path: Path) -> None:
    good = texts.box_font("A")
    for name, data in {
        "empty.ttf": b"",
        "text.otf": b"no font at all, " * 9,
        "cut.ttf": good[:200],
        "collection.ttc": b"ttcf" + b"\xff" * 40,
        "readme.txt": good,
        "good.ttf": good,
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "gone.ttf").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder.ttf").mkdir()
    assert [face.path.name for face in font_faces([tmp_path, tmp_path / "none"])] == ["good.ttf"]


def damaged_font() -> bytes:
    """Its table of characters lies at the end of the file, and mostly beyond it."""
    data = bytearray(texts.box_font(ALL))
    for number in range(struct.unpack_from(">H", data, 4)[0]):
        at = 12 + 16 * number
        if data[at : at + 4] == b"cmap":
            struct.pack_into(">I", data, at + 8, len(data) - 3)
    return bytes(data)


def test_a_damaged_font_is_skipped(fonts: Fonts, caplog: pytest.LogCaptureFixture) -> None:
    fonts(damaged=damaged_font())
    _, (warning,) = drawn(SAMPLES["Polish"][0])
    assert warning.reason == MISSING
    fonts(everything=texts.box_font(ALL))
    assert not drawn(SAMPLES["Polish"][0])[1]
    told = [record for record in caplog.records if "cannot be used" in record.message]
    assert all("damaged.ttf cannot be used" in record.getMessage() for record in told), told
    assert told


def test_a_removed_font_file_stays_usable(fonts: Fonts, tmp_path: Path) -> None:
    fonts(everything=texts.box_font(ALL))
    assert pdf_fonts.choose_fonts()
    (tmp_path / "everything.ttf").unlink()
    for sample in ("Polish", "GBK-EUC-H"):
        assert not drawn(SAMPLES[sample][0])[1]


def test_a_user_without_a_home_has_fonts(
    tmp_path: Path, fonts: Fonts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "~" / ".fonts").mkdir(parents=True)
    (tmp_path / "~" / ".fonts" / "other.ttf").write_bytes(texts.box_font("A"))
    monkeypatch.chdir(tmp_path)
    # As it is without HOME for a user who is not in /etc/passwd.
    monkeypatch.setattr(font_files.os.path, "expanduser", str)
    assert not list(font_faces([Path("~/.fonts")]))
    assert list(font_faces([Path("~/.fonts"), ASSETS]))


@pytest.mark.parametrize("step", ["choose_fonts", "substituting"])
def test_an_error_in_the_machines_fonts_does_not_fail_a_page(
    step: str, fonts: Fonts, monkeypatch: pytest.MonkeyPatch
) -> None:
    fonts()
    plain = open_document("pdf", SAMPLES["Polish"][0], 1_000_000).render(0)
    fonts(everything=texts.box_font(ALL))

    def failing(*_: object) -> None:
        raise struct.error("unpack_from requires a buffer of at least 6 bytes")

    with monkeypatch.context() as patched:
        patched.setattr(pdf_fonts, step, failing)
        pixels, warnings = open_document("pdf", SAMPLES["Polish"][0], 1_000_000).render(0)
    assert np.array_equal(pixels, plain[0])
    assert warnings == plain[1]


OVER_THE_PAGE = {
    "a stamp": kinds.stamp(b"<4162808182>", [texts.simple_font("aogonek Zdotaccent sacute")[0]]),
    "a form field": kinds.field(b"<FEFF00410105017B015B>"),
}


@pytest.mark.parametrize("data", OVER_THE_PAGE.values(), ids=list(OVER_THE_PAGE.keys()))
def test_letters_that_lie_over_the_page_are_drawn_as_well(data: bytes, fonts: Fonts) -> None:
    fonts()
    pixels, (warning,) = open_document("pdf", data, 1_000_000).render(0)
    assert "of this machine: ąśŻ;" in warning.message
    fonts(everything=texts.box_font(ALL + "Helovaśą"))
    boxes, warnings = open_document("pdf", data, 1_000_000).render(0)
    assert not warnings
    # Above the page's own text, within the rectangle's border.
    inside = slice(22, 76), slice(104, 296)
    assert (boxes[inside] < 128).sum() > (pixels[inside] < 128).sum() + 300


def test_letters_of_a_comment_without_a_picture_are_named(fonts: Fonts) -> None:
    fonts(everything=texts.box_font(ALL))
    _, (warning,) = drawn(kinds.comment(b"<FEFF00410105017B015B>"))
    assert "of this machine: ąśŻ;" in warning.message


def test_complete_annotations_have_no_warning(fonts: Fonts) -> None:
    fonts()
    for data in (
        kinds.stamp(b"(Stamp)"),
        kinds.field(b"(Caf\xe9 \x80)"),
        kinds.comment(b"(Note)"),
        kinds.comment(b"<FEFF00410105017B015B>").replace(b"/F 4>>", b"/F 2>>"),
    ):
        assert not drawn(data)[1]
