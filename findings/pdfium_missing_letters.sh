#!/usr/bin/env bash
# PDFium (pypdfium2 5.15.2): of a font that is not in the PDF it draws nothing for letters that its
# built-in fonts lack, though the PDF names them, and also where DejaVu, which has them, is installed;
# there is no sign of it: no box, no error.
#
# It matters to whoever renders PDFs for OCR: Polish, Czech, Hungarian, Turkish, Greek and Cyrillic
# letters are gone from documents that rely on the viewer's fonts, and the words read on without them.
#
# Installs the pinned package into a temporary folder. Fails if the behaviour changes. Output seen
# (Helvetica, each letter alone on its page; dark: pixels of ink at 144 dpi, yes or no):
#   A: drawn
#   Eacute: drawn
#   Lslash: drawn
#   Aogonek: nothing
#   Ccaron: nothing
#   Gbreve: nothing
#   Omega: nothing
#   afii10017: nothing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pypdfium2==5.15.2 numpy
cat > "$folder/letters.py" <<'PY'
import pypdfium2


def pdf(letter: str) -> bytes:
    contents = b"BT /F 60 Tf 20 20 Td <01> Tj ET"
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R"
        b"/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(contents), contents),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica"
        b"/Encoding<</Type/Encoding/Differences[1/%s]>>>>" % letter.encode(),
    )
    out, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\n" % table
    return out + end + b"startxref\n%d\n%%%%EOF\n" % len(out)


for letter in ("A", "Eacute", "Lslash", "Aogonek", "Ccaron", "Gbreve", "Omega", "afii10017"):
    page = pypdfium2.PdfDocument(pdf(letter))[0].render(scale=2).to_numpy()
    print(f"{letter}: {'drawn' if (page < 128).any() else 'nothing'}")
PY
"$folder/venv/bin/python" "$folder/letters.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
A: drawn
Eacute: drawn
Lslash: drawn
Aogonek: nothing
Ccaron: nothing
Gbreve: nothing
Omega: nothing
afii10017: nothing
SEEN
