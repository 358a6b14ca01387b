"""A posted body: bounded in size and time, and read as a request."""

import asyncio

from m0_contract.request import MAX_BODY_BYTES, RequestError
from starlette.requests import ClientDisconnect, Request

from m0_operator.gateway.problems import ProblemError, build_size_problem, from_request_error
from m0_operator.gateway.submission import Submission, parse_submission

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


def read_submission(body: bytes) -> Submission:
    """The request in it.

    Raises:
        ProblemError: naming each bad field.
    """
    try:
        return parse_submission(body)
    except RequestError as error:
        raise from_request_error(error) from error
