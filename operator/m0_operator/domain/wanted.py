"""What is asked for: which videos, from where on, and what a person means by an id. Pure."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from m0_contract.request import MAX_PROCESS_ID

from m0_operator.domain.views import parse_time

PAGE = 100
"""Resources that are asked for at a time; part of what a continue token means."""


class BadTokenError(Exception):
    """This is no continue token of ours."""


@dataclass(frozen=True, slots=True)
class VideoFilter:
    """Which videos; each criterion given must hold, none given means all.

    Attributes:
        phases: any of these; so with the others.
        prefix: how the process_id begins, as text.
        since: created at this time or later.
    """

    phases: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    prefix: str = ""
    since: datetime | None = None

    def matches(self, raw: Mapping[str, Any]) -> bool:
        """Whether the resource is meant."""
        spec, status = raw.get("spec") or {}, raw.get("status") or {}
        code = (status.get("failure") or {}).get("code")
        created = parse_time(raw["metadata"].get("creationTimestamp"))
        return (
            (not self.phases or (status.get("phase") or "Queued") in self.phases)
            and (not self.modalities or spec.get("inferenceModality", "batch") in self.modalities)
            and (not self.codes or code in self.codes)
            and str(spec.get("processId", "")).startswith(self.prefix)
            and (self.since is None or (created is not None and created >= self.since))
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: after `skip` items of the part that `token` (at `version`) gives."""

    token: str = ""
    version: str = ""
    skip: int = 0

    def encode(self) -> str:
        """As a continue token."""
        return urlsafe_b64encode(
            json.dumps([self.token, self.version, self.skip]).encode()
        ).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """From a continue token; empty is the beginning.

        Raises:
            BadTokenError: it is none of ours.
        """
        if not text:
            return cls()
        try:
            token, version, skip = json.loads(urlsafe_b64decode(text.encode("ascii")))
        except (ValueError, TypeError) as error:
            raise BadTokenError("this is no continue token") from error
        known = isinstance(token, str) and isinstance(version, str) and type(skip) is int
        if not known or not version.isdecimal() or not 0 <= skip <= PAGE:
            raise BadTokenError("this is no continue token")
        return cls(token, version, skip)


def parse_process_id(text: str) -> tuple[int | str, ...]:
    """What a person may mean: `101` the number, or else the text; `"101"` only the text."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
        return (text,) if 1 <= len(text) <= 256 else ()
    if not 1 <= len(text) <= 256:
        return ()
    number = text.isascii() and text.isdecimal() and (text == "0" or text[0] != "0")
    return (int(text), text) if number and int(text) <= MAX_PROCESS_ID else (text,)


def is_called(raw: Mapping[str, Any], process_id: int | str) -> bool:
    """Whether this is the id of the resource: the text "101" is not the number."""
    given = (raw.get("spec") or {}).get("processId")
    return type(given) is type(process_id) and given == process_id


def is_earlier(version: str, other: str) -> bool:
    """Versions are numbers that grow; anything else is no version of this cluster."""
    known = all(text.isascii() and text.isdecimal() and len(text) < 20 for text in (version, other))
    return known and 0 < int(version) < int(other)
