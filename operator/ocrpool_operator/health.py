"""The operator's own port: `/healthz`, which fails when reconciling has stopped, and `/metrics`."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from ocrpool_operator.metrics import OperatorMetrics

# If a pool is this late, the loop hangs or every round does.
LATE_SECONDS = 90.0


def application(metrics: OperatorMetrics, late: Callable[[], float]) -> web.Application:
    """Make the web application. `late` returns the seconds that reconciling is behind schedule."""

    async def healthz(request: web.Request) -> web.Response:
        seconds = late()
        if seconds > LATE_SECONDS:
            text = f"reconciling is {seconds:.0f} s behind (limit {LATE_SECONDS:g} s)\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def exposition(request: web.Request) -> web.Response:
        return web.Response(
            body=metrics.render(late()), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", exposition)
    return app
