"""Intake: what each message becomes, and that nothing is acknowledged before it is safe."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from fakes.wire import FakeDelivery
from m0_operator.domain.arrival import COMES_AGAIN_WITHIN
from m0_operator.errors import (
    ClusterRejectedError,
    ClusterUnavailableError,
    LeadershipLostError,
)
from m0_operator.services import aside
from m0_operator.services.aside import HELD_AT_MOST
from m0_wire.errors import BackendUnavailableError, BrokerUnavailableError, UnroutableError

from .conftest import SUCCESS, World, failed, request_body


async def test_a_request_becomes_a_resource_and_is_then_acknowledged(world: World) -> None:
    body = request_body()
    delivery = await world.send(body, headers={"trace": "t1"}, priority=5)
    assert delivery.acked
    resource = world.cluster.resources["video-101"]
    assert base64.b64decode(resource["spec"]["origin"]["body"]) == body
    assert resource["spec"]["origin"]["priority"] == 5
    assert resource["spec"]["origin"]["headers"] == {"trace": "t1"}
    assert resource["metadata"]["labels"] == {"m0.sightapi.io/process-id": "101"}
    assert world.wakes == ["video-101"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{not json", "INVALID_JSON"),
        (b"\xff\xfe\x00", "INVALID_JSON"),
        (b"[1, 2]", "INVALID_JSON"),
        (b'{"process_id": NaN}', "INVALID_JSON"),
        (b'{"process_id": 1, "process_id": 2}', "INVALID_JSON"),
        (b"[" * 100_000, "INVALID_JSON"),
        (b"{}", "INVALID_REQUEST"),
        (b'{"process_id": -1}', "INVALID_REQUEST"),
        (b'{"process_id": true}', "INVALID_REQUEST"),
        (b" " * 10_000_000, "REQUEST_TOO_LARGE"),
    ],
    ids=[
        "not JSON",
        "not UTF-8",
        "no object",
        "NaN",
        "a key twice",
        "nested without end",
        "no process_id",
        "a negative process_id",
        "a boolean process_id",
        "ten megabytes",
    ],
)
async def test_what_can_not_be_read_is_dead_lettered_as_it_came(
    world: World, body: bytes, code: str
) -> None:
    delivery = await world.send(body, headers={"trace": "t1"}, priority=3)
    (letter,) = world.dead_letters.letters
    assert letter["body"] == body
    assert letter["priority"] == 3
    assert letter["headers"]["trace"] == "t1"
    assert letter["headers"]["x-m0-error-code"] == code
    assert letter["headers"]["x-m0-stage"] == "intake"
    assert world.cluster.resources == {}
    assert delivery.acked


async def test_headers_of_every_type_come_back_with_the_dead_letter(world: World) -> None:
    headers = {
        "bytes": bytearray(b"\xff"),
        "none": None,
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "table": {"list": [1, 1.0, Decimal("1.5"), {"deep": bytearray(b"x")}]},
    }
    await world.send(request_body(), headers=headers)
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    await world.reconcile()
    await world.send(b"{", headers=headers)
    for letter in world.dead_letters.letters:
        kept = {k: v for k, v in letter["headers"].items() if not k.startswith("x-m0-")}
        assert repr(kept) == repr(headers)


async def test_a_header_of_bytes_stops_no_dead_letter(world: World) -> None:
    await world.send(b"{", headers={"latin": b"\xe9"})
    assert world.dead_letters.letters[0]["headers"]["latin"] == bytearray(b"\xe9")


async def test_two_deliveries_of_one_refused_message_can_be_told_from_two_messages(
    world: World,
) -> None:
    for message_id in ("a", "a", "b", ""):
        await world.send(b"{", message_id=message_id)
    await world.send(b"{", headers={"trace": "t1"})
    ids = [letter["id"] for letter in world.dead_letters.letters]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


async def test_a_large_body_is_held_once(world: World) -> None:
    body = request_body(
        inference_config={"a": "<" * 200_000},
        unknown="x" * 1000,
        video_preprocessing={"chunk_duration": 4, "fps": 5, "codec": "x" * 1000},
    )
    await world.send(body)
    manifest = world.cluster.resources["video-101"]
    # Go writes "<" with six characters; etcd takes 1.5 MiB.
    assert len(json.dumps(manifest).replace("<", "\\u003c")) < 1_000_000
    assert manifest["spec"]["videoPreprocessing"] == {"chunkDuration": 4.0, "fps": 5.0}
    await world.reconcile()
    annotations = world.cluster.jobs[world.job()]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["m0.sightapi.io/request"].encode() == body


async def test_a_bad_request_with_an_id_becomes_a_resource_that_says_why(world: World) -> None:
    delivery = await world.send(request_body(destination_prefix=...))
    rejection = world.cluster.resources["video-101"]["spec"]["rejection"]
    assert rejection["code"] == "INVALID_REQUEST"
    assert rejection["field"] == "destination_prefix"
    assert delivery.acked


async def test_a_name_that_needs_escaping_becomes_a_valid_one(world: World) -> None:
    await world.send(request_body(process_id="Ünï/код 101 🎬"))
    (name,) = world.cluster.resources
    assert name.isascii()
    assert world.cluster.resources[name]["metadata"]["labels"] == {}


async def test_nothing_is_taken_while_no_slot_is_free() -> None:
    world = World(limit=2)
    for process_id in (1, 2):
        await world.send(request_body(process_id=process_id))
    asked = world.inbox.asked
    third = await world.send(request_body(process_id=3))
    assert world.inbox.asked == asked
    assert not third.acked
    await world.reconcile("video-1")
    world.cluster.end_job("video-1-00000001-1", message=SUCCESS)
    await world.reconcile("video-1")
    await world.intake.step()
    assert third.acked


async def test_the_same_request_again_is_nothing_new(world: World) -> None:
    await world.send(request_body())
    again = await world.send(request_body())
    assert again.acked
    assert len(world.cluster.resources) == 1
    assert world.dead_letters.letters == []


async def test_another_request_under_the_same_id_is_a_conflict(world: World) -> None:
    await world.send(request_body())
    other = request_body(destination_prefix="elsewhere/")
    delivery = await world.send(other)
    (letter,) = world.dead_letters.letters
    assert letter["body"] == other
    assert letter["headers"]["x-m0-error-code"] == "CONFLICT"
    assert letter["headers"]["x-m0-stage"] == "intake"
    assert delivery.acked
    await world.reconcile()
    assert world.told == ["QUEUED"], "the running one is untouched"


async def test_a_replay_of_a_failed_request_runs_again(world: World) -> None:
    body = request_body()
    await world.send(body)
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    await world.reconcile()
    letter = world.dead_letters.letters[0]
    first_uid = world.cluster.resources["video-101"]["metadata"]["uid"]
    delivery = await world.send(letter["body"], headers=letter["headers"])
    assert delivery.acked
    assert world.cluster.resources["video-101"]["metadata"]["uid"] != first_uid
    await world.reconcile()
    assert len(world.cluster.jobs) == 2
    world.cluster.end_job(world.job(), message=failed("NOT_MEDIA", "probe"), exit_code=65)
    await world.reconcile()
    headers = world.dead_letters.letters[1]["headers"]
    assert headers["x-m0-error-code"] == "NOT_MEDIA"
    assert headers["x-m0-first-seen-at"] == letter["headers"]["x-m0-first-seen-at"]


async def fail_unacknowledged(world: World, **more: Any) -> FakeDelivery:
    """The operator ends between the creation and the acknowledgement; its successor goes on."""
    world.inbox.waiting.append(
        delivery := FakeDelivery(request_body(), ack_error=BrokerUnavailableError("gone"), **more)
    )
    with pytest.raises(BrokerUnavailableError):
        await world.intake.step()
    world.restart()
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    await world.reconcile()
    return delivery


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-m0-failed-at": "2025-01-01T00:00:00Z"}, {"n": 1.0, "b": bytearray(b"x")}],
    ids=["a first try", "a replay", "odd headers"],
)
async def test_an_echo_of_a_message_whose_acknowledgement_was_lost_does_not_run_again(
    world: World, headers: dict[str, Any]
) -> None:
    await fail_unacknowledged(world, headers=headers)
    echo = await world.send(request_body(), headers=headers, redelivered=True)
    assert echo.acked
    await world.reconcile()
    assert len(world.cluster.jobs) == 1
    assert len(world.dead_letters.letters) == 1


async def test_a_replay_that_had_to_be_delivered_twice_still_runs(world: World) -> None:
    await world.send(request_body())
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    await world.reconcile()
    world.restart()
    world.cluster.fail("create_resource")
    world.inbox.waiting.append(_delivery())
    with pytest.raises(ClusterUnavailableError):
        await world.intake.step()
    await world.send(request_body(), redelivered=True)
    await world.reconcile()
    assert len(world.cluster.jobs) == 2


async def test_a_replay_by_its_dead_letter_is_no_echo_even_after_a_lost_acknowledgement(
    world: World,
) -> None:
    await fail_unacknowledged(world)
    letter = world.dead_letters.letters[0]
    await world.send(letter["body"], headers=letter["headers"], redelivered=True)
    await world.reconcile()
    assert len(world.cluster.jobs) == 2


@pytest.mark.parametrize("again", [True, False], ids=["it comes", "it does not come"])
async def test_a_failed_resource_makes_room_only_when_its_own_message_is_settled(
    world: World, again: bool
) -> None:
    await fail_unacknowledged(world)
    newer = await world.send(request_body(destination_prefix="else/"))
    assert not newer.acked
    assert not newer.requeued
    assert len(world.cluster.jobs) == 1
    if again:
        # Other messages are taken meanwhile: its own among them.
        assert (await world.send(request_body(), redelivered=True)).acked
        world.wait(5)
    else:
        world.now += COMES_AGAIN_WITHIN
    await world.intake.step()
    assert newer.acked
    await world.reconcile()
    assert len(world.cluster.jobs) == 2
    assert len(world.dead_letters.letters) == 1


async def test_only_one_message_is_the_echo_of_a_resource(world: World) -> None:
    await fail_unacknowledged(world)
    assert (await world.send(request_body(), redelivered=True)).acked
    assert len(world.cluster.jobs) == 1
    await world.send(request_body(), redelivered=True)
    await world.reconcile()
    assert len(world.cluster.jobs) == 2, "a replay that had to be delivered twice"


async def test_the_error_of_an_earlier_failure_does_not_stick_to_a_later_one(world: World) -> None:
    stale = {"x-m0-error-field": "old", "x-m0-chunk-id": 9, "trace": "t1"}
    await world.send(b"{", headers=stale)
    headers = world.dead_letters.letters[0]["headers"]
    assert "x-m0-error-field" not in headers
    assert "x-m0-chunk-id" not in headers
    assert headers["trace"] == "t1"


async def test_a_corrected_request_replaces_a_failed_one(world: World) -> None:
    await world.send(request_body(destination_prefix=...))
    await world.reconcile()
    await world.send(request_body())
    await world.reconcile()
    assert len(world.cluster.jobs) == 1
    assert len(world.dead_letters.letters) == 1


async def test_a_replay_that_overtakes_the_record_of_its_dead_letter_is_not_lost(
    world: World,
) -> None:
    await world.send(request_body())
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    world.dead_letters.error = BrokerUnavailableError("away")
    await world.reconcile()
    world.dead_letters.error = None
    first_uid = world.cluster.resources["video-101"]["metadata"]["uid"]
    delivery = await world.send(request_body())
    assert delivery.acked
    assert world.cluster.resources["video-101"]["metadata"]["uid"] != first_uid


async def fail_with_the_backend_away(world: World) -> None:
    await world.send(request_body())
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    assert world.reporter is not None
    world.reporter.error = BackendUnavailableError("away")
    await world.reconcile()


async def test_a_replay_that_must_wait_for_the_backend_keeps_no_others_waiting(
    world: World,
) -> None:
    await fail_with_the_backend_away(world)
    first_uid = world.cluster.resources["video-101"]["metadata"]["uid"]
    replay = await world.send(request_body())
    assert not replay.acked
    assert not replay.requeued, "it would be the next one again"
    other = await world.send(request_body(process_id=102))
    assert other.acked
    assert world.reporter is not None
    world.reporter.error = None
    world.wait(120)
    await world.intake.step()
    assert replay.acked
    assert world.cluster.resources["video-101"]["metadata"]["uid"] != first_uid
    assert world.told[:2] == ["QUEUED", "FAILED"]


async def test_a_message_that_nobody_foresaw_keeps_no_others_waiting(world: World) -> None:
    world.dead_letters.error = TypeError("a bug")
    odd = await world.send(b"{")
    assert not odd.acked
    other = await world.send(request_body())
    assert other.acked
    world.dead_letters.error = None
    world.wait(5)
    await world.intake.step()
    assert odd.acked
    assert len(world.dead_letters.letters) == 1


async def test_a_message_set_aside_goes_with_its_channel(world: World) -> None:
    await fail_with_the_backend_away(world)
    replay = await world.send(request_body())
    replay.alive = False
    assert world.reporter is not None
    world.reporter.error = None
    world.wait(120)
    assert not await world.intake.step(), "the broker will deliver it again"
    assert not replay.acked


async def test_nothing_is_set_aside_for_longer_than_the_broker_allows(world: World) -> None:
    await fail_with_the_backend_away(world)
    replay = await world.send(request_body())
    world.wait(HELD_AT_MOST.total_seconds())
    with pytest.raises(Exception, match="still there"):
        await world.intake.step()
    assert replay.requeued


async def test_only_so_many_are_set_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "MAX_ASIDE", 0)
    await fail_with_the_backend_away(world)
    world.inbox.waiting.append(replay := _delivery())
    with pytest.raises(Exception, match="still there"):
        await world.intake.step()
    assert replay.requeued


async def test_a_message_is_held_while_the_cluster_is_away_and_no_other_is_taken(
    world: World,
) -> None:
    """A quorum queue drops a message that comes back too often."""
    for _ in range(30):
        world.cluster.fail("create_resource")
    world.inbox.waiting = [delivery := _delivery(), other := _delivery(request_body(102))]
    for _ in range(30):
        with pytest.raises(ClusterUnavailableError):
            await world.intake.step()
        world.wait(10)
    assert (delivery.acked, delivery.requeued, world.inbox.asked) == (False, False, 1)
    await world.intake.step()
    await world.intake.step()
    assert delivery.acked
    assert other.acked


async def test_one_that_was_held_for_too_long_goes_back_once_and_comes_when_the_cluster_does(
    world: World,
) -> None:
    world.cluster.fail("create_resource")
    world.cluster.fail("create_resource")
    world.inbox.waiting = [delivery := _delivery(), again := _delivery()]
    with pytest.raises(ClusterUnavailableError):
        await world.intake.step()
    world.wait(HELD_AT_MOST.total_seconds())
    for _ in range(30):
        world.cluster.fail("fetch_resource")
    for _ in range(31):
        with pytest.raises(ClusterUnavailableError):
            await world.intake.step()
    assert (delivery.requeued, world.inbox.asked) == (True, 1)
    await world.intake.step()
    assert again.acked


async def test_a_dead_letter_that_no_queue_takes_keeps_no_others_waiting(world: World) -> None:
    world.dead_letters.error = UnroutableError("no queue")
    world.inbox.waiting = [bad := FakeDelivery(b"{"), good := _delivery()]
    with pytest.raises(UnroutableError):
        await world.intake.step()
    await world.intake.step()
    assert good.acked
    assert not bad.requeued
    world.dead_letters.error = None
    world.wait(5)
    await world.intake.step()
    assert bad.acked


async def test_a_lost_answer_to_the_creation_makes_no_second_resource(world: World) -> None:
    world.cluster.fail("create_resource", after=True)
    world.inbox.waiting.append(delivery := _delivery())
    with pytest.raises(ClusterUnavailableError):
        await world.intake.step()
    await world.intake.step()
    assert delivery.acked
    assert len(world.cluster.resources) == 1


async def test_a_held_message_that_made_a_resource_after_all_is_no_replay_of_it(
    world: World,
) -> None:
    world.cluster.fail("create_resource", after=True)
    world.inbox.waiting.append(delivery := _delivery(request_body(destination_prefix=...)))
    with pytest.raises(ClusterUnavailableError):
        await world.intake.step()
    uid = world.cluster.resources["video-101"]["metadata"]["uid"]
    await world.reconcile()
    assert world.condition("DeadLettered") == ("True", "Published")
    await world.intake.step()
    assert delivery.acked
    assert world.cluster.resources["video-101"]["metadata"]["uid"] == uid


async def test_a_held_message_is_no_echo_of_what_was_there_before_it(world: World) -> None:
    await fail_unacknowledged(world)
    world.wait(5)
    world.cluster.fail("create_resource")
    world.inbox.waiting.append(delivery := _delivery())
    with pytest.raises(ClusterUnavailableError):
        await world.intake.step()
    await world.intake.step()
    assert delivery.acked
    await world.reconcile()
    assert len(world.cluster.jobs) == 2, "sent again after the failure, it runs again"


async def test_what_was_refused_stays_refused_when_its_dead_letter_was_not_confirmed(
    world: World,
) -> None:
    await world.send(request_body())
    await world.reconcile()
    other = request_body(destination_prefix="elsewhere/")
    world.dead_letters.error = BrokerUnavailableError("the confirmation is lost")
    world.inbox.waiting.append(delivery := _delivery(other))
    with pytest.raises(BrokerUnavailableError):
        await world.intake.step()
    world.dead_letters.error = None
    world.cluster.end_job(world.job(), message=failed("NOT_MEDIA", "probe"), exit_code=65)
    await world.reconcile()
    world.wait(5)
    await world.intake.step()
    assert delivery.acked
    codes = [letter["headers"]["x-m0-error-code"] for letter in world.dead_letters.letters]
    assert codes == ["NOT_MEDIA", "CONFLICT"]
    await world.reconcile()
    assert len(world.cluster.jobs) == 1


async def test_nothing_is_created_once_another_operator_may_be_acting(world: World) -> None:
    world.lost = LeadershipLostError("paused")
    world.inbox.waiting.append(delivery := _delivery())
    with pytest.raises(LeadershipLostError):
        await world.intake.step()
    assert world.cluster.resources == {}
    assert delivery.requeued


async def test_a_resource_whose_creation_was_not_heard_of_takes_a_slot() -> None:
    world = World(limit=1)
    world.cluster.fail("create_resource", after=True)
    world.inbox.waiting.append(delivery := _delivery())
    with pytest.raises(ClusterUnavailableError):
        await world.intake.step()
    await world.intake.step()
    assert delivery.acked
    other = await world.send(request_body(process_id=102))
    assert not other.acked


async def test_a_lost_acknowledgement_makes_no_second_resource(world: World) -> None:
    world.inbox.waiting.append(delivery := _delivery())
    delivery.ack_error = BrokerUnavailableError("channel closed")
    with pytest.raises(BrokerUnavailableError):
        await world.intake.step()
    redelivered = await world.send(request_body())
    assert redelivered.acked
    assert world.dead_letters.letters == []


async def test_a_request_that_the_api_refuses_fails_visibly(world: World) -> None:
    world.cluster.fail("create_resource", ClusterRejectedError("spec: too deep"))
    delivery = await world.send(request_body())
    assert delivery.acked
    assert "too deep" in world.cluster.resources["video-101"]["spec"]["rejection"]["message"]


async def test_a_request_that_the_api_refuses_in_any_form_is_dead_lettered(world: World) -> None:
    world.cluster.fail("create_resource", ClusterRejectedError("no"))
    world.cluster.fail("create_resource", ClusterRejectedError("no"))
    delivery = await world.send(request_body())
    assert delivery.acked
    assert world.dead_letters.letters[0]["headers"]["x-m0-process-id"] == 101


async def test_a_dead_letter_that_is_not_confirmed_is_not_acknowledged(world: World) -> None:
    world.dead_letters.error = BrokerUnavailableError("away")
    world.inbox.waiting.append(delivery := _delivery(b"{"))
    with pytest.raises(BrokerUnavailableError):
        await world.intake.step()
    assert not delivery.acked


async def test_intake_goes_on_after_errors_and_ends_when_told(world: World) -> None:
    world.cluster.fail("create_resource")
    stop = asyncio.Event()
    world.inbox.waiting.append(_delivery())
    task = asyncio.create_task(world.intake.run(stop))
    while not world.intake.rounds:  # noqa: ASYNC110
        await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(task, 5)


def _delivery(body: bytes | None = None) -> FakeDelivery:
    return FakeDelivery(body or request_body())
