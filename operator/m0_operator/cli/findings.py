"""What `m0 doctor` says of one thing that it looked at."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: `warn` works and could be better, `unknown` can't be told from here.
        fix: what to do; empty when nothing is to be done.
    """

    what: str
    state: State
    detail: str
    fix: str = ""
