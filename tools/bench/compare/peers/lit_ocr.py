"""LitServe with the same JSON contract and the same PaddleOCR call."""

from __future__ import annotations

import argparse
import base64
from pathlib import Path
from typing import Any

import litserve

from tools.bench.lib import direct


class OcrApi(litserve.LitAPI):  # type: ignore[misc]  # LitServe has no types
    def __init__(self, models: Path) -> None:
        super().__init__(api_path="/ocr")
        self.models = models

    def setup(self, device: str) -> None:
        self.ocr = direct.build(self.models)

    # No types here, as in LitServe's own examples: it would hand them to FastAPI, which then
    # checks every request and answer against them.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return base64.b64decode(request["file"])

    def predict(self, data: bytes) -> Any:
        return direct.read(self.ocr, data)

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return {"errorCode": 0, "result": {"ocrResults": [{"prunedResult": output.json["res"]}]}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    given = parser.parse_args()
    server = litserve.LitServer(
        OcrApi(given.models), accelerator="cpu", workers_per_device=given.workers, timeout=600
    )
    server.run(host="127.0.0.1", port=given.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
