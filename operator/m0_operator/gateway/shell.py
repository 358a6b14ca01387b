"""Around every request: who is it, what is the path, and headers that belong on each answer.

Plain ASGI, since it is on the way of every request.
"""

from collections.abc import Callable
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from m0_operator.gateway.auth import Tokens
from m0_operator.gateway.problems import ProblemError, build_response

OPEN = frozenset({"/livez", "/readyz"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
RAW = "/api/v1/"


class Shell:
    """Middleware around the application."""

    def __init__(
        self, app: ASGIApp, *, tokens: Tokens | None, draining: Callable[[], bool]
    ) -> None:
        """Args:
        tokens: None when everybody may do everything.
        draining: whether this process is about to end: callers should connect elsewhere.
        """
        self._app = app
        self._tokens = tokens
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("cache-control", "no-store")
                headers.setdefault("x-content-type-options", "nosniff")
                if self._draining():
                    headers["connection"] = "close"
            await send(message)

        problem = self._refusal(scope)
        # An id may hold an encoded slash: the path is matched as it was sent.
        if scope["path"].startswith(RAW):
            scope = {**scope, "path": _raw_path(scope)}
        if problem is not None:
            answer = build_response(problem, scope["path"])
            await answer(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ProblemError | None:
        if self._tokens is None or scope["path"] in OPEN:
            return None
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return _unauthorized("A bearer token is needed.", "")
        right = self._tokens.right_of(token.strip())
        if right is None:
            return _unauthorized("This token is not valid.", ', error="invalid_token"')
        if right == "read" and scope["method"] not in READING:
            return ProblemError(
                403,
                "FORBIDDEN",
                "This token may only look.",
                headers={"WWW-Authenticate": 'Bearer realm="m0", error="insufficient_scope"'},
            )
        return None


def _unauthorized(text: str, more: str) -> ProblemError:
    headers = {"WWW-Authenticate": f'Bearer realm="m0"{more}'}
    return ProblemError(401, "UNAUTHORIZED", text, headers=headers)


def _raw_path(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return quote(scope["path"])
    return raw.partition(b"?")[0].decode("latin-1")
