"""The tables, and the only code that speaks SQL.

Each call opens a connection of its own: a few milliseconds, and nothing to repair when the
database has been restarted.
"""

from typing import Any, Literal, LiteralString

import psycopg
from psycopg.rows import dict_row

ChunkTable = Literal["batch_chunk", "live_chunk"]
Row = dict[str, Any]

CHUNK_TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS {table} (
  process_id bigint NOT NULL,
  chunk_id integer NOT NULL,
  chunk_hash text NOT NULL,
  chunk_duration double precision NOT NULL,
  start_time double precision NOT NULL,
  end_time double precision NOT NULL,
  time_offset double precision NOT NULL,
  cloud_path text NOT NULL,
  cache_path text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (process_id, chunk_id)
)"""

STATUS_TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS processing_status (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  process_id bigint NOT NULL,
  modality text NOT NULL,
  status text NOT NULL,
  error text,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS processing_status_process ON processing_status (process_id, id)"""

# A caller repeats what it isn't sure of. The same chunk again changes nothing; a chunk with other
# content comes from a later attempt, and what that one stored is what the paths now hold.
UPSERT_CHUNK: LiteralString = """
INSERT INTO {table} AS old (process_id, chunk_id, chunk_hash, chunk_duration, start_time, end_time,
  time_offset, cloud_path, cache_path)
VALUES (%(process_id)s, %(chunk_id)s, %(chunk_hash)s, %(chunk_duration)s, %(start_time)s,
  %(end_time)s, %(time_offset)s, %(cloud_path)s, %(cache_path)s)
ON CONFLICT (process_id, chunk_id) DO UPDATE SET
  chunk_hash = excluded.chunk_hash, chunk_duration = excluded.chunk_duration,
  start_time = excluded.start_time, end_time = excluded.end_time,
  time_offset = excluded.time_offset, cloud_path = excluded.cloud_path,
  cache_path = excluded.cache_path
RETURNING *"""

LATEST_STATUS: LiteralString = """
SELECT * FROM processing_status WHERE process_id = %(process_id)s ORDER BY id DESC LIMIT 1"""

APPEND_STATUS: LiteralString = """
INSERT INTO processing_status (process_id, modality, status, error)
VALUES (%(process_id)s, %(modality)s, %(status)s, %(error)s) RETURNING *"""


class Store:
    """PostgreSQL, reached anew for each call.

    Every method raises `psycopg.OperationalError` when the database can't be reached.
    """

    def __init__(self, url: str) -> None:
        """`url` is a libpq one, `postgresql://…`."""
        self._url = url

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        return await psycopg.AsyncConnection.connect(
            self._url,
            connect_timeout=5,
            options="-c statement_timeout=10000",  # milliseconds
            row_factory=dict_row,
        )

    async def create_tables(self) -> None:
        """Make what is missing."""
        async with await self._connect() as connection:
            for table in ("batch_chunk", "live_chunk"):
                await connection.execute(CHUNK_TABLE.replace("{table}", table))
            await connection.execute(STATUS_TABLE)

    async def ping(self) -> None:
        """Raise unless the database answers."""
        async with await self._connect() as connection:
            await connection.execute("SELECT 1")

    async def save_chunk(self, table: ChunkTable, values: Row) -> Row:
        """Insert a chunk, or bring its row up to date; the row."""
        async with await self._connect() as connection:
            cursor = await connection.execute(UPSERT_CHUNK.replace("{table}", table), values)
            return _the_one(await cursor.fetchone())

    async def append_status(self, values: Row) -> Row:
        """Append a status unless it repeats the video's latest one; the latest row."""
        async with await self._connect() as connection:
            # Two callers at once would both find no latest row: one waits for the other.
            await connection.execute("SELECT pg_advisory_xact_lock(%(process_id)s)", values)
            cursor = await connection.execute(LATEST_STATUS, values)
            latest = await cursor.fetchone()
            if latest and all(latest[key] == values[key] for key in values):
                return latest
            cursor = await connection.execute(APPEND_STATUS, values)
            return _the_one(await cursor.fetchone())

    async def list_chunks(self, process_id: int) -> list[Row]:
        """A video's chunks, of both kinds, in order."""
        async with await self._connect() as connection:
            cursor = await connection.execute(
                "SELECT * FROM batch_chunk WHERE process_id = %(id)s"
                " UNION ALL SELECT * FROM live_chunk WHERE process_id = %(id)s ORDER BY chunk_id",
                {"id": process_id},
            )
            return await cursor.fetchall()

    async def list_statuses(self, process_id: int) -> list[Row]:
        """A video's statuses, oldest first."""
        async with await self._connect() as connection:
            cursor = await connection.execute(
                "SELECT * FROM processing_status WHERE process_id = %s ORDER BY id", [process_id]
            )
            return await cursor.fetchall()


def _the_one(row: Row | None) -> Row:
    assert row is not None, "RETURNING gave no row"
    return row
