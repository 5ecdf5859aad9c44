"""LitServe with an API that decodes the base64 of an image and reads no text."""

from __future__ import annotations

import argparse
import base64

import litserve

from tools.bench.compare.peers.noop_answer import noop_answer


class NoopApi(litserve.LitAPI):  # type: ignore[misc]  # LitServe has no types
    def __init__(self) -> None:
        super().__init__(api_path="/ocr")

    def setup(self, device: str) -> None:
        pass

    # No types here, as in LitServe's own examples: it would hand them to FastAPI, which then
    # checks every request and answer against them.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return base64.b64decode(request["file"])

    def predict(self, data: bytes) -> int:
        return len(data)

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return noop_answer()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    given = parser.parse_args()
    server = litserve.LitServer(NoopApi(), accelerator="cpu", workers_per_device=given.workers)
    server.run(host="127.0.0.1", port=given.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
