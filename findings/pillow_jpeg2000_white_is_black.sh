#!/usr/bin/env bash
# Pillow 13.0.0: in a JPEG 2000 of 16 bits and three colours samples of 65408 and more become 0: white
# paper is black. Grey ones are right.
#
# It matters to whoever reads scans of libraries and archives, which keep masters in that format.
#
# Installs the pinned packages into a temporary folder. Fails if the behaviour changes. Output seen:
#   colour of 65535: RGB 0 0 0
#   colour of 65408: RGB 0 0 0
#   colour of 65407: RGB 255 255 255
#   grey of 65535: I;16 65535
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Pillow==13.0.0 \
  numpy==2.3.5 opencv-python-headless==4.10.0.84
cat > "$folder/white.py" <<'PY'
import io

import cv2  # it writes the files
import numpy as np
from PIL import Image

for name, shape, value in (
    ("colour", (64, 96, 3), 65535),
    ("colour", (64, 96, 3), 65408),
    ("colour", (64, 96, 3), 65407),
    ("grey", (64, 96), 65535),
):
    data = cv2.imencode(".jp2", np.full(shape, value, np.uint16))[1].tobytes()
    image = Image.open(io.BytesIO(data))
    pixel = np.asarray(image)[10, 10].ravel().tolist()
    print(f"{name} of {value}: {image.mode} {' '.join(map(str, pixel))}")
PY
"$folder/venv/bin/python" "$folder/white.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
colour of 65535: RGB 0 0 0
colour of 65408: RGB 0 0 0
colour of 65407: RGB 255 255 255
grey of 65535: I;16 65535
SEEN
