"""The reference backend without its database: schema, keys, and what each failure answers."""

import json
from typing import Any

import psycopg
import pytest
from graphql import validate
from m0_backend.app import SCHEMA, answer
from m0_backend.store import ChunkTable, Row
from m0_wire.backend import MUTATIONS, load_documents
from starlette.requests import Request

CHUNK = {
    "chunk_hash": "d4f3",
    "chunk_id": 1,
    "chunk_duration": 60.0,
    "start_time": 0.0,
    "end_time": 60.0,
    "time_offset": 0.0,
    "cloud_path": "s3://a/b",
    "cache_path": "s3://c/d",
}
CREATED = {"created_at": "2026-01-01T00:00:00+00:00"}


class FakeStore:
    """Remembers what it was asked; raises `error` where there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, Row]] = []
        self.tables_made = 0

    async def create_tables(self) -> None:
        self.tables_made += 1

    async def save_chunk(self, table: ChunkTable, values: Row) -> Row:
        return self._answer(table, values) | CREATED

    async def append_status(self, values: Row) -> Row:
        return self._answer("status", values) | {"at": "2026-01-01"}

    async def list_chunks(self, process_id: int) -> list[Row]:
        return [self._answer("chunks", {"process_id": process_id, **CHUNK}) | CREATED]

    async def list_statuses(self, process_id: int) -> list[Row]:
        self._answer("statuses", {"process_id": process_id})
        return []

    def _answer(self, what: str, values: Row) -> Row:
        self.calls.append((what, values))
        if self.error:
            raise self.error
        return values


async def post(store: FakeStore, body: bytes) -> tuple[int, Any]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    response = await answer(store, request)
    return response.status_code, json.loads(bytes(response.body))


async def mutate(store: FakeStore, name: str, **variables: Any) -> tuple[int, Any]:
    document = load_documents()[name].document
    query = document.loc.source.body if document.loc else ""
    return await post(store, json.dumps({"query": query, "variables": variables}).encode())


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contracts_documents_fit_the_schema(name: str) -> None:
    assert validate(SCHEMA, load_documents()[name].document) == []


@pytest.mark.parametrize(
    ("name", "table"), [("createBatchChunk", "batch_chunk"), ("createLiveChunk", "live_chunk")]
)
async def test_a_chunk_goes_into_its_modalitys_table(name: str, table: str) -> None:
    store = FakeStore()
    status, body = await mutate(store, name, process_id=101, **CHUNK)
    assert (status, body["data"][name]["process_id"]) == (200, "101")
    assert store.calls == [(table, {"process_id": 101, **CHUNK})]


@pytest.mark.parametrize(
    ("name", "modality"),
    [("updateBatchVideoProcessingStatus", "batch"), ("updateCamVideoProcessingStatus", "live")],
)
async def test_a_status_is_kept_with_its_modality(name: str, modality: str) -> None:
    store = FakeStore()
    await mutate(store, name, process_id="7", status="FAILED", error="why")
    expected = {"process_id": 7, "modality": modality, "status": "FAILED", "error": "why"}
    assert store.calls == [("status", expected)]


@pytest.mark.parametrize("key", ["cam-7", "-1", "1.5", "", "9223372036854775808", "７"])
async def test_a_key_that_is_no_integer_is_refused_in_words(key: str) -> None:
    store = FakeStore()
    status, body = await mutate(store, "createBatchChunk", process_id=key, **CHUNK)
    assert status == 200
    assert "this backend's key is an integer" in body["errors"][0]["message"]
    assert store.calls == []


async def test_a_database_out_of_reach_is_worth_another_try() -> None:
    status, _ = await mutate(
        FakeStore(psycopg.OperationalError("down")), "createBatchChunk", process_id=1, **CHUNK
    )
    assert status == 503


async def test_a_database_that_is_new_gets_its_tables() -> None:
    store = FakeStore(psycopg.errors.UndefinedTable("no table"))
    status, _ = await mutate(store, "createBatchChunk", process_id=1, **CHUNK)
    assert (status, store.tables_made) == (503, 1)


async def test_what_the_database_refuses_is_refused_for_good() -> None:
    store = FakeStore(psycopg.errors.NotNullViolation("null"))
    status, body = await mutate(store, "createBatchChunk", process_id=1, **CHUNK)
    assert status == 200
    assert body["errors"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"not json", b'"text"'])
async def test_a_body_that_is_no_request_is_a_bad_request(body: bytes) -> None:
    status, answered = await post(FakeStore(), body)
    assert status == 400
    assert "query" in answered["errors"][0]["message"]


async def test_queries_show_what_is_stored() -> None:
    query = "{chunks(process_id: 5) {chunk_id created_at} statuses(process_id: 5) {status}}"
    status, body = await post(FakeStore(), json.dumps({"query": query}).encode())
    assert (status, body["data"]["statuses"]) == (200, [])
    assert body["data"]["chunks"][0]["chunk_id"] == 1
