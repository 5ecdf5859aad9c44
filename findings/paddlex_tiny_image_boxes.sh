#!/usr/bin/env bash
# PaddleX 3.7.2: an image whose sides sum to less than 64 pixels is padded to at least 32×32 (with
# black) before the detector, and its boxes are then scaled by the size before the padding.
#
# It matters to whoever sends cut-out fields: of a 45×18 image the boxes are squeezed to 18/32 of
# their height, the recogniser gets a part of the letters, and "7,50" became "7.50" with a score of
# 0.99. One pixel more on a side, and all is right.
#
# Installs the pinned package into a temporary folder; no model is loaded: a region is put where the
# letters are in the padded image. Fails if the behaviour changes. Output seen:
#   45×18: letters at rows 4 to 14, box at rows 2 to 8
#   46×18: letters at rows 4 to 14, box at rows 4 to 14
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'paddlex[ocr-core]==3.7.2'
cat > "$folder/boxes.py" <<'PY'
import numpy as np
from paddlex.inference.models.text_detection.processors import DBPostProcess, DetResizeForTest

for width in (45, 46):
    image = np.full((18, width, 3), 255, np.uint8)
    image[4:14, 6:38] = 0  # the letters
    (resized,), (shape,) = DetResizeForTest(limit_side_len=64, limit_type="min")([image])
    # A detector that marks the letters exactly: below the padding, which is black too.
    height = resized.shape[0] * 18 // (32 if width + 18 < 64 else 18)
    rows = [height * row // 18 for row in (4, 14)]
    columns = [resized.shape[1] * column // width for column in (6, 38)]
    found = np.zeros(resized.shape[:2], np.float32)
    found[rows[0] : rows[1], columns[0] : columns[1]] = 1
    # unclip_ratio 0.01: the region as it is, not grown.
    after = DBPostProcess(thresh=0.3, box_thresh=0.6, unclip_ratio=0.01)
    (boxes,), _ = after([found[None, None]], [shape])
    top, bottom = boxes[0][:, 1].min(), boxes[0][:, 1].max()
    print(f"{width}×18: letters at rows 4 to 14, box at rows {top} to {bottom}")
PY
export PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK=True
"$folder/venv/bin/python" "$folder/boxes.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
45×18: letters at rows 4 to 14, box at rows 2 to 8
46×18: letters at rows 4 to 14, box at rows 4 to 14
SEEN
