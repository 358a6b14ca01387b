"""A posted body: bounded in size and time, and read as a request."""

import asyncio
from typing import TypeVar

from m0_contract.errors import ErrorCode
from m0_contract.request import MAX_BODY_BYTES, RequestError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from m0_operator.gateway.problems import ProblemError, build_size_problem, from_request_error
from m0_operator.gateway.submission import Submission, parse_submission

Model = TypeVar("Model", bound=BaseModel)
BODY_S = 30.0


async def read_body(request: Request) -> bytes:
    """The body.

    Raises:
        ProblemError: as soon as it is clear that it is too large, or too slow.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > MAX_BODY_BYTES:
        raise build_size_problem()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise build_size_problem()
    except ClientDisconnect as error:
        # Nobody is there to read it; without an answer the server would call it a bug.
        raise ProblemError(400, "BAD_REQUEST", "The request broke off.") from error
    except TimeoutError as error:
        text = f"The request's body took more than {BODY_S:.0f} s."
        headers = {"Connection": "close"}
        raise ProblemError(408, "REQUEST_TIMEOUT", text, headers=headers) from error
    return bytes(body)


def read_model(model: type[Model], body: bytes) -> Model:
    """The model in it.

    Raises:
        ProblemError: naming each bad field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)
        if items[0]["type"] == "json_invalid":
            text = f"The body is not JSON: {items[0]['msg']}"
            raise ProblemError(422, ErrorCode.INVALID_JSON, text, fields=(("", text),)) from error
        fields = tuple((".".join(map(str, item["loc"])), str(item["msg"])) for item in items)
        text = "; ".join(f"{name}: {message}" if name else message for name, message in fields)
        raise ProblemError(422, ErrorCode.INVALID_REQUEST, text, fields=fields) from error


def read_submission(body: bytes) -> Submission:
    """The request in it.

    Raises:
        ProblemError: naming each bad field.
    """
    try:
        return parse_submission(body)
    except RequestError as error:
        raise from_request_error(error) from error
