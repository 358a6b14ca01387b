"""Liveness and readiness over HTTP: whether it hears and works, not only that it runs."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

Checks = Callable[[], Mapping[str, bool]]


@asynccontextmanager
async def serve_health(port: int, livez: Checks, readyz: Checks) -> AsyncIterator[None]:
    """Serve `/livez` and `/readyz` while the context is open.

    Args:
        livez: named checks; one that is false has the pod restarted.
        readyz: named checks; one that is false shows the pod as not ready.
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

    application = web.Application()
    application.add_routes([web.get("/livez", serve_livez), web.get("/readyz", serve_readyz)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
