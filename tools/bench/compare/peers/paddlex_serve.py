"""PaddleX's own server (`paddlex --serve`) with the same models and options."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.bench.lib import direct


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    from paddlex.inference.serving.basic_serving import (  # noqa: PLC0415
        create_pipeline_app,
        run_server,
    )

    ocr = direct.build(given.models)
    # PaddleOCR wraps the PaddleX pipeline that `paddlex --serve` makes from the same
    # configuration.
    app = create_pipeline_app(ocr.paddlex_pipeline, {"pipeline_name": "OCR"})
    run_server(app, host="127.0.0.1", port=given.port)


if __name__ == "__main__":
    main()
