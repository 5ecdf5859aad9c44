"""A document loader as LangChain, LlamaIndex and Dify plug-ins have them, over plain `POST /ocr`.

    python document_loader.py invoice.pdf --url http://localhost:8080

`/ocr` is the interface of PaddleX's OCR service, so the same code talks to either server.
`OcrLoader` has LangChain's methods and needs none of its packages: give `document` their class.

    from langchain_core.documents import Document
    loader = OcrLoader("invoice.pdf", url, document=Document)
"""

from __future__ import annotations

import argparse
import base64
import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Document:
    """One page: what LangChain's class of this name has."""

    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)


class OcrLoader:
    """Reads an image or a PDF, a document for each page."""

    def __init__(self, path: str | Path, url: str, document: Callable[..., Any] = Document) -> None:
        self._path = Path(path)
        self._url = url
        self._document = document

    def lazy_load(self) -> Iterator[Any]:
        """Yield the pages. Raises urllib.error.HTTPError where the file is refused."""
        body = {"file": base64.b64encode(self._path.read_bytes()).decode(), "visualize": False}
        request = urllib.request.Request(
            f"{self._url}/ocr",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as response:
            answer = json.load(response)
        for number, page in enumerate(answer["result"]["ocrResults"], 1):
            found = page["prunedResult"]
            yield self._document(
                page_content="\n".join(found["rec_texts"]),
                metadata={"source": str(self._path), "page": number, "scores": found["rec_scores"]},
            )

    def load(self) -> list[Any]:
        return list(self.lazy_load())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="http://localhost:8080")
    given = parser.parse_args()
    for page in OcrLoader(given.file, given.url).lazy_load():
        print(f"--- page {page.metadata['page']}")
        print(page.page_content)


if __name__ == "__main__":
    main()
