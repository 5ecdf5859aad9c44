#!/usr/bin/env bash
# OpenCV 4.10 reads the EXIF orientation of JPEG, PNG and TIFF files, but not of WebP; 5.0 does.
#
# It matters to whoever feeds phones' pictures to an OCR engine by cv2.imdecode: the same picture is
# upright as a JPEG and lies on its side as a WebP, and an upgrade turns those that were turned by hand
# once more.
#
# Installs the pinned packages into temporary folders. Fails if the behaviour changes. Output seen
# (a picture of 30×20 with orientation 6: to be turned by a quarter):
#   OpenCV 4.10.0: JPEG 20×30, PNG 20×30, TIFF 20×30, WebP 30×20
#   OpenCV 5.0.0: JPEG 20×30, PNG 20×30, TIFF 20×30, WebP 20×30
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/turned.py" <<'PY'
import io

import cv2
import numpy as np
from PIL import Image

exif = Image.Exif()
exif[274] = 6
sizes = []
for form in ("JPEG", "PNG", "TIFF", "WebP"):
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "white").save(out, form, exif=exif)
    height, width = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_COLOR).shape[:2]
    sizes.append(f"{form} {width}×{height}")
print(f"OpenCV {'.'.join(cv2.__version__.split('.')[:3])}: {', '.join(sizes)}")
PY
for version in 4.10.0.84 5.0.0.93; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check \
        "opencv-python-headless==$version" Pillow==13.0.0
    "$folder/$version/bin/python" "$folder/turned.py"
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
OpenCV 4.10.0: JPEG 20×30, PNG 20×30, TIFF 20×30, WebP 30×20
OpenCV 5.0.0: JPEG 20×30, PNG 20×30, TIFF 20×30, WebP 20×30
SEEN
