"""Dead letters of the real operator, replayed to the real intake: each runs once."""

import pytest
from fakes.letters import CrashError, FakeLetterQueue, Message
from fakes.wire import FakeDelivery
from m0_operator.domain.letters import LetterFilter
from m0_operator.services.dead_letters import DeadLetterBox

from .conftest import World, failed, request_body


async def fail(world: World) -> None:
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    await world.reconcile()


def collect(world: World) -> FakeLetterQueue:
    return FakeLetterQueue(
        [
            Message(x["body"], x["headers"], x["priority"], x["id"])
            for x in world.dead_letters.letters
        ]
    )


async def deliver(world: World, queue: FakeLetterQueue) -> None:
    for request in queue.requests:
        world.inbox.waiting.append(
            FakeDelivery(request.body, request.headers, request.priority, request.message_id)
        )
        await world.intake.step()
        await world.reconcile()


@pytest.mark.parametrize("meanwhile", ["it runs", "it has failed again"])
@pytest.mark.parametrize("edited", [False, True], ids=["as it was", "edited"])
async def test_a_replay_that_crashed_and_is_done_again_runs_once(
    world: World, meanwhile: str, edited: bool
) -> None:
    await world.send(request_body())
    await fail(world)
    queue = collect(world)
    box = DeadLetterBox(queue)
    edit = request_body(destination_prefix="elsewhere/") if edited else None
    queue.crash_at = 3  # take, publish, and then the removal
    with pytest.raises(CrashError):
        await box.replay(
            ["m0-failed-" + world.cluster.resources["video-101"]["metadata"]["uid"]], edit=edit
        )
    queue.crash_at = None
    await deliver(world, queue)
    if meanwhile == "it has failed again":
        await fail(world)
    queue.requests.clear()
    await box.replay(LetterFilter())
    await deliver(world, queue)
    assert len(queue.requests) == 1
    assert len(world.cluster.jobs) == 2, "the first try and one replay"
