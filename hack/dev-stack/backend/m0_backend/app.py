"""The HTTP server: POST /graphql and GET /healthz. Started by bin/backend.sh.

Beside them what tests of failures need: /chaos/… (see `chaos`), and 500 in S3's words at every
other path, so that traffic for the store can be led here.

Environment: DATABASE_URL (`postgresql://…`).
"""

import asyncio
import contextlib
import datetime as dt
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import psycopg
from graphql import ExecutionResult, GraphQLError, build_schema, graphql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from m0_backend.chaos import Chaos, stall
from m0_backend.store import ChunkTable, Row, Store

SCHEMA = build_schema((Path(__file__).parent / "schema.graphql").read_text())
MAX_KEY = 2**63 - 1

Resolver = Callable[..., Awaitable[Any]]


class StorePort(Protocol):
    """What the resolvers need of the database."""

    async def create_tables(self) -> None:
        """Make what is missing."""
        ...

    async def save_chunk(self, table: ChunkTable, values: Row) -> Row:
        """Insert or update a chunk; the row."""
        ...

    async def append_status(self, values: Row) -> Row:
        """Append a status, unless it repeats the latest."""
        ...

    async def list_chunks(self, process_id: int) -> list[Row]:
        """A video's chunks."""
        ...

    async def list_statuses(self, process_id: int) -> list[Row]:
        """A video's statuses."""
        ...


def parse_key(process_id: str) -> int:
    """The database's key.

    Raises:
        GraphQLError: it is no integer; an answer for good, so the caller need not try again.
    """
    if not (process_id.isascii() and process_id.isdecimal() and int(process_id) <= MAX_KEY):
        raise GraphQLError(
            f"process_id {process_id!r}: this backend's key is an integer from 0 to {MAX_KEY}"
        )
    return int(process_id)


def build_resolvers(store: StorePort) -> dict[str, Resolver]:
    """A resolver for each field of Query and Mutation, by name."""

    def create(table: ChunkTable) -> Resolver:
        async def resolve(_info: Any, process_id: str, **values: Any) -> Row:
            key = parse_key(process_id)
            return _printable(await store.save_chunk(table, {"process_id": key, **values}))

        return resolve

    def update(modality: str) -> Resolver:
        async def resolve(
            _info: Any, process_id: str, status: str, error: str | None = None
        ) -> Row:
            key = parse_key(process_id)
            values = {"process_id": key, "modality": modality, "status": status, "error": error}
            return _printable(await store.append_status(values))

        return resolve

    async def chunks(_info: Any, process_id: str) -> list[Row]:
        return [_printable(row) for row in await store.list_chunks(parse_key(process_id))]

    async def statuses(_info: Any, process_id: str) -> list[Row]:
        return [_printable(row) for row in await store.list_statuses(parse_key(process_id))]

    return {
        "createBatchChunk": create("batch_chunk"),
        "createLiveChunk": create("live_chunk"),
        "updateBatchVideoProcessingStatus": update("batch"),
        "updateCamVideoProcessingStatus": update("live"),
        "chunks": chunks,
        "statuses": statuses,
    }


def _printable(row: Row) -> Row:
    return {
        key: value.isoformat() if isinstance(value, dt.datetime) else value
        for key, value in row.items()
    }


def _failed_with(result: ExecutionResult, kind: type[psycopg.Error]) -> bool:
    return any(isinstance(error.original_error, kind) for error in result.errors or [])


async def answer(store: StorePort, request: Request) -> JSONResponse:
    """Run one GraphQL request.

    200 with `errors` means that the request itself is at fault; 503 that the database is out of
    reach and the same request may succeed later.
    """
    try:
        document = await request.json()
        query, variables = document["query"], document.get("variables")
        operation = document.get("operationName")
    except (ValueError, KeyError, TypeError, AttributeError):
        text = 'the body must be JSON: {"query": "…", "variables": {…}}'
        return JSONResponse({"errors": [{"message": text}]}, 400)
    result = await graphql(
        SCHEMA,
        query,
        root_value=build_resolvers(store),
        variable_values=variables,
        operation_name=operation,
    )
    if _failed_with(result, psycopg.errors.UndefinedTable):
        # The database is a new one since this program started.
        await store.create_tables()
        return JSONResponse(result.formatted, 503)
    outage = _failed_with(result, psycopg.OperationalError)
    return JSONResponse(result.formatted, 503 if outage else 200)


async def answer_or_fail(store: StorePort, chaos: Chaos, request: Request) -> JSONResponse:
    """Run one GraphQL request, unless a test wants it to fail."""
    fault = chaos.meets(await request.body())
    if fault == "reject":
        return JSONResponse({"errors": [{"message": "a test wants this to be refused"}]})
    if fault == "hang":
        await stall()
    if fault == "late":
        await answer(store, request)
    if fault:
        return JSONResponse({"message": "a test wants this to fail"}, 500)
    return await answer(store, request)


async def order(chaos: Chaos, request: Request) -> JSONResponse:
    """One call of a method of `Chaos` by its name."""
    what = request.path_params["what"]
    if what not in {"arm", "armed", "hit", "release", "clear", "set_fault", "show"}:
        return JSONResponse({"message": f"no such order: {what}"}, 404)
    return JSONResponse(getattr(chaos, what)(**await request.json()))


async def fail_as_s3(_request: Request) -> Response:
    """What a store says that has trouble of its own."""
    said = '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>chaos</Message></Error>'
    return Response(said, 500, media_type="application/xml")


async def check_health(store: Store) -> JSONResponse:
    """200 when the database answers, else 503 with the reason."""
    try:
        await store.ping()
    except psycopg.Error as error:
        return JSONResponse({"status": "down", "database": str(error).strip()}, 503)
    return JSONResponse({"status": "ok", "database": "ok"})


def create_app() -> Starlette:
    """The program; uvicorn calls this."""
    store, chaos = Store(os.environ["DATABASE_URL"]), Chaos()

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        while True:
            try:
                await store.create_tables()
                break
            except psycopg.OperationalError as error:
                print(f"waiting for the database: {str(error).strip()}", flush=True)
                await asyncio.sleep(0.5)
        yield

    async def graphql_endpoint(request: Request) -> JSONResponse:
        return await answer_or_fail(store, chaos, request)

    async def chaos_endpoint(request: Request) -> JSONResponse:
        return await order(chaos, request)

    async def healthz(_request: Request) -> JSONResponse:
        return await check_health(store)

    routes = [
        Route("/graphql", graphql_endpoint, methods=["POST"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/chaos/{what}", chaos_endpoint, methods=["POST"]),
        Route("/{rest:path}", fail_as_s3, methods=["GET", "HEAD", "PUT", "POST", "DELETE"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
