#!/usr/bin/env bash
# PaddleX 3.7.2: the text detector keeps the first 1,000 regions of a page (max_candidates), and the
# first are those at the bottom. What a dense page loses is its top: title, head of the table.
#
# It matters to whoever reads large tables: nothing in the result says that regions are missing.
# `max_candidates` comes from the model's inference.yml; no argument of PaddleOCR changes it.
#
# Installs the pinned package into a temporary folder; no model is loaded: a map of 1,200 regions is
# given to the detector's own post-processing. Fails if the behaviour changes. Output seen:
#   regions on the page: 1200, kept: 1000
#   rows kept of 60: from 11 to 60
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'paddlex[ocr-core]==3.7.2'
cat > "$folder/regions.py" <<'PY'
import numpy as np
from paddlex.inference.models.text_detection.processors import DBPostProcess

ROWS, COLUMNS, HEIGHT, WIDTH = 60, 20, 30, 80
page = np.zeros((ROWS * HEIGHT, COLUMNS * WIDTH), np.float32)
for row in range(ROWS):
    for column in range(COLUMNS):
        top, left = row * HEIGHT + 10, column * WIDTH + 20
        page[top : top + 10, left : left + 40] = 1

settings = {"thresh": 0.3, "box_thresh": 0.6, "unclip_ratio": 1.5}
(boxes,), _ = DBPostProcess(**settings)([page[None, None]], [(*page.shape, 1.0, 1.0)])
rows = sorted({int(box[:, 1].mean()) // HEIGHT + 1 for box in boxes})
print(f"regions on the page: {ROWS * COLUMNS}, kept: {len(boxes)}")
print(f"rows kept of {ROWS}: from {rows[0]} to {rows[-1]}")
PY
export PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK=True
"$folder/venv/bin/python" "$folder/regions.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
regions on the page: 1200, kept: 1000
rows kept of 60: from 11 to 60
SEEN
