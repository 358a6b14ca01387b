"""What went wrong, as RFC 9457 has it: `application/problem+json` that names the field."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from m0_contract.errors import ErrorCode
from m0_contract.request import MAX_BODY_BYTES, RequestError
from m0_wire.errors import WireError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from m0_operator.errors import OperatorError
from m0_operator.services.jobs import VideoNotFoundError
from m0_operator.services.pod_logs import NoPodError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


class FieldError(BaseModel):
    """A bad field."""

    field: str = Field(description="Its dotted name; empty for the body as a whole.")
    message: str


class Problem(BaseModel):
    """RFC 9457, with a word for programs and the bad fields."""

    type: str = Field(description="`urn:m0:problem:` and the code.")
    title: str
    status: int
    detail: str | list[dict[str, Any]] = Field(
        description="What happened, for people. For 422 it is FastAPI's list of "
        f"`{{loc, msg, type}}`, unless the caller asks for `Accept: {MEDIA_TYPE}`: then it is "
        "text there, too."
    )
    instance: str = Field(description="The path that was asked for.")
    code: str = Field(description="One word for programs.")
    errors: list[FieldError] = Field(default_factory=list)


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: Sequence[tuple[str, str]] = (),
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Args:
        fields: (dotted name, what is wrong with it).
        retry_after_s: when to try again, seconds.
        """
        super().__init__(detail)
        self.status = status
        self.code = code
        self.fields = tuple(fields)
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)


def build_response(
    error: ProblemError, path: str, accept: str = "", where: str = "body"
) -> JSONResponse:
    """The answer for a problem.

    Args:
        accept: the caller's header: who names the media type gets `detail` as text always.
        where: what the fields are part of, `body` or `query`.
    """
    detail: str | list[dict[str, Any]] = str(error)
    headers = error.headers
    if error.status == 422:
        headers = {**headers, "Vary": "Accept"}
        if MEDIA_TYPE not in accept:
            detail = _fastapi_details(error, where)
    content = {
        "type": f"urn:m0:problem:{error.code.lower().replace('_', '-')}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": detail,
        "instance": path,
        "code": error.code,
        "errors": [{"field": name, "message": text} for name, text in error.fields],
    }
    return JSONResponse(content, error.status, headers, media_type=MEDIA_TYPE)


def build_size_problem() -> ProblemError:
    """The body is too large."""
    text = f"The request is too large: at most {MAX_BODY_BYTES} bytes are taken."
    return ProblemError(413, ErrorCode.REQUEST_TOO_LARGE, text)


def from_request_error(error: RequestError) -> ProblemError:
    """The problem of a body that is no valid request."""
    if error.code is ErrorCode.REQUEST_TOO_LARGE:
        return build_size_problem()
    return ProblemError(422, error.code, str(error), fields=error.fields or (("", str(error)),))


def add_handlers(app: FastAPI) -> None:
    """Have every error of the application become a problem."""

    def answer(request: Request, error: ProblemError, where: str = "body") -> JSONResponse:
        return build_response(
            error, request.scope["path"], request.headers.get("accept", ""), where
        )

    @app.exception_handler(ProblemError)
    async def _(request: Request, error: ProblemError) -> JSONResponse:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        fields = tuple(
            (".".join(map(str, item["loc"][1:])), str(item["msg"])) for item in error.errors()
        )
        text = "; ".join(f"{name}: {message}" for name, message in fields)
        where = str(error.errors()[0]["loc"][0]) if fields else "query"
        return answer(request, ProblemError(422, "INVALID_PARAMETER", text, fields=fields), where)

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        problem = ProblemError(status, status.name, f"{status.phrase}.", headers=error.headers)
        return answer(request, problem)

    @app.exception_handler(VideoNotFoundError)
    async def _(request: Request, _: VideoNotFoundError) -> JSONResponse:
        text = (
            "There is no such video: it waits in the queue still, is kept no longer, or never was."
        )
        return answer(request, ProblemError(404, "NOT_FOUND", text))

    @app.exception_handler(NoPodError)
    async def _(request: Request, error: NoPodError) -> JSONResponse:
        return answer(request, ProblemError(404, "NO_POD", f"{error}."))

    @app.exception_handler(OperatorError)
    async def _(request: Request, error: OperatorError) -> JSONResponse:
        # It may name hosts: that is for the log, not for a caller.
        logger.warning("Kubernetes API not reached", extra={"reason": str(error)})
        text = "The Kubernetes API can't be asked at the moment. Requests are queued all the same."
        problem = ProblemError(503, "KUBERNETES_UNREACHABLE", text, retry_after_s=RETRY_AFTER_S)
        return answer(request, problem)

    @app.exception_handler(WireError)
    async def _(request: Request, error: WireError) -> JSONResponse:
        logger.warning("Broker not reached", extra={"reason": str(error)})
        text = "The broker can't be asked at the moment."
        problem = ProblemError(503, ErrorCode.BROKER_UNREACHABLE, text, retry_after_s=RETRY_AFTER_S)
        return answer(request, problem)

    @app.exception_handler(Exception)
    async def _(request: Request, _: Exception) -> JSONResponse:
        # The server logs it, with where it happened.
        return answer(request, ProblemError(500, "INTERNAL", "A bug in M0; its log says more."))


def _fastapi_details(error: ProblemError, where: str) -> list[dict[str, Any]]:
    """One entry for each bad field, in FastAPI's habit."""
    kind = "json_invalid" if error.code == ErrorCode.INVALID_JSON else "value_error"
    return [
        {
            "loc": [where, *name.split(".")] if name else [where],
            "msg": text,
            "type": "missing" if text in {"is missing", "Field required"} else kind,
        }
        for name, text in error.fields or (("", str(error)),)
    ]
