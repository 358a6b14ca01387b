"""Dead letters that are sent again: each runs once, however often it is sent."""

from typing import Any

import pytest

from .conftest import World, failed, request_body

NAME = "video-101"


async def fail(world: World) -> dict[str, Any]:
    """End the latest Job badly; its dead letter."""
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    await world.reconcile()
    return world.dead_letters.letters[-1]


async def replay(world: World, letter: dict[str, Any], body: bytes | None = None) -> None:
    """As whoever shovels a letter back: its id and headers stay."""
    delivery = await world.send(
        body or letter["body"], headers=letter["headers"], message_id=letter["id"]
    )
    assert delivery.acked


def lineage(world: World) -> list[str]:
    found: list[str] = world.cluster.resources[NAME]["spec"]["origin"]["lineage"]
    return found


async def test_a_replay_knows_what_it_is_a_replay_of(world: World) -> None:
    await world.send(request_body())
    assert lineage(world) == []
    first = await fail(world)
    await replay(world, first)
    assert lineage(world) == [first["id"]]
    second = await fail(world)
    assert "x-m0-lineage" not in first["headers"]
    assert second["headers"]["x-m0-lineage"] == [first["id"]]
    await replay(world, second)
    assert lineage(world) == [first["id"], second["id"]]


async def test_a_letter_that_is_replayed_twice_runs_once(world: World) -> None:
    await world.send(request_body())
    letter = await fail(world)
    await replay(world, letter)
    await replay(world, letter)
    await world.reconcile()
    assert len(world.cluster.jobs) == 2


async def test_a_second_replay_runs_nothing_even_when_the_first_has_failed_again(
    world: World,
) -> None:
    await world.send(request_body())
    first = await fail(world)
    await replay(world, first)
    second = await fail(world)
    await replay(world, first)
    await world.reconcile()
    assert len(world.cluster.jobs) == 2
    await replay(world, second)
    await world.reconcile()
    assert len(world.cluster.jobs) == 3
    await replay(world, first)
    assert len(world.cluster.jobs) == 3


async def test_a_second_replay_with_another_correction_is_no_conflict(world: World) -> None:
    await world.send(request_body())
    letter = await fail(world)
    await replay(world, letter, request_body(destination_prefix="elsewhere/"))
    await replay(world, letter, request_body(destination_prefix="somewhere/"))
    assert len(world.dead_letters.letters) == 1
    assert world.cluster.resources[NAME]["spec"]["destinationPrefix"] == "elsewhere/"


async def test_a_letter_that_never_was_a_resource_is_replayed_once_as_well(world: World) -> None:
    await world.send(b"{")
    letter = world.dead_letters.letters[0]
    await replay(world, letter, request_body())
    assert lineage(world) == [letter["id"]]
    await fail(world)
    await replay(world, letter, request_body())
    await world.reconcile()
    assert len(world.cluster.jobs) == 1


async def test_a_replay_runs_although_the_failed_one_was_deleted(world: World) -> None:
    await world.send(request_body())
    letter = await fail(world)
    del world.cluster.resources[NAME]
    await replay(world, letter)
    assert lineage(world) == [letter["id"]]


@pytest.mark.parametrize("message_id", ["", "m0", "failed-1"])
async def test_a_message_that_is_no_letter_leaves_no_lineage(world: World, message_id: str) -> None:
    await world.send(request_body(), message_id=message_id)
    assert lineage(world) == []


async def test_a_new_request_under_a_failed_ones_id_follows_it(world: World) -> None:
    await world.send(request_body())
    letter = await fail(world)
    await world.send(request_body(destination_prefix="elsewhere/"))
    assert lineage(world) == [letter["id"]]


async def test_only_so_many_ancestors_are_kept(world: World) -> None:
    await world.send(request_body())
    for _ in range(23):
        await replay(world, await fail(world))
    assert len(lineage(world)) == 20
