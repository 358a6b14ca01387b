"""Over HTTP: liveness and readiness, that is whether it hears and works, and its figures."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

Checks = Callable[[], Mapping[str, bool]]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@asynccontextmanager
async def serve_health(
    port: int, livez: Checks, readyz: Checks, metrics: Callable[[], bytes]
) -> AsyncIterator[None]:
    """Serve `/livez`, `/readyz` and `/metrics` while the context is open.

    Args:
        livez: named checks; one that is false has the pod restarted.
        readyz: named checks; one that is false shows the pod as not ready.
        metrics: Prometheus' text format.
    """

    def handler(checks: Checks) -> Callable[[web.Request], "web.Response"]:
        def answer(_: web.Request) -> web.Response:
            results = dict(checks())
            return web.json_response(results, status=200 if all(results.values()) else 503)

        return answer

    async def serve_livez(request: web.Request) -> web.Response:
        return handler(livez)(request)

    async def serve_readyz(request: web.Request) -> web.Response:
        return handler(readyz)(request)

    async def serve_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": METRICS_TYPE})

    application = web.Application()
    application.add_routes(
        [
            web.get("/livez", serve_livez),
            web.get("/readyz", serve_readyz),
            web.get("/metrics", serve_metrics),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
