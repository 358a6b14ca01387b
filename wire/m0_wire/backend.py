"""The GraphQL backend's mutations.

The documents are files, since a backend may name its arguments in its own way:
a deployment mounts its own directory of `<mutation>.graphql` files over ours.
"""

import asyncio
import importlib.resources
from pathlib import Path
from typing import Any

from gql import Client, GraphQLRequest, gql
from gql.transport.exceptions import (
    TransportError,
    TransportQueryError,
    TransportServerError,
)
from gql.transport.httpx import HTTPXAsyncTransport
from graphql import GraphQLError
from httpx import HTTPError, HTTPStatusError, Response

from m0_wire.errors import BackendRejectedError, BackendUnavailableError, WireError

MUTATIONS = (
    "createBatchChunk",
    "createLiveChunk",
    "updateBatchVideoProcessingStatus",
    "updateCamVideoProcessingStatus",
)

_RETRYABLE_STATUS = frozenset({408, 425, 429})
_RETRYABLE_CODES = frozenset({"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT"})
"""`extensions.code` by which servers say, under HTTP 200, that it was not the request's fault."""


def load_documents(directory: Path | None = None) -> dict[str, GraphQLRequest]:
    """Read the mutations' documents: the given directory's, else the built-in one's.

    Raises:
        ValueError: a document is missing or is not GraphQL; names the file.
    """
    builtin = importlib.resources.files("m0_contract") / "graphql"
    documents: dict[str, GraphQLRequest] = {}
    for name in MUTATIONS:
        own = directory / f"{name}.graphql" if directory else None
        source = own if own is not None and own.is_file() else builtin / f"{name}.graphql"
        try:
            documents[name] = gql(source.read_text())
        except (OSError, GraphQLError) as error:
            raise ValueError(f"GraphQL document {source}: {error}") from error
    return documents


async def _refuse_outage(response: Response) -> None:
    """Raise for an answer that says nothing about the request, whatever JSON it carries."""
    if response.status_code >= 500 or response.status_code in _RETRYABLE_STATUS:
        raise HTTPStatusError(
            f"HTTP {response.status_code}", request=response.request, response=response
        )


def _translate_query_error(name: str, error: TransportQueryError) -> WireError:
    errors = error.errors or []
    text = "; ".join(str(item.get("message", item)) for item in errors) or str(error)
    codes = {(item.get("extensions") or {}).get("code") for item in errors}
    kind = BackendUnavailableError if codes & _RETRYABLE_CODES else BackendRejectedError
    return kind(f"{name}: {text}")


class Backend:
    """Calls mutations at one GraphQL endpoint."""

    def __init__(
        self,
        url: str,
        *,
        documents: dict[str, GraphQLRequest] | None = None,
        token: str | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        """Args:
        url: the endpoint, `http(s)://…`.
        documents: from `load_documents`.
        token: sent as `Authorization: Bearer …` when given.
        timeout_s: bound on each call, seconds.
        """
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
        document = self._documents[name]
        request = GraphQLRequest(document, variable_values=variables)
        transport = HTTPXAsyncTransport(
            url=self._url,
            headers=self._headers,
            timeout=self._timeout_s,
            event_hooks={"response": [_refuse_outage]},
        )
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                Client(transport=transport, fetch_schema_from_transport=False) as session,
            ):
                await session.execute(request)
        except TransportQueryError as error:
            raise _translate_query_error(name, error) from error
        except TransportServerError as error:
            raise BackendRejectedError(f"{name}: HTTP {error.code}") from error
        except (TransportError, HTTPError, OSError, TimeoutError) as error:
            detail = str(error) or type(error).__name__
            raise BackendUnavailableError(f"{name}: {detail}") from error
