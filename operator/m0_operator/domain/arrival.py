"""What a message means for a resource that has its name already."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from m0_contract.request import RequestError
from m0_contract.resource import VideoChunkJobSpec

from m0_operator.domain.deadletter import build_failure_id, is_letter_id
from m0_operator.domain.observed import Resource
from m0_operator.domain.status import ConditionType

MAX_LINEAGE = 20
"""Of a request that is replayed more often, the first replays are forgotten."""

COMES_AGAIN_WITHIN = timedelta(minutes=5)
"""A broker notices within a minute that a reader is gone; then its message waits for its turn."""

Verdict = Literal["duplicate", "conflict", "replace", "wait"]


def compare(existing: Resource, manifest: Mapping[str, Any]) -> Verdict:
    """Whether it is nothing new, another request under the same id, or a new try.

    Args:
        manifest: the resource that the message would become.
    """
    status = existing.status
    if existing.deleting:
        return "wait"
    if status.failed:
        # Its dead letter may be on its way back to us before we have recorded it as sent.
        return "replace" if status.is_true(ConditionType.DEAD_LETTERED) else "wait"
    return "duplicate" if manifest and same_request(existing.spec, manifest) else "conflict"


def was_replayed(existing: Resource, message_id: str) -> bool:
    """Whether this very dead letter is behind an existing resource already.

    Whoever replays a letter may do so twice: out of doubt, or because the first time ended
    in a crash. The replay keeps the letter's id, so that the second one is known.
    """
    origin = existing.spec.origin
    return bool(message_id) and origin is not None and message_id in origin.lineage


def build_lineage(message_id: str, existing: Resource | None) -> tuple[str, ...]:
    """The lineage of a request: of the one that it follows, with the letter that it replays.

    Args:
        message_id: the message's own.
        existing: the failed resource that it replaces, if there is one.
    """
    before: tuple[str, ...] = ()
    if existing is not None:
        origin = existing.spec.origin
        before = (*(origin.lineage if origin else ()), build_failure_id(existing.uid))
    if is_letter_id(message_id) and message_id not in before:
        before = (*before, message_id)
    return before[-MAX_LINEAGE:]


def may_be_echo(existing: Resource, manifest: Mapping[str, Any]) -> bool:
    """Whether a redelivered message is the very one behind a resource that has failed meanwhile.

    Its acknowledgement was lost in a crash; taken for a replay it would run, and be
    dead-lettered, twice. What was acknowledged can't come back: a message that looks
    the same is a replay then, although it may have been delivered before.
    """
    origin = existing.spec.origin
    return (
        not existing.status.acknowledged
        and existing.status.failed
        and not existing.deleting
        and origin is not None
        and origin.headers == manifest["spec"]["origin"]["headers"]
        and same_request(existing.spec, manifest)
    )


def may_come_again(existing: Resource, manifest: Mapping[str, Any], now: datetime) -> bool:
    """Whether a failed resource's own message, another than this one, may still come back to us.

    It was not acknowledged, as far as is on record, and the broker may not even have noticed
    that its reader is gone. Once the resource has made room for another request, nobody would
    know the message any more: it would be run, and be dead-lettered, twice. One that asks for
    the same needs no waiting: whichever comes second then is a duplicate.
    """
    origin = existing.spec.origin
    if origin is None or existing.status.acknowledged or same_request(existing.spec, manifest):
        return False
    try:
        return now < datetime.fromisoformat(origin.received_at) + COMES_AGAIN_WITHIN
    except (ValueError, TypeError):
        # A person may apply a resource with an origin of their own.
        return False


def same_request(existing: VideoChunkJobSpec, manifest: Mapping[str, Any]) -> bool:
    """Whether a resource and a new manifest ask for the same thing."""
    new = VideoChunkJobSpec.model_validate(manifest["spec"])
    if existing.origin is not None and new.origin is not None:
        return existing.origin.body_sha256 == new.origin.body_sha256
    if existing.rejection is not None or new.rejection is not None:
        return False
    try:
        return existing.to_request() == new.to_request()
    except RequestError:
        return False
