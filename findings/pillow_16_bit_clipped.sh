#!/usr/bin/env bash
# Pillow 13.0.0: convert("L") and convert("RGB") of 16-bit grey do not scale, they clip at 255.
#
# It matters to whoever reads scans of 16 bits (TIFF, PNG, DICOM exports): all paper and most ink is
# over 255, and the page comes out white.
#
# Installs the pinned package into a temporary folder. Fails if the behaviour changes. Output seen:
#   16-bit grey, black 0 / ink 12000 / grey 32768 / white 65535
#   TIFF, mode I;16: L 0 255 255 255, RGB 0 255 255 255
#   PNG, mode I;16: L 0 255 255 255, RGB 0 255 255 255
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Pillow==13.0.0
cat > "$folder/clipped.py" <<'PY'
import io
import struct

from PIL import Image

GREYS = (0, 12000, 32768, 65535)
page = Image.frombytes("I;16", (4, 1), struct.pack("<4H", *GREYS))
print("16-bit grey, black 0 / ink 12000 / grey 32768 / white 65535")
for form in ("TIFF", "PNG"):
    out = io.BytesIO()
    page.save(out, form)
    image = Image.open(out)
    grey = [image.convert("L").getpixel((x, 0)) for x in range(4)]
    red = [image.convert("RGB").getpixel((x, 0))[0] for x in range(4)]
    print(f"{form}, mode {image.mode}: L {' '.join(map(str, grey))}, RGB {' '.join(map(str, red))}")
PY
"$folder/venv/bin/python" "$folder/clipped.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
16-bit grey, black 0 / ink 12000 / grey 32768 / white 65535
TIFF, mode I;16: L 0 255 255 255, RGB 0 255 255 255
PNG, mode I;16: L 0 255 255 255, RGB 0 255 255 255
SEEN
