"""The answer of servers without OCR. It is as large as the worker's with the noop engine."""

from __future__ import annotations

import uuid
from typing import Any


def noop_answer() -> dict[str, Any]:
    return {
        "logId": str(uuid.uuid4()),
        "errorCode": 0,
        "errorMsg": "Success",
        "result": {
            "ocrResults": [{"prunedResult": {"rec_texts": [], "rec_scores": []}}],
            "dataInfo": {"width": 640, "height": 480, "type": "image"},
        },
    }
