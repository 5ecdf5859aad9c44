#!/usr/bin/env bash
# PaddleX 3.7.2: whether two text boxes stand on one line hangs on an absolute 10 pixels, whatever
# the letters' size. The same page at twice the resolution comes back in another order.
#
# It matters to whoever reads the texts in the order of the answer: on a scan of 300 dpi that is turned
# by less than half a degree the price of a receipt comes before its article, at 150 dpi after it.
#
# Installs the pinned package into a temporary folder; no model is loaded. Fails if the behaviour
# changes. Output seen (two boxes of one line, the right one 6 pixels higher at 150 dpi):
#   150 dpi: article, price
#   300 dpi: price, article
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'paddlex[ocr-core]==3.7.2'
cat > "$folder/order.py" <<'PY'
import numpy as np
from paddlex.inference.pipelines.components import SortQuadBoxes


def box(left: int, top: int) -> np.ndarray:
    right, bottom = left + 200, top + 40
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.int16)


boxes = {"article": box(50, 106), "price": box(700, 100)}
for dpi, scale in ((150, 1), (300, 2)):
    sized = {name: points * scale for name, points in boxes.items()}
    order = []
    for points in SortQuadBoxes()(list(sized.values())):
        order += [name for name, other in sized.items() if np.array_equal(points, other)]
    print(f"{dpi} dpi: {', '.join(order)}")
PY
export PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK=True
"$folder/venv/bin/python" "$folder/order.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
150 dpi: article, price
300 dpi: price, article
SEEN
