"""The models of answers and bodies, as the OpenAPI document and the terminal have them."""

import base64
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from m0_operator.domain.headers import pack_headers
from m0_operator.domain.letters import Letter
from m0_operator.domain.views import VideoSummary
from m0_operator.services.dead_letters import FullLetter

MARK = "── "
"""What follows it on a line of a log is the gateway's own: a pod's name, or why it ends here."""


class Queued(BaseModel):
    """The broker has the request."""

    process_id: int | str
    status: Literal["QUEUED"]
    message: str


class Health(BaseModel):
    """The service and what it depends on."""

    status: Literal["ok", "degraded"]
    dependencies: dict[str, str] = Field(description="Each `ok`, or what is wrong.")


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class VideoList(BaseModel):
    """A page of videos, in the order of their names."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    items: list[VideoSummary]
    continue_token: str | None = Field(
        None,
        alias="continue",
        description="Give it back as `continue` for the next page. There may be more as long as it "
        "is not null, even when this page has few items or none.",
    )


class VideoChange(BaseModel):
    """What is wished of a video."""

    model_config = ConfigDict(extra="forbid", strict=True)

    suspend: bool = Field(description="Whether it is held back.")


class Stopping(BaseModel):
    """It is being stopped, or was."""

    process_id: int | str
    status: Literal["STOPPING", "STOPPED"]
    message: str


class LetterList(BaseModel):
    """Dead letters, the newest failure first."""

    items: tuple[Letter, ...]
    matched: int = Field(description="How many were meant, also those beyond the limit.")
    complete: bool = Field(description="Whether the whole queue was looked at.")


class LetterDetail(Letter):
    """A dead letter with all that came with it."""

    body: str = Field(description="The request as it came: text, or base64.")
    body_encoding: Literal["utf-8", "base64"]
    headers: dict[str, Any] = Field(description="The message's own headers.")

    @classmethod
    def from_letter(cls, full: FullLetter) -> Self:
        """A letter for people."""
        try:
            body, encoding = full.body.decode(), "utf-8"
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(full.body).decode(), "base64"
        return cls(
            **full.letter.model_dump(),
            body=body,
            body_encoding="utf-8" if encoding == "utf-8" else "base64",
            headers=pack_headers(full.headers),
        )


class Purged(BaseModel):
    """What became of the dead letters that were meant."""

    items: tuple[Letter, ...] = Field(description="Removed for good, in the queue's order.")
    missing: tuple[str, ...] = Field(description="Ids that were named and not seen.")
    complete: bool = Field(description="Whether the whole queue was looked at.")


class Replayed(BaseModel):
    """The broker has the request again."""

    id: str
    process_id: int | str | None
    status: Literal["QUEUED"]
    message: str
