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

MAX_NOTE = 300
"""Characters of one note where there are too many of them."""


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
    """What went in and what came out, counted on what was really written.

    The chunker adds more: `streams` (`kind`, `in`, `out` of the first few), `bytes_out`,
    `covered_s`, `missing_s`, `largest_gap_s`, `largest_shift_s`, `repeated` (overlap), `encoded`,
    `leading_pictures`, `notes` (sentences on what was done otherwise than asked).
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    packets_in: int = 0
    packets_out: int = 0
    payload_sha256: str = ""


class Outcome(BaseModel):
    """What the chunker says of itself when it ends.

    Attributes:
        chunks: chunks stored, recorded and announced, by all attempts together.
        duration_s: seconds of the source covered by them.
        size_bytes: total size of the chunks, counted once.
        mode: `copy` or `transcode`, once known.
        failure: absent on success.
        integrity: the certificate, on success.
        receipt: what it took: times, bytes, memory; `resumed_at`, chunks of earlier attempts.
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
        """JSON of at most 4096 bytes; what people miss least is shortened first.

        A longer one would be cut by the kubelet, and a success without a readable outcome
        proves nothing.
        """
        said = self
        for shorten in (_shorten_notes, _shorten_failure, _drop_streams, _drop_receipt):
            if len(_encode(said)) <= TERMINATION_MESSAGE_BYTES:
                break
            said = shorten(said)
        return _encode(said).decode()


def _encode(outcome: Outcome) -> bytes:
    return outcome.model_dump_json(exclude_none=True).encode()


def _shorten_notes(outcome: Outcome) -> Outcome:
    """Fewer of the certificate's notes, which may be one a cut; the last says how many went."""
    extra = (outcome.integrity.model_extra or {}) if outcome.integrity else {}
    notes = [str(note)[:MAX_NOTE] for note in extra.get("notes") or ()]
    kept = len(notes)
    while notes and len(_encode(outcome)) > TERMINATION_MESSAGE_BYTES and kept:
        kept //= 2
        shown = [*notes[:kept], f"and {len(notes) - kept} more of such notes"]
        outcome = _with_integrity(outcome, notes=shown)
    return outcome


def _shorten_failure(outcome: Outcome) -> Outcome:
    """A long message, cut in its middle."""
    if outcome.failure is None:
        return outcome
    message = outcome.failure.message
    # Each kept character may take six bytes of JSON (\\uXXXX): halve until it fits.
    keep = len(message)
    while keep > 16 and len(_encode(outcome)) > TERMINATION_MESSAGE_BYTES:
        keep //= 2
        cut = message[: keep // 2] + " … " + message[len(message) - keep // 2 :]
        failure = outcome.failure.model_copy(update={"message": cut})
        outcome = outcome.model_copy(update={"failure": failure})
    return outcome


def _drop_streams(outcome: Outcome) -> Outcome:
    return _with_integrity(outcome, streams=[])


def _drop_receipt(outcome: Outcome) -> Outcome:
    return outcome.model_copy(update={"receipt": None})


def _with_integrity(outcome: Outcome, **changes: object) -> Outcome:
    if outcome.integrity is None:
        return outcome
    values = outcome.integrity.model_dump() | changes
    return outcome.model_copy(update={"integrity": Integrity.model_validate(values)})


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
