"""Parameters of the routes."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import Path, Query
from m0_contract.errors import ErrorCode, Stage
from pydantic import BaseModel, ConfigDict, Field, model_validator

from m0_operator.domain.letters import LetterFilter

ProcessId = Annotated[
    str,
    Path(
        description="An integer, or a text of up to 256 characters, percent-encoded. `101` is the "
        'number, or the text if there is no such number; `"101"` (`%22101%22`) only the text.',
        examples=["101"],
    ),
]
LetterId = Annotated[str, Path(description="Its id, percent-encoded.", max_length=1024)]
LetterCode = Annotated[ErrorCode | None, Query(description="Why it failed.")]
LetterStage = Annotated[Stage | None, Query(description="Where it failed.")]
LetterProcessId = Annotated[str | None, Query(max_length=256)]
LetterSince = Annotated[
    datetime | None, Query(description="Failed then or later, RFC 3339; UTC if not said.")
]


class LetterChoice(BaseModel):
    """Which dead letters are meant: by id, by criteria that must all hold, or all of them."""

    model_config = ConfigDict(extra="forbid")

    id: list[Annotated[str, Field(max_length=1024)]] = Field(
        default_factory=list, max_length=500, description="Any of these."
    )
    code: LetterCode = None
    stage: LetterStage = None
    process_id: LetterProcessId = None
    since: LetterSince = None
    all: bool = Field(default=False, description="All that there are; nothing else is given then.")

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        criteria = (self.code, self.stage, self.process_id, self.since)
        ways = (bool(self.id), any(item is not None for item in criteria), self.all)
        if sum(ways) != 1:
            raise ValueError("which ones? Name ids, or criteria, or say all=true")
        return self

    def to_filter(self) -> LetterFilter:
        """The same for the services."""
        return LetterFilter(
            ids=frozenset(self.id) or None,
            code=self.code,
            stage=self.stage,
            process_id=self.process_id,
            since=self.since,
        )
