"""The GraphQL backend through gql: parses the documents, so that a wrong one fails at start.

For programs that start once and stay. `light_backend` is the same for the chunker.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gql import Client, GraphQLRequest, gql
from gql.transport.exceptions import TransportError
from gql.transport.httpx import HTTPXAsyncTransport
from graphql import GraphQLError
from httpx import HTTPError, Request, Response

from m0_wire.errors import BackendUnavailableError, WireError
from m0_wire.mutations import MUTATIONS, check_answer, read_documents

__all__ = ["MUTATIONS", "Backend", "load_documents"]


def load_documents(directory: Path | None = None) -> dict[str, GraphQLRequest]:
    """Read the mutations' documents: the given directory's, else the built-in one's.

    Raises:
        ValueError: a document is missing or is not GraphQL; names the file.
    """
    documents: dict[str, GraphQLRequest] = {}
    for name, text in read_documents(directory).items():
        try:
            documents[name] = gql(text)
        except GraphQLError as error:
            where = f"{directory or 'built in'}: {name}.graphql"
            raise ValueError(f"GraphQL document {where}: {error}") from error
    return documents


class Backend:
    """Calls mutations at one GraphQL endpoint."""

    def __init__(
        self,
        url: str,
        *,
        documents: dict[str, GraphQLRequest] | None = None,
        token: str | None = None,
        timeout_s: float = 15.0,
        before_send: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        url: the endpoint, `http(s)://…`.
        documents: from `load_documents`.
        token: sent as `Authorization: Bearer …` when given.
        timeout_s: bound on each call, seconds.
        before_send: called when the connection stands, at the last instant before the call
            goes out; what it raises ends the call.
        """
        self._before_send = before_send
        self._url = url
        self._documents = documents or load_documents()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s

    async def mutate(self, name: str, variables: dict[str, Any]) -> None:
        """Run one mutation to its confirmed end.

        Raises:
            BackendRejectedError: the backend answered with an error: the same call fails again.
            BackendUnavailableError: no usable answer: worth trying again.
        """
        await self._execute(name, GraphQLRequest(self._documents[name], variable_values=variables))

    async def look(self) -> None:
        """Only see whether it answers GraphQL to us; changes nothing.

        Raises:
            BackendRejectedError, BackendUnavailableError: as `mutate` says.
        """
        await self._execute("asking its type", gql("{ __typename }"))

    async def _execute(self, name: str, request: GraphQLRequest) -> None:
        refused: list[Exception] = []

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event.endswith("send_request_headers.started"):
                try:
                    self._before_send()
                except Exception as error:
                    refused.append(error)
                    raise

        async def follow(sent: Request) -> None:
            sent.extensions["trace"] = trace

        async def check(response: Response) -> None:
            # Before gql looks at it: the one table decides, and gql only carries its verdict out.
            check_answer(name, response.status_code, await response.aread())

        transport = HTTPXAsyncTransport(
            url=self._url,
            headers=self._headers,
            timeout=self._timeout_s,
            event_hooks={"request": [follow], "response": [check]},
        )
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                Client(transport=transport, fetch_schema_from_transport=False) as session,
            ):
                await session.execute(request)
        except (TransportError, HTTPError, OSError, TimeoutError) as error:
            if refused:
                raise refused[0] from None
            if isinstance(error.__cause__, WireError):
                raise error.__cause__ from None
            detail = str(error) or type(error).__name__
            raise BackendUnavailableError(f"{name}: {detail}") from error
