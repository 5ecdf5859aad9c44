#!/usr/bin/env bash
# Pillow 13.0.0: an uncompressed TIFF that its orientation turns by a quarter comes out garbled where it
# is opened from a path, and right where the same bytes are opened from memory.
#
# It matters to whoever reads scans of feeders, which turn pages by the tag: a picture of the stored size
# comes back whose rows are cut at the wrong length, and no error.
#
# Installs the pinned packages into a temporary folder. Fails if the behaviour changes. Output seen:
#   stored 100x40, orientation 6, compression raw: from a path 100x40, wrong; from memory 40x100, right
#   stored 100x40, orientation 6, compression tiff_lzw: from a path 40x100, right; from memory 40x100, right
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Pillow==13.0.0 numpy==2.3.5
cat > "$folder/turned.py" <<'PY'
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 274
page = np.zeros((40, 100), np.uint8)
page[:, :50] = 255
upright = np.rot90(page, -1)
file = Path(sys.argv[1])


def told(image: Image.Image) -> str:
    found = np.asarray(image)
    right = found.shape == upright.shape and (found == upright).all()
    return f"{found.shape[1]}x{found.shape[0]}, {'right' if right else 'wrong'}"


for compression in ("raw", "tiff_lzw"):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(page).save(file, exif=exif, compression=compression)
    ways = (Image.open(file), Image.open(io.BytesIO(file.read_bytes())))
    first, second = map(told, ways)
    print(f"stored 100x40, orientation 6, compression {compression}: ", end="")
    print(f"from a path {first}; from memory {second}")
PY
"$folder/venv/bin/python" "$folder/turned.py" "$folder/page.tif" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
stored 100x40, orientation 6, compression raw: from a path 100x40, wrong; from memory 40x100, right
stored 100x40, orientation 6, compression tiff_lzw: from a path 40x100, right; from memory 40x100, right
SEEN
