"""What is said of one finished chunk: to M1, to the database, to the operator."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from m0_contract.request import Modality, VideoRequest

RESULTS_QUEUE = "M0_RESULTS_QUEUE"
PRIORITY_QUEUE = "M0_PRIORITY_QUEUE"
DEADLETTER_QUEUE = "M0_DEADLETTER_QUEUE"
PROGRESS_QUEUE = "M0_PROGRESS_QUEUE"


class ChunkMessage(BaseModel):
    """One message on the results queue.

    Attributes:
        chunk_hash: SHA-256 of the chunk's bytes, lower-case hex.
        cloud_stream_path: URL of the persistent object.
        cache_path: URL of the cached object.
        start_time: seconds in the source's own timeline, as really cut.
        end_time: likewise; equals the next chunk's `start_time`.
        duration: `end_time - start_time`, seconds.
        time_offset: seconds to add to a time inside the chunk to get the source's.
    """

    model_config = ConfigDict(frozen=True)

    process_id: int | str
    chunk_id: int
    chunk_hash: str
    cloud_stream_path: str
    cache_path: str
    start_time: float
    end_time: float
    duration: float
    time_offset: float
    inference_config: dict[str, Any]
    inference_modality: Modality

    def to_json(self, request: VideoRequest) -> str:
        """Compact JSON; the request's unknown fields ride along, never over our own."""
        own = self.model_dump()
        extra = {k: v for k, v in (request.model_extra or {}).items() if k not in own}
        return to_json(own | extra).decode()


class Progress(BaseModel):
    """How far a Job has come, sent to the operator beside each chunk message.

    Attributes:
        resource: name of the VideoChunkJob.
        attempt: the Job's attempt, from 1.
        chunks: chunks announced so far, by all attempts together.
        done_s: seconds of the source covered so far.
        total_s: the source's duration in seconds; None when unknown.
        size_bytes: bytes of all chunks so far, counted once.
        left_s: seconds until it is done, at the speed so far; None when unknown.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    resource: str
    attempt: int
    chunks: int
    done_s: float
    total_s: float | None = None
    size_bytes: int = 0
    left_s: float | None = None
