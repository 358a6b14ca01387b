"""A message becomes a resource, then is acknowledged.

Taken one at a time and only while a slot is free: priority and backlog stay in
the broker. Nothing is acknowledged before a resource or a dead letter holds it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from m0_contract.errors import ErrorCode, Stage
from m0_contract.request import RequestError, VideoRequest, parse_request
from m0_contract.resource import Origin, Rejection
from m0_wire import crash

from m0_operator.domain.arrival import (
    Verdict,
    build_lineage,
    compare,
    may_be_echo,
    may_come_again,
    was_replayed,
)
from m0_operator.domain.deadletter import build_headers, build_refusal_id
from m0_operator.domain.headers import pack_headers
from m0_operator.domain.observed import Resource, parse_resource
from m0_operator.domain.resource_builder import (
    build_origin,
    build_rejected,
    build_resource,
)
from m0_operator.domain.status import build_failure, cap
from m0_operator.errors import (
    STOP,
    TRY_AGAIN,
    AlreadyExistsError,
    ClusterRejectedError,
    ClusterUnavailableError,
)
from m0_operator.logs import about
from m0_operator.services.aside import Aside, Held
from m0_operator.services.noting import note_video
from m0_operator.services.pause import pause
from m0_operator.services.ports import DeadLetters, Inbox, Resources
from m0_operator.services.slots import Slots
from m0_operator.services.telemetry import UNHEARD, Telemetry

logger = logging.getLogger(__name__)

IDLE_S = 0.25
MAX_PAUSE_S = 10.0
GONE_TIMEOUT_S = 3.0
CREATE_TRIES = 5
MAX_FIELD = 256
PROBE = "video-none"
"""Asked for only to see whether the cluster answers."""

Result = Literal["created", "duplicate", "dead-lettered"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a message; `uid` is of the resource that holds it."""

    result: Result
    uid: str = ""


class _NotYetError(Exception):
    """The message can't be settled now, others may."""


class Intake:
    """Takes requests from the queue."""

    def __init__(
        self,
        inbox: Inbox,
        resources: Resources,
        dead_letters: DeadLetters,
        *,
        slots: Slots,
        acknowledged: set[str],
        namespace: str,
        wake: Callable[[str], None],
        now: Callable[[], datetime],
        fence: Callable[[], None],
        telemetry: Telemetry = UNHEARD,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Args:
        acknowledged: uids of resources whose message is off the queue; added to here.
        wake: has a resource reconciled soon.
        now: wall-clock time, UTC.
        fence: raises LeadershipLostError once another operator may be acting.
        """
        self._inbox = inbox
        self._resources = resources
        self._dead_letters = dead_letters
        self._slots = slots
        self._acknowledged = acknowledged
        self._namespace = namespace
        self._wake = wake
        self._now = now
        self._fence = fence
        self._telemetry = telemetry
        self._sleep = sleep
        self._aside = Aside(now)
        self._doubtful = False
        self.rounds = 0
        self.errors = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Take messages until `stop`; ends after the current one."""
        failures = 0
        while not stop.is_set():
            pause_s = IDLE_S
            try:
                if await self.step():
                    pause_s = 0.0
                failures = 0
            except Exception as error:
                failures += 1
                self.errors += 1
                pause_s = min(MAX_PAUSE_S, 0.5 * 2 ** min(failures, 6))
                logger.warning(
                    "Intake paused",
                    # Known errors say all in their message; a bug needs its place.
                    exc_info=None
                    if isinstance(error, (*TRY_AGAIN, *STOP, _NotYetError))
                    else error,
                    extra={"reason": str(error), "retry_s": round(pause_s, 1)},
                )
            self.rounds += 1
            if pause_s and not stop.is_set():
                await pause(stop, pause_s)

    async def step(self) -> bool:
        """Take one message if there is a slot for it; whether one was taken."""
        with about():
            return await self._step()

    async def _step(self) -> bool:
        if not self._slots.free:
            return False
        held = self._aside.find_due() or await self._fetch()
        if held is None:
            return False
        delivery = held.delivery
        crash.point("intake.taken")
        try:
            taken = await self._take(held)
        except Exception as error:
            self._doubtful = away = isinstance(error, ClusterUnavailableError)
            # A quorum queue counts how often it gets a message back, and drops it at last.
            if isinstance(error, STOP) or not self._aside.put(held, next_one=away):
                await self._give_back(held)
                raise
            if isinstance(error, TRY_AGAIN):
                raise
            # A message that nobody foresaw must not keep all others waiting either.
            _say_set_aside(error)
            return True
        except BaseException:
            await self._give_back(held)
            raise
        self._aside.let_go(held)
        await delivery.ack()
        crash.point("intake.acked")
        if taken.uid:
            self._acknowledged.add(taken.uid)
        sent_at = delivery.sent_at
        waited_s = (self._now() - sent_at).total_seconds() if sent_at else None
        self._telemetry.took(taken.result, waited_s)
        logger.info("Request taken", extra={"result": taken.result, "priority": delivery.priority})
        return True

    async def _fetch(self) -> Held | None:
        if self._doubtful:
            # Nothing is taken that could only be given back.
            await self._resources.fetch_resource(PROBE)
            self._doubtful = False
        delivery = await self._inbox.fetch()
        return Held(delivery, since=self._now()) if delivery is not None else None

    async def _give_back(self, held: Held) -> None:
        self._aside.let_go(held)
        await held.delivery.requeue()

    async def _take(self, held: Held) -> Taken:
        if held.refusal is not None:
            # Its dead letter may be out already: it stays refused, whatever is true by now.
            return await self._dead_letter(held, *held.refusal)
        try:
            request = parse_request(held.delivery.body)
        except RequestError as error:
            if error.process_id is None:
                return await self._dead_letter(held, error.code, str(error), error.field)
            return await self._take_invalid(held, error)
        return await self._take_valid(held, request)

    async def _take_valid(self, held: Held, request: VideoRequest) -> Taken:
        manifest = build_resource(request, _build_origin(held), self._namespace)
        try:
            return await self._create(held, manifest)
        except ClusterRejectedError as error:
            refusal = RequestError(
                ErrorCode.INVALID_REQUEST,
                f"the Kubernetes API refuses the request: {error}",
                process_id=request.process_id,
                inference_modality=request.inference_modality,
            )
            return await self._take_invalid(held, refusal)

    async def _take_invalid(self, held: Held, error: RequestError) -> Taken:
        assert error.process_id is not None  # noqa: S101 - the callers have looked
        rejection = Rejection(
            code=error.code,
            message=cap(str(error)),
            field=cap(error.field, MAX_FIELD) if error.field else None,
        )
        manifest = build_rejected(
            error.process_id,
            error.inference_modality,
            _build_origin(held),
            rejection,
            self._namespace,
        )
        try:
            return await self._create(held, manifest, refusal=error)
        except ClusterRejectedError:
            return await self._dead_letter(
                held, error.code, str(error), error.field, error.process_id
            )

    async def _create(
        self, held: Held, manifest: dict[str, Any], refusal: RequestError | None = None
    ) -> Taken:
        delivery, name = held.delivery, manifest["metadata"]["name"]
        manifest = _with_lineage(manifest, build_lineage(delivery.message_id, None))
        for _ in range(CREATE_TRIES):
            self._fence()
            try:
                created = parse_resource(await self._resources.create_resource(manifest))
            except AlreadyExistsError:
                raw = await self._resources.fetch_resource(name)
            else:
                crash.point("intake.created", name)
                note_video(created)
                self._telemetry.created(created, held.since, self._now())
                self._slots.observe(created)
                self._wake(name)
                return Taken("created", created.uid)
            if raw is None:
                continue
            existing = parse_resource(raw)
            note_video(existing)
            # Perhaps made by ourselves just now, the answer to that lost.
            self._slots.observe(existing)
            if was_replayed(existing, delivery.message_id):
                return Taken("duplicate", existing.uid)
            verdict = compare(existing, manifest)
            if verdict == "duplicate" or self._is_echo(held, existing, manifest):
                return Taken("duplicate", existing.uid)
            if verdict == "conflict":
                return await self._refuse(held, existing, refusal)
            if verdict == "replace":
                known = existing.uid in self._acknowledged
                if not known and may_come_again(existing, manifest, self._now()):
                    raise _NotYetError(f"the message behind {name} may come again: it goes first")
                manifest = _with_lineage(manifest, build_lineage(delivery.message_id, existing))
            await self._make_room(existing, verdict)
        raise _NotYetError(f"{name} comes and goes")

    def _is_echo(self, held: Held, existing: Resource, manifest: dict[str, Any]) -> bool:
        # Acknowledged by ourselves, on record or not: then this is another message.
        known = existing.uid in self._acknowledged
        # Held since a try whose answer was lost, it may have made the resource then: this very one.
        made = (
            existing.spec.origin is not None
            and held.due is not None
            and (existing.spec.origin.received_at == manifest["spec"]["origin"]["receivedAt"])
        )
        again = held.delivery.redelivered or made
        return again and not known and may_be_echo(existing, manifest)

    async def _make_room(self, existing: Resource, verdict: Verdict) -> None:
        """Wait until a finished resource has gone, so that a new one can take its name."""
        if verdict == "replace":
            await self._resources.delete_resource(existing.name, existing.uid)
            crash.point("intake.replacing", existing.name)
        waited_s = 0.0
        while waited_s < GONE_TIMEOUT_S:
            self._wake(existing.name)
            await self._sleep(0.1)
            waited_s += 0.1
            raw = await self._resources.fetch_resource(existing.name)
            if raw is None or raw["metadata"]["uid"] != existing.uid:
                return
            if verdict == "wait" and compare(parse_resource(raw), {}) == "replace":
                return
        raise _NotYetError(f"{existing.name} is still there")

    async def _refuse(self, held: Held, existing: Resource, refusal: RequestError | None) -> Taken:
        process_id = existing.spec.process_id
        if refusal is not None:
            return await self._dead_letter(
                held, refusal.code, str(refusal), refusal.field, process_id
            )
        message = f"process_id {process_id} is used by another request, {existing.name}"
        return await self._dead_letter(held, ErrorCode.CONFLICT, message, None, process_id)

    async def _dead_letter(
        self,
        held: Held,
        code: ErrorCode,
        message: str,
        field: str | None,
        process_id: int | str | None = None,
    ) -> Taken:
        self._fence()
        held.refusal = (code, message, field, process_id)
        delivery, now = held.delivery, self._now()
        original = pack_headers(delivery.headers)
        headers = build_headers(
            build_failure(code, message, stage=Stage.INTAKE, field=field),
            original,
            process_id=process_id,
            attempts=0,
            failed_at=now,
            first_seen_at=now,
        )
        await self._dead_letters.publish(
            delivery.body,
            headers=headers,
            priority=delivery.priority,
            message_id=build_refusal_id(delivery.body, original, delivery.message_id),
        )
        crash.point("intake.refused")
        self._telemetry.refused(code)
        logger.warning(
            "Request refused",
            extra={"process_id": process_id, "code": code.value, "reason": message},
        )
        return Taken("dead-lettered")


def _build_origin(held: Held) -> Origin:
    delivery = held.delivery
    return build_origin(delivery.body, delivery.headers, delivery.priority, held.since)


def _with_lineage(manifest: dict[str, Any], lineage: tuple[str, ...]) -> dict[str, Any]:
    spec = manifest["spec"]
    origin = {**spec["origin"], "lineage": list(lineage)}
    return {**manifest, "spec": {**spec, "origin": origin}}


def _say_set_aside(error: Exception) -> None:
    foreseen = isinstance(error, _NotYetError)
    logger.log(
        logging.INFO if foreseen else logging.ERROR,
        "Request set aside",
        exc_info=None if foreseen else error,
        extra={"reason": str(error)},
    )
