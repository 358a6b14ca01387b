"""How the chunker ends: exit codes for Kubernetes, an outcome for the operator.

Kubernetes sees only the exit code and decides about retries from it
(`podFailurePolicy`); the operator reads the outcome, which the chunker leaves
as the container's termination message (at most 4096 bytes of JSON).
"""

from enum import IntEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from m0_contract.errors import ErrorCode, Stage, Verdict

TERMINATION_MESSAGE_BYTES = 4096


class ExitCode(IntEnum):
    """The chunker's exit codes; numbers from sysexits.h where one fits."""

    SUCCEEDED = 0
    USAGE = 64
    PERMANENT = 65
    INTERNAL = 70
    TRANSIENT = 75
    DISRUPTED = 143


PERMANENT_EXIT_CODES = (ExitCode.USAGE, ExitCode.PERMANENT)
"""A pod that ended with one of these is not tried again."""

EXIT_CODE_BY_VERDICT: dict[Verdict, ExitCode] = {
    Verdict.PERMANENT: ExitCode.PERMANENT,
    Verdict.TRANSIENT: ExitCode.TRANSIENT,
    Verdict.DISRUPTED: ExitCode.DISRUPTED,
}


class Failure(BaseModel):
    """Why a video failed, for people and programs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: ErrorCode
    stage: Stage
    message: str
    chunk_id: int | None = None
    field: str | None = None


class Integrity(BaseModel):
    """What went in and what came out, counted on what was really written."""

    model_config = ConfigDict(frozen=True, extra="allow")

    packets_in: int = 0
    packets_out: int = 0
    payload_sha256: str = ""


class Outcome(BaseModel):
    """What the chunker says of itself when it ends.

    Attributes:
        chunks: chunks stored, recorded and announced.
        duration_s: seconds of the source covered by them.
        size_bytes: total size of the chunks, counted once.
        mode: `copy` or `transcode`, once known.
        failure: absent on success.
        integrity: the certificate, on success.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    chunks: int = 0
    duration_s: float = 0.0
    size_bytes: int = 0
    mode: str | None = None
    failure: Failure | None = None
    integrity: Integrity | None = None
    receipt: dict[str, Any] | None = None

    def to_termination_message(self) -> str:
        """JSON of at most 4096 bytes: a long failure message is cut in its middle."""
        text = self.model_dump_json(exclude_none=True)
        excess = len(text.encode()) - TERMINATION_MESSAGE_BYTES
        if excess <= 0 or self.failure is None:
            return text
        message = self.failure.message
        # Each kept character may take six bytes of JSON (\\uXXXX): halve until it fits.
        keep = len(message)
        while keep > 16 and len(text.encode()) > TERMINATION_MESSAGE_BYTES:
            keep //= 2
            cut = message[: keep // 2] + " … " + message[len(message) - keep // 2 :]
            failure = self.failure.model_copy(update={"message": cut})
            text = self.model_copy(update={"failure": failure}).model_dump_json(exclude_none=True)
        return text


def parse_outcome(text: str | None) -> Outcome | None:
    """The outcome in a termination message, or None where there is none.

    With `terminationMessagePolicy: FallbackToLogsOnError` the message may be the
    log's tail instead: that is no outcome.
    """
    if not text:
        return None
    try:
        return Outcome.model_validate_json(text)
    except ValidationError:
        return None
