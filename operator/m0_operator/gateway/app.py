"""The REST door, port 9000: a request is on the queue before it is answered.

It keeps serving while the broker is away, and says so. It knows nothing of Kubernetes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from m0_contract.errors import ErrorCode
from m0_contract.request import MAX_BODY_BYTES, RequestError
from m0_wire.errors import WireError
from starlette.requests import ClientDisconnect

from m0_operator.gateway.publisher import QueuePublisher
from m0_operator.gateway.submission import Submission, parse_submission
from m0_operator.logs import configure_logging
from m0_operator.settings import GatewaySettings, load_settings

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5


class Publisher(Protocol):
    """The queue of requests."""

    async def publish(self, body: bytes, *, headers: Mapping[str, Any], priority: int) -> None:
        """Publish and wait for the confirmation; a WireError when it doesn't come."""
        ...

    async def check(self) -> Mapping[str, str]:
        """What it depends on, each `ok` or what is wrong."""
        ...

    async def close(self) -> None:
        """Close the connection; never raises."""
        ...


def build_app(publisher: Publisher) -> FastAPI:
    """The application over a publisher."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await publisher.close()

    app = FastAPI(title="M0", lifespan=lifespan)

    @app.post("/api/v1/process_video")
    async def process_video(request: Request) -> JSONResponse:
        """Queue one video."""
        try:
            body = await _read_body(request)
        except ClientDisconnect:
            # Nobody is there to read it; without an answer the server would call it a bug.
            return JSONResponse({"detail": "The request broke off."}, status_code=400)
        if body is None:
            return _refuse_size()
        try:
            submission = parse_submission(body)
        except RequestError as error:
            if error.code is ErrorCode.REQUEST_TOO_LARGE:
                return _refuse_size()
            return JSONResponse(
                {"detail": build_details(error), "code": error.code.value}, status_code=422
            )
        return await _queue(publisher, submission)

    @app.get("/health")
    async def health() -> JSONResponse:
        """The service and what it depends on; 200 as long as it can answer."""
        checks = dict(await publisher.check())
        well = all(value == "ok" for value in checks.values())
        return JSONResponse({"status": "ok" if well else "degraded", "dependencies": checks})

    @app.get("/livez")
    async def livez() -> JSONResponse:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether a request would be taken now."""
        checks = dict(await publisher.check())
        well = all(value == "ok" for value in checks.values())
        return JSONResponse(checks, status_code=200 if well else 503)

    return app


async def _queue(publisher: Publisher, submission: Submission) -> JSONResponse:
    process_id = submission.request.process_id
    try:
        await publisher.publish(submission.body, headers={}, priority=submission.priority)
    except WireError as error:
        logger.warning("Request not queued", extra={"process_id": process_id, "reason": str(error)})
        # The error names the queue and the broker's host: that is for the log, not for a caller.
        # Without a confirmation nobody knows; the same request is never run twice.
        text = "The queue has not confirmed the request. Send it again: it is never run twice."
        return JSONResponse(
            {"detail": text}, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)}
        )
    logger.info("Request queued", extra={"process_id": process_id, "priority": submission.priority})
    return JSONResponse(
        {
            "process_id": process_id,
            "status": "QUEUED",
            "message": f"The video is queued with priority {submission.priority}.",
        }
    )


async def _read_body(request: Request) -> bytes | None:
    """The body, or None as soon as it is clear that it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _refuse_size() -> JSONResponse:
    text = f"The request is too large: at most {MAX_BODY_BYTES} bytes are taken."
    return JSONResponse(
        {"detail": text, "code": ErrorCode.REQUEST_TOO_LARGE.value}, status_code=413
    )


def build_details(error: RequestError) -> list[dict[str, Any]]:
    """One entry for each bad field, in FastAPI's habit."""
    if not error.fields:
        kind = "json_invalid" if error.code is ErrorCode.INVALID_JSON else "value_error"
        return [{"loc": ["body"], "msg": str(error), "type": kind}]
    return [
        {
            "loc": ["body", *name.split(".")] if name else ["body"],
            "msg": text,
            "type": "missing" if text == "is missing" else "value_error",
        }
        for name, text in error.fields
    ]


def main() -> None:
    """The program `m0-gateway`."""
    settings = load_settings("m0-gateway", GatewaySettings)
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings))


async def _serve(settings: GatewaySettings) -> None:
    publisher = QueuePublisher(settings)
    configuration = uvicorn.Config(
        build_app(publisher),
        host=settings.gateway_host,
        port=settings.gateway_port,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    async with publisher.kept_connected():
        await uvicorn.Server(configuration).serve()
