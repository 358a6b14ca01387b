"""What a message in the dead-letter queue says; a stranger's as far as it says anything."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from m0_operator.domain.deadletter import LINEAGE, build_refusal_id
from m0_operator.domain.headers import pack_headers


class Letter(BaseModel):
    """A dead letter without its body. A text that the message doesn't say is empty."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(
        description="The message's; for one without, made from its content: the same at each look."
    )
    code: str = Field(description="Why it failed; empty, as all texts, when it doesn't say.")
    stage: str = Field(description="Where it failed.")
    message: str = Field(description="Why it failed, for people.")
    field: str = Field(description="The bad fields' names.")
    chunk_id: int | None
    process_id: int | str | None
    attempts: int | None = Field(description="Pods that were started for it.")
    failed_at: str = Field(description="RFC 3339, as `first_seen_at`.")
    first_seen_at: str
    priority: int = Field(description="The request's own, 0-9.")
    size_bytes: int
    body_sha256: str
    lineage: tuple[str, ...] = Field(
        description="Dead letters that it was replayed from, oldest first."
    )

    @property
    def key(self) -> tuple[str, str]:
        """Equal for two copies of one letter."""
        return self.id, self.body_sha256

    @property
    def failed(self) -> datetime | None:
        """When it failed, if that can be read."""
        return _moment(self.failed_at)


def parse_letter(
    body: bytes, headers: Mapping[str, Any], *, priority: int, message_id: str
) -> Letter:
    """Read a message; never fails.

    Args:
        headers: without those that the broker changes from one delivery to the next.
    """
    return Letter(
        id=message_id or build_refusal_id(body, pack_headers(headers), ""),
        code=_text(headers.get("x-m0-error-code")),
        stage=_text(headers.get("x-m0-stage")),
        message=_text(headers.get("x-m0-error-message")),
        field=_text(headers.get("x-m0-error-field")),
        chunk_id=_number(headers.get("x-m0-chunk-id")),
        process_id=_process_id(headers.get("x-m0-process-id")),
        attempts=_number(headers.get("x-m0-attempts")),
        failed_at=_text(headers.get("x-m0-failed-at")),
        first_seen_at=_text(headers.get("x-m0-first-seen-at")),
        priority=priority,
        size_bytes=len(body),
        body_sha256=hashlib.sha256(body).hexdigest(),
        lineage=_lineage(headers.get(LINEAGE)),
    )


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters; each criterion given must hold, none given means all.

    Attributes:
        ids: any of these.
        code: the error code, as in docs/failures.md.
        process_id: as a person types it: 101 is found by 101 and by "101".
        stage: as in docs/failures.md.
        since: failed at this time or later; a letter that doesn't say when is not meant.
    """

    ids: frozenset[str] | None = None
    code: str | None = None
    process_id: int | str | None = None
    stage: str | None = None
    since: datetime | None = None

    def matches(self, letter: Letter) -> bool:
        """Whether the letter is meant."""
        return (
            (self.ids is None or letter.id in self.ids)
            and self.code in {None, letter.code}
            and self.stage in {None, letter.stage}
            and (self.process_id is None or _same_id(self.process_id, letter.process_id))
            and (self.since is None or _not_before(letter.failed, self.since))
        )


def _same_id(wanted: int | str, given: int | str | None) -> bool:
    return given is not None and str(wanted) == str(given)


def _not_before(moment: datetime | None, since: datetime) -> bool:
    return moment is not None and moment >= _aware(since)


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case datetime():
            return _aware(value).isoformat()
        case bytes() | bytearray():
            return value.decode(errors="replace")
        case None | list() | dict():
            return ""
        case _:
            return str(value)


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else None


def _process_id(value: object) -> int | str | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else _text(value) or None


def _lineage(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else _text(value).split(",")
    return tuple(text for item in items if (text := _text(item).strip()))


def _moment(text: str) -> datetime | None:
    try:
        return _aware(datetime.fromisoformat(text))
    except ValueError:
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
