"""A client that waits while the worker is busy: 429 and 503 carry `Retry-After`.

    pip install requests
    python client_with_backoff.py page.png invoice.pdf --url http://localhost:8080

Sending a page again is safe: reading it changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

# 429: the queue is full. 502, 503: a worker ended, starts, or drains. Not 504: the page took
# longer than the worker allows, and would again. Not 4xx: the file is the problem.
RETRY = Retry(
    total=8,
    status_forcelist=(429, 502, 503),
    allowed_methods=None,  # POST, too
    backoff_factor=0.5,  # seconds where there is no Retry-After: 0.5, 1, 2, …
    backoff_jitter=0.5,
    respect_retry_after_header=True,
    raise_on_status=False,
)


def session() -> requests.Session:
    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(max_retries=RETRY))
    return made


def read(client: requests.Session, url: str, file: Path) -> list[dict[str, Any]]:
    """The pages of a file. Raises RuntimeError with the worker's own words."""
    # A page of many lines may take minutes; a worker that is gone is noticed within five seconds.
    answer = client.post(f"{url}/v1/ocr", data=file.read_bytes(), timeout=(5, 600))
    if answer.status_code != requests.codes.ok:
        error = answer.json()["error"]
        raise RuntimeError(f"{error['reason']}: {error['message']}")
    pages: list[dict[str, Any]] = answer.json()["pages"]
    return pages


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--url", default="http://localhost:8080")
    given = parser.parse_args()
    client = session()
    failed = 0
    for file in given.files:
        try:
            pages = read(client, given.url, file)
        except RuntimeError as error:
            print(f"{file}: {error}", file=sys.stderr)
            failed += 1
            continue
        for page in pages:
            for line in page["lines"]:
                print(line["text"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
