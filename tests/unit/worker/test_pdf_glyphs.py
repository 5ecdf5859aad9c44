"""The search for characters of a PDF that cannot be drawn, and its bounds."""

from __future__ import annotations

import pytest

from ocrpool_worker.decoding import pdf_annotations, pdf_fonts, pdf_glyphs, pdf_objects
from ocrpool_worker.decoding.document_page import open_document
from ocrpool_worker.decoding.font_files import ASSETS, font_faces
from ocrpool_worker.decoding.pdf_glyphs import MISSING
from ocrpool_worker.engine.base import PageWarning
from tests.worker import pdf_kinds as kinds
from tests.worker import pdf_texts as texts
from tests.worker.bombs import pdf_of


@pytest.fixture(autouse=True)
def _no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without fonts."""
    monkeypatch.setattr(pdf_fonts, "choose_fonts", lambda: None)


def warnings_of(data: bytes) -> tuple[PageWarning, ...]:
    return open_document("pdf", data, 1_000_000).render(0)[1]


def test_surrogate_pairs_are_named_as_one_character() -> None:
    text = "\U0001f600\U00020001\ude00A\ud83d"
    for more in (0, 9):
        page = texts.numbered_pdf(text, named=True, more=more, before=b"0.5 0 0 0.5 0 0 cm")
        (warning, *unnamed) = warnings_of(page)
        assert "of this machine: \U0001f600\U00020001;" in warning.message
        assert len(unnamed) == bool(more)
        assert all("9 letters of the page" in each.message for each in unnamed)


LONG = b"".join(b"1 0 0 1 20 %d Tm (%s) Tj " % (5 + at, b"abcdefg" * 100) for at in range(90))
BEHIND_MUCH = {
    "lines": texts.letters_pdf(texts.POLISH, before=b"10 10 m 20 20 l S " * 21_000),
    "letters": texts.letters_pdf(texts.POLISH, before=b"BT /F 0.5 Tf %s ET" % LONG),
}


@pytest.mark.parametrize("data", BEHIND_MUCH.values(), ids=list(BEHIND_MUCH.keys()))
def test_letters_behind_many_other_objects_are_found(data: bytes) -> None:
    (warning,) = warnings_of(data)
    assert "of this machine: ąćęśźŻ;" in warning.message


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ("pdf_glyphs.MOST_CHARACTERS", "only the first 9 characters of the page"),
        ("pdf_objects.MOST_OBJECTS", "only the first 9 pieces of text of the page"),
    ],
)
def test_a_reached_bound_has_a_warning(
    bound: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bound.partition(".")[2]
    own = texts.box_font("Ab")
    for module in (pdf_glyphs, pdf_objects):
        monkeypatch.setattr(module, name, 9, raising=False)
    if name == "MOST_OBJECTS":
        # A page with only embedded fonts has no warning, unless it has more objects than the bound.
        several = texts.embedded_pdf(b"Ab", own, before=b"BT /F 4 Tf %s ET" % (b"(A) Tj " * 8))
        assert not warnings_of(several)
        data = texts.embedded_pdf(b"Ab", own, before=b"BT /F 4 Tf %s ET" % (b"(A) Tj " * 9))
    else:
        assert not warnings_of(texts.letters_pdf("A B C D E F G"))
        data = texts.letters_pdf("A B C D E F G H")
    (warning,) = warnings_of(data)
    assert warning.reason == MISSING
    assert said in warning.message


def test_too_many_annotations_have_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_annotations, "MOST_ANNOTATIONS", 0)
    (warning,) = warnings_of(kinds.stamp(b"(Stamp)"))
    assert "only the first 0 annotations of the page" in warning.message
    monkeypatch.setattr(pdf_annotations, "MOST_ANNOTATIONS", 9)
    monkeypatch.setattr(pdf_annotations, "MOST_CHARACTERS", 3)
    (warning,) = warnings_of(kinds.comment(b"(Note)"))
    assert "only the first 3 characters of annotations of the page" in warning.message


def test_letters_without_unicode_values_are_found_anywhere() -> None:
    for lines in (0, 30, 35, 40):
        rows = (b"1 0 0 1 5 %d Tm <%s> Tj " % (5 + at, b"0100" * 400) for at in range(lines))
        before = b"BT /F 0.5 Tf %s ET" % b"".join(rows)
        found = warnings_of(texts.numbered_pdf("Total", named=True, more=2, before=before))
        assert any("2 letters of the page" in each.message for each in found), lines


def test_long_annotation_texts_are_checked() -> None:
    long = b"<FEFF%s0105>" % (b"0041" * 30_000)
    for data in (kinds.comment(long), kinds.field(long)):
        (warning,) = warnings_of(data)
        assert "of this machine: ą;" in warning.message


def test_a_password_is_never_in_a_warning() -> None:
    data = kinds.field(b"<FEFF00410105017B015B>", flags=1 << 13)
    assert not warnings_of(data)


def test_letters_in_nested_forms_are_found() -> None:
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 300 100]/Resources<<%s>>"
    depth = 12
    forms = [
        kinds.stream(b"/X Do", form % (b"/XObject<</X %d 0 R>>" % (6 + at))) for at in range(depth)
    ]
    font = b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Arial/Encoding<</Differences[65/aogonek]"
    text = kinds.stream(b"BT /F 24 Tf 20 40 Td (AB) Tj ET", form % (font + b">>>>>>"))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R"
    (warning,) = warnings_of(
        pdf_of(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            page + b"/Resources<</XObject<</X 5 0 R>>>>>>",
            kinds.stream(b"/X Do"),
            *forms,
            text,
        )
    )
    assert "of this machine: ą;" in warning.message


def test_letters_of_a_stamp_without_unicode_values_have_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = b"/BaseFont/Calibri"
    fonts = (
        b"<</Type/Font/Subtype/Type0%s/Encoding/Identity-H/DescendantFonts[8 0 R]>>" % name,
        b"<</Type/Font/Subtype/CIDFontType2%s/FontDescriptor 9 0 R/DW 1000/CIDSystemInfo"
        b"<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>" % name,
        b"<</Type/FontDescriptor/FontName/Calibri/Flags 4/Ascent 800/Descent -200"
        b"/FontBBox[0 -200 1000 800]/ItalicAngle 0/CapHeight 700/StemV 80>>",
    )
    data = kinds.stamp(b"<004100420043>", fonts)
    (warning,) = warnings_of(data)
    assert warning.message.startswith("3 letters of the page are given by their numbers")
    choice = pdf_fonts.FontChoice({}, next(font_faces([ASSETS])))
    monkeypatch.setattr(pdf_fonts, "choose_fonts", lambda: choice)
    assert warnings_of(data) == (warning,)
