"""Chunk rows, through the backend's GraphQL mutations."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from m0_contract.chunk import ChunkMessage
from m0_contract.errors import ErrorCode

from m0_chunker.adapters.patience import patiently
from m0_chunker.errors import ChunkerError
from m0_chunker.tracing import UNTRACED, Attributes, Trace


class Database(Protocol):
    """Where a chunk becomes a row.

    Attributes:
        waits: whether `record` ever waits.
    """

    @property
    def waits(self) -> bool:
        """See above."""
        ...

    async def record(self, message: ChunkMessage) -> None:
        """Create the row; returns when it exists.

        Raises:
            ChunkerError: DATABASE_*.
        """
        ...


class NoDatabase:
    """For a person at a terminal, without a backend."""

    waits = False

    async def record(self, message: ChunkMessage) -> None:
        """Do nothing."""


class GraphqlDatabase:
    """See `Database`."""

    waits = True

    def __init__(
        self,
        mutate: Callable[[str, dict[str, object]], Awaitable[None]],
        trace: Trace = UNTRACED,
    ) -> None:
        """`mutate` is `m0_wire.backend.Backend.mutate`."""
        self._mutate, self._trace = mutate, trace

    async def record(self, message: ChunkMessage) -> None:
        """See `Database`."""
        live = message.inference_modality == "live"
        name = "createLiveChunk" if live else "createBatchChunk"
        said: Attributes = {"graphql.operation.type": "mutation", "graphql.operation.name": name}
        with self._trace.step(message.chunk_id, "row", "client", said):
            await self._record(name, message)

    async def _record(self, name: str, message: ChunkMessage) -> None:
        from m0_wire.errors import (  # noqa: PLC0415 - only where there is a backend
            BackendRejectedError,
            BackendUnavailableError,
        )

        try:
            await patiently(
                lambda: self._mutate(name, build_row(message)),
                "the backend",
                BackendUnavailableError,
            )
        except BackendRejectedError as error:
            raise ChunkerError(ErrorCode.DATABASE_REJECTED, str(error)) from error
        except BackendUnavailableError as error:
            raise ChunkerError(ErrorCode.DATABASE_UNREACHABLE, str(error)) from error


def build_row(message: ChunkMessage) -> dict[str, object]:
    """The mutation's variables, named as the contract has them."""
    return {
        "chunk_hash": message.chunk_hash,
        "process_id": message.process_id,
        "chunk_id": message.chunk_id,
        "chunk_duration": message.duration,
        "start_time": message.start_time,
        "end_time": message.end_time,
        "time_offset": message.time_offset,
        "cloud_path": message.cloud_stream_path,
        "cache_path": message.cache_path,
    }
