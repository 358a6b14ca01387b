"""The dead letters in people's hands: nothing is lost, nothing runs twice, whenever it ends."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.letters import CrashError, FakeLetterQueue, Message
from m0_contract.request import parse_request
from m0_operator.domain.letters import Letter, LetterFilter
from m0_operator.services.dead_letters import RENEW_AT, DeadLetterBox, LettersUnseenError
from m0_wire.errors import BrokerUnavailableError, UnroutableError

from .conftest import request_body


def dead(number: int, code: str = "NOT_MEDIA", **more: Any) -> Message:
    headers = {
        "x-m0-error-code": code,
        "x-m0-process-id": number,
        "x-m0-failed-at": f"2026-01-01T00:00:{number % 60:02}Z",
        "trace": f"t{number}",
    }
    given: dict[str, Any] = {"priority": number % 10, "message_id": f"m0-failed-{number}", **more}
    return Message(request_body(number), headers, **given)


def five() -> FakeLetterQueue:
    return FakeLetterQueue([dead(n, "NOT_MEDIA" if n % 2 else "INTERNAL") for n in range(1, 6)])


def ids(letters: tuple[Letter, ...] | list[Message]) -> list[str]:
    names = [item.id if isinstance(item, Letter) else item.message_id for item in letters]
    return [name.removeprefix("m0-failed-") for name in names]


async def test_a_list_has_the_newest_first_and_leaves_the_queue_as_it_is() -> None:
    queue = five()
    listing = await DeadLetterBox(queue).list()
    assert ids(listing.letters) == ["5", "4", "3", "2", "1"]
    assert (listing.matched, listing.complete) == (5, True)
    assert ids(queue.letters) == ["1", "2", "3", "4", "5"]


async def test_a_list_may_be_of_some_and_says_how_many_there_are() -> None:
    wanted = LetterFilter(code="NOT_MEDIA", since=datetime(2026, 1, 1, tzinfo=UTC))
    listing = await DeadLetterBox(five()).list(wanted, limit=2)
    assert ids(listing.letters) == ["5", "3"]
    assert listing.matched == 3


async def test_of_a_huge_queue_only_the_beginning_is_looked_at() -> None:
    queue = five()
    box = DeadLetterBox(queue, at_most=3)
    listing = await box.list()
    assert ids(listing.letters) == ["3", "2", "1"]
    assert not listing.complete
    with pytest.raises(LettersUnseenError):
        await box.show("m0-failed-5")
    assert ids(queue.letters) == ["1", "2", "3", "4", "5"]


async def test_two_copies_of_a_letter_are_listed_once() -> None:
    queue = FakeLetterQueue([dead(1), dead(1), dead(2)])
    assert ids((await DeadLetterBox(queue).list()).letters) == ["2", "1"]


async def test_two_letters_under_one_id_are_two() -> None:
    other = Message(b"other", {}, message_id="m0-failed-1")
    queue = FakeLetterQueue([dead(1), other])
    assert (await DeadLetterBox(queue).list()).matched == 2
    await DeadLetterBox(queue).replay(["m0-failed-1"])
    assert len(queue.requests) == 2


async def test_one_letter_is_shown_with_all_that_is_in_it() -> None:
    queue = five()
    shown = await DeadLetterBox(queue).show("m0-failed-3")
    assert shown is not None
    assert (shown.body, shown.headers["trace"]) == (request_body(3), "t3")
    assert shown.letter.code == "NOT_MEDIA"
    assert await DeadLetterBox(queue).show("m0-failed-9") is None
    assert len(queue.letters) == 5


async def test_a_letter_that_is_there_twice_is_replayed_once() -> None:
    queue = FakeLetterQueue([dead(1), dead(2), dead(1)])
    done = await DeadLetterBox(queue).replay(LetterFilter())
    assert ids(queue.requests) == ids(done.letters) == ["1", "2"]
    assert queue.letters == []


async def test_a_replay_is_the_same_message_under_the_letters_id() -> None:
    queue = five()
    done = await DeadLetterBox(queue).replay(["m0-failed-2", "m0-failed-9"])
    (request,) = queue.requests
    assert request == dead(2, "INTERNAL")
    assert ids(done.letters) == ["2"]
    assert done.missing == {"m0-failed-9"}
    assert ids(queue.letters) == ["1", "3", "4", "5"]


async def test_many_are_replayed_in_their_order_with_another_priority() -> None:
    queue = five()
    done = await DeadLetterBox(queue).replay(LetterFilter(code="NOT_MEDIA"), priority=9)
    assert ids(done.letters) == ids(queue.requests) == ["1", "3", "5"]
    assert {request.priority for request in queue.requests} == {9}
    assert ids(queue.letters) == ["2", "4"]


async def test_a_letter_without_an_id_is_replayed_under_the_one_it_is_listed_by() -> None:
    queue = FakeLetterQueue([Message(b"{}", {"a": 1})])
    (letter,) = (await DeadLetterBox(queue).list()).letters
    await DeadLetterBox(queue).replay([letter.id])
    assert queue.requests[0].message_id == letter.id
    assert queue.letters == []


async def test_a_letter_is_replayed_with_another_body() -> None:
    queue = five()
    new = request_body(1, destination_prefix="elsewhere/")
    await DeadLetterBox(queue).replay(["m0-failed-1"], edit=new)
    (request,) = queue.requests
    assert (request.body, request.message_id) == (new, "m0-failed-1")
    assert request.headers["trace"] == "t1"


def move(letter: Letter, body: bytes) -> bytes:
    changed = json.loads(body) | {"destination_prefix": f"again/{letter.process_id}/"}
    return json.dumps(changed).encode()


async def test_many_letters_are_replayed_with_each_its_change() -> None:
    queue = five()
    await DeadLetterBox(queue).replay(LetterFilter(), edit=move)
    places = [parse_request(request.body).destination_prefix for request in queue.requests]
    assert places == [f"again/{number}/" for number in range(1, 6)]


async def test_an_edit_that_would_be_refused_is_not_sent() -> None:
    queue = five()

    def spoil_odd(letter: Letter, body: bytes) -> bytes:
        assert isinstance(letter.process_id, int)
        return b"{}" if letter.process_id % 2 else body

    done = await DeadLetterBox(queue).replay(LetterFilter(), edit=spoil_odd)
    assert ids(done.letters) == ["2", "4"]
    assert [letter.process_id for letter, _ in done.refused] == [1, 3, 5]
    assert "process_id: is missing" in done.refused[0][1]
    assert ids(queue.letters) == ["1", "3", "5"]
    assert done.missing == set()


@pytest.mark.parametrize("wanted", [LetterFilter(), ["m0-failed-1", "m0-failed-2"], []])
async def test_one_new_body_is_not_for_many(wanted: Any) -> None:
    queue = five()
    with pytest.raises(ValueError, match="one letter"):
        await DeadLetterBox(queue).replay(wanted, edit=request_body(1))
    assert queue.exchanges == 0


async def test_a_purge_removes_what_is_meant_and_every_copy_of_it() -> None:
    queue = FakeLetterQueue([dead(1), dead(2), dead(1)])
    done = await DeadLetterBox(queue).purge(["m0-failed-1"])
    assert ids(done.letters) == ["1"]
    assert ids(queue.letters) == ["2"]
    assert queue.requests == []


async def test_a_missing_queue_of_requests_costs_no_letter() -> None:
    queue = five()
    queue.errors["resubmit"] = UnroutableError("no queue")
    with pytest.raises(UnroutableError):
        await DeadLetterBox(queue).replay(LetterFilter())
    assert ids(queue.letters) == ["1", "2", "3", "4", "5"]


async def test_who_is_interrupted_hears_how_far_it_came() -> None:
    queue = five()
    queue.errors["ack"] = BrokerUnavailableError("gone")
    with pytest.raises(BrokerUnavailableError, match="gone; 1 were replayed"):
        await DeadLetterBox(queue).replay(LetterFilter())


async def test_letters_outlive_any_number_of_looks_at_a_queue_that_counts_them() -> None:
    queue = FakeLetterQueue([dead(n) for n in range(1, 6)], limit=20)
    for _ in range(100):
        await DeadLetterBox(queue).list()
    await DeadLetterBox(queue).purge(["none of them"])
    assert queue.dropped == []
    assert sorted(ids(queue.letters)) == ["1", "2", "3", "4", "5"]
    assert all(message.headers["trace"] for message in queue.letters)


async def test_a_letter_that_can_not_be_renewed_is_still_listed() -> None:
    queue = FakeLetterQueue([dead(1, looks=RENEW_AT)])
    queue.errors["renew"] = BrokerUnavailableError("the queue is full")
    assert (await DeadLetterBox(queue).list()).matched == 1
    assert ids(queue.letters) == ["1"]


async def replay(box: DeadLetterBox) -> object:
    return await box.replay(LetterFilter(code="NOT_MEDIA"))


async def edit(box: DeadLetterBox) -> object:
    return await box.replay(LetterFilter(code="NOT_MEDIA"), edit=move)


async def look(box: DeadLetterBox) -> object:
    return await box.list()


def crowded() -> FakeLetterQueue:
    """Some letters twice, as after an earlier crash, some looked at often."""
    letters = [dead(1), dead(2, "INTERNAL", looks=12), dead(3), dead(1), dead(4, looks=15)]
    return FakeLetterQueue(letters, limit=20)


@pytest.mark.parametrize("done_first", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("doing", [replay, edit, look], ids=lambda f: f.__name__)
async def test_a_crash_at_any_instant_loses_nothing_and_runs_nothing_twice(
    doing: Callable[[DeadLetterBox], Any], done_first: bool
) -> None:
    crashes, all_ids = 0, {f"m0-failed-{number}" for number in (1, 2, 3, 4)}
    for crash_at in range(1, 40):
        queue = crowded()
        queue.crash_at, queue.done_first = crash_at, done_first
        try:
            await doing(DeadLetterBox(queue))
        except CrashError:
            crashes += 1
            assert {m.message_id for m in (*queue.letters, *queue.requests)} == all_ids
        queue.crash_at = None
        await doing(DeadLetterBox(queue))
        listed = {letter.id for letter in (await DeadLetterBox(queue).list()).letters}
        # The intake drops a second message under an id: a body for each is one run for each.
        ran = {(request.message_id, request.body) for request in queue.requests}
        assert {message_id for message_id, _ in ran} == all_ids - listed
        assert len(ran) == (0 if doing is look else 3)
        assert queue.dropped == []
    assert crashes > 6
