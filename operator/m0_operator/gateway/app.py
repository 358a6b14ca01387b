"""The REST door, port 9000: a request is on the queue before it is answered.

Queueing needs the broker only. What else there is, videos and dead letters, is looked up where
it is; that the Kubernetes API or the broker is away is said, and ends nothing.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from m0_contract.errors import ErrorCode
from m0_contract.trace import HEADER, STATE_HEADER, get_trace_id
from m0_wire.errors import WireError
from starlette.middleware.cors import CORSMiddleware

from m0_operator.gateway import examples, letter_routes, log_routes, video_routes
from m0_operator.gateway.auth import Tokens
from m0_operator.gateway.bodies import read_body, read_submission
from m0_operator.gateway.examples import answer
from m0_operator.gateway.models import Alive, Health, Queued
from m0_operator.gateway.openapi import API_VERSION, DESCRIPTION, describe, problems, request_body
from m0_operator.gateway.problems import RETRY_AFTER_S, ProblemError, add_handlers
from m0_operator.gateway.shell import Shell
from m0_operator.gateway.streams import Streams
from m0_operator.gateway.submission import Submission
from m0_operator.gateway.tracing import build_telemetry, note_process_id, read_request_trace
from m0_operator.logs import about
from m0_operator.services.dead_letters import DeadLetterBox
from m0_operator.services.jobs import Videos
from m0_operator.services.pod_logs import PodLogs

logger = logging.getLogger(__name__)

_CORS_METHODS = ("GET", "POST", "PATCH", "DELETE")
_CORS_HEADERS = ("Authorization", "Content-Type", "Last-Event-ID", HEADER, STATE_HEADER)
_CORS_EXPOSED = ("Retry-After", "WWW-Authenticate", "Allow", HEADER)
"""What the API answers and a browser would keep from the page."""


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


class Probe(Protocol):
    """Something that is looked at for `/health` alone."""

    async def check(self) -> Mapping[str, str]:
        """What it depends on, each `ok` or what is wrong; soon, and never raises."""
        ...


@dataclass(frozen=True)
class Options:
    """What there is besides the queue.

    Attributes:
        videos: serve their endpoints.
        logs: serve the videos' logs; without them their endpoint says how to have them.
        letters: serve the dead letters' endpoints.
        tokens: None when everybody may do everything.
        origins: web pages that may use it.
        probe: what else `/health` is to tell of.
        tracer: records requests, an OpenTelemetry TracerProvider; None: nobody does.
    """

    videos: Videos | None = None
    logs: PodLogs | None = None
    letters: DeadLetterBox | None = None
    tokens: Tokens | None = None
    origins: tuple[str, ...] = ()
    streams: Streams = field(default_factory=Streams)
    probe: Probe | None = None
    tracer: Any = None


def build_app(publisher: Publisher, options: Options | None = None) -> FastAPI:
    """The application over a publisher and whatever else there is."""
    options = options or Options()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await publisher.close()

    # No pages for people: they would load scripts from elsewhere.
    app = FastAPI(
        title="M0",
        version=API_VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=build_telemetry(options.tracer),
    )
    add_handlers(app)
    _add_queue(app, publisher)
    if options.videos is not None:
        app.include_router(video_routes.build_router(options.videos, options.streams))
        app.include_router(log_routes.build_router(options.videos, options.logs, options.streams))
    if options.letters is not None:
        app.include_router(letter_routes.build_router(options.letters))
    _add_health(app, publisher, options)
    app.add_middleware(Shell, tokens=options.tokens, draining=options.streams.is_draining)
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.origins,
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_HEADERS,
            expose_headers=_CORS_EXPOSED,
        )
    describe(app, guarded=options.tokens is not None)
    return app


def _add_queue(app: FastAPI, publisher: Publisher) -> None:
    @app.post(
        "/api/v1/process_video",
        response_model=Queued,
        responses={
            200: answer("The broker has it.", examples.QUEUED),
            **problems(400, 408, 413, 422, 503),
        },
        openapi_extra=request_body(required=True),
        tags=["videos"],
    )
    async def process_video(request: Request) -> JSONResponse:
        """Queue one video. The same request again does no harm: it is run once."""
        trace = read_request_trace(request)
        return await _queue(publisher, read_submission(await read_body(request)), trace)


def _add_health(app: FastAPI, publisher: Publisher, options: Options) -> None:
    tags: list[Any] = ["health"]

    @app.get("/health", response_model=Health, responses=problems(), tags=tags)
    async def health() -> JSONResponse:
        """The service and what it depends on; 200 as long as it can answer."""
        checks = dict(await publisher.check())
        if options.probe is not None:
            checks |= await options.probe.check()
        well = all(value == "ok" for value in checks.values())
        return JSONResponse({"status": "ok" if well else "degraded", "dependencies": checks})

    @app.get("/livez", response_model=Alive, tags=tags)
    async def livez() -> JSONResponse:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    @app.get(
        "/readyz",
        response_model=dict[str, str],
        responses={503: {"model": dict[str, str], "description": "It would not."}},
        tags=tags,
    )
    async def readyz() -> JSONResponse:
        """Whether a request would be taken now."""
        checks = dict(await publisher.check())
        if options.streams.is_draining():
            checks["gateway"] = "ending"
        well = all(value == "ok" for value in checks.values())
        return JSONResponse(checks, status_code=200 if well else 503)


async def _queue(
    publisher: Publisher, submission: Submission, trace: Mapping[str, str]
) -> JSONResponse:
    process_id = submission.request.process_id
    note_process_id(process_id)
    with about(process_id=process_id, trace_id=get_trace_id(trace.get(HEADER), None)):
        await _publish(publisher, submission, trace)
        logger.info("Request queued", extra={"priority": submission.priority})
    return JSONResponse(
        {
            "process_id": process_id,
            "status": "QUEUED",
            "message": f"The video is queued with priority {submission.priority}.",
        },
        headers={name: value for name, value in trace.items() if name == HEADER},
    )


async def _publish(
    publisher: Publisher, submission: Submission, headers: Mapping[str, str]
) -> None:
    try:
        await publisher.publish(submission.body, headers=headers, priority=submission.priority)
    except WireError as error:
        logger.warning("Request not queued", extra={"reason": str(error)})
        # The error names the queue and the broker's host: that is for the log, not for a caller.
        # Without a confirmation nobody knows; the same request is never run twice.
        text = "The queue has not confirmed the request. Send it again: it is never run twice."
        raise ProblemError(
            503, ErrorCode.BROKER_UNREACHABLE, text, retry_after_s=RETRY_AFTER_S
        ) from error
