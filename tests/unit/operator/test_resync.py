"""The look at everything: what it wakes, and when it finds that the watches are deaf."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from m0_contract.resource import FINALIZER
from m0_operator.domain.actions import Policy
from m0_operator.domain.job_template import JobTemplate
from m0_operator.errors import ClusterUnavailableError, DeafError
from m0_operator.services import resync
from m0_operator.services.hearing import Hearing
from m0_operator.services.resync import JOB, LISTENING_S, RESOURCE, Resync
from m0_operator.services.settled import Settled
from m0_operator.services.slots import Slots

Item = dict[str, Any]


def item(name: str, version: str, **more: Any) -> Item:
    metadata = {"name": name, "uid": f"{name}-uid", "resourceVersion": version}
    return {"metadata": metadata, "spec": {"processId": 1, **more}}


class Lists:
    """A cluster that can be listed."""

    def __init__(self) -> None:
        self.resources: list[Item] = []
        self.jobs: list[Item] = []
        self.away = False

    async def list_resources(self) -> AsyncIterator[Item]:
        for found in self.resources:
            yield found

    async def list_versions(self, kind: str) -> list[tuple[str, str]]:
        if self.away:
            raise ClusterUnavailableError("away")
        found = self.resources if kind == RESOURCE else self.jobs
        metadata = [each["metadata"] for each in found]
        return [(each["name"], each["resourceVersion"]) for each in metadata]


class Scene:
    """A resync and all around it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lists = Lists()
        self.hearing = Hearing(lambda: self.now)
        self.slots = Slots(4)
        self.known: tuple[str, ...] = ()
        self.woken: list[str] = []
        self.date = datetime(2026, 1, 1, tzinfo=UTC)
        policy = Policy(JobTemplate(image="c:1"), backend=False, finished_ttl_s=3600)
        self.resync = Resync(
            self.lists,
            self.slots,
            self.hearing,
            Settled(policy, lambda: self.date),
            wake=self.woken.append,
            known=lambda: self.known,
            every_s=60,
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_all_that_is_there_or_was_is_woken(scene: Scene) -> None:
    scene.lists.resources = [item("a", "1")]
    scene.known = ("gone",)
    await scene.resync.look()
    assert sorted(scene.woken) == ["a", "gone"]


def finished(name: str, version: str) -> Item:
    found = item(name, version)
    found["metadata"]["finalizers"] = [FINALIZER]
    found["status"] = {
        "phase": "Succeeded", "reported": "PROCESSING", "finishedAt": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return found


async def test_what_is_settled_is_not_looked_at_again(scene: Scene) -> None:
    scene.lists.resources = [finished("a", "1"), item("b", "2"), finished("c", "3")]
    scene.lists.resources[2]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await scene.resync.seed(asyncio.Event())
    assert scene.woken == ["b", "c"]
    await scene.resync.look()
    assert scene.woken == ["b", "c", "b", "c"]


async def test_what_was_settled_is_looked_at_when_it_changes_or_its_time_has_come(
    scene: Scene,
) -> None:
    scene.lists.resources = [finished("a", "1"), finished("b", "2")]
    await scene.resync.seed(asyncio.Event())
    scene.lists.resources[0]["metadata"]["resourceVersion"] = "3"
    await scene.resync.look()
    assert scene.woken == ["a"]
    scene.date += timedelta(seconds=3601)
    await scene.resync.look()
    assert scene.woken == ["a", "a", "b"]


async def test_slots_are_counted_before_the_first_message(scene: Scene) -> None:
    scene.lists.resources = [item("a", "1"), {"metadata": {"name": "of another version"}}]
    scene.lists.resources[1] |= {"spec": {}}
    scene.lists.resources[1]["metadata"]["uid"] = "u"
    scene.lists.resources[1]["spec"]["processId"] = {}
    await scene.resync.seed(asyncio.Event())
    assert scene.resync.seeded
    assert scene.slots.active >= 1


async def test_what_was_heard_is_no_reason_to_worry(scene: Scene) -> None:
    scene.lists.resources, scene.lists.jobs = [item("a", "7")], [item("j", "8")]
    scene.hearing.hear(RESOURCE, "a", "7", deleted=False)
    scene.hearing.hear(JOB, "j", "8", deleted=False)
    await scene.resync.look()
    scene.now += 1000
    await scene.resync.look()
    assert scene.hearing.behind_s == 0


@pytest.mark.parametrize("kind", [RESOURCE, JOB])
async def test_what_is_listed_and_not_told_in_time_shows_that_it_is_deaf(
    scene: Scene, kind: str
) -> None:
    scene.hearing.hear(kind, "a", "1", deleted=False)
    listed = [item("a", "2")]
    if kind == RESOURCE:
        scene.lists.resources = listed
    else:
        scene.lists.jobs = listed
    await scene.resync.look()
    scene.now += LISTENING_S
    with pytest.raises(DeafError, match="20 s"):
        await scene.resync.look()


async def test_an_event_that_was_on_its_way_is_waited_for(scene: Scene) -> None:
    scene.lists.resources = [item("a", "2")]
    await scene.resync.look()
    # Newer than what was listed: all the better.
    scene.hearing.hear(RESOURCE, "a", "3", deleted=False)
    scene.lists.resources = [item("a", "3")]
    scene.now += LISTENING_S
    await scene.resync.look()


async def test_a_list_that_is_older_than_what_was_heard_is_no_reason_to_worry(
    scene: Scene,
) -> None:
    scene.hearing.hear(RESOURCE, "a", "3", deleted=False)
    scene.lists.resources = [item("a", "2")]
    await scene.resync.look()
    scene.lists.resources = [item("a", "3")]
    scene.now += LISTENING_S
    await scene.resync.look()
    assert not scene.hearing.doubtful


@pytest.mark.parametrize("told", [True, False])
async def test_what_has_gone_is_not_waited_for(scene: Scene, told: bool) -> None:
    scene.lists.resources = [item("a", "2")]
    await scene.resync.look()
    if told:
        scene.hearing.hear(RESOURCE, "a", "3", deleted=True)
    scene.lists.resources = []
    scene.now += LISTENING_S
    await scene.resync.look()


async def test_it_looks_sooner_when_it_has_doubts_and_ends_when_they_hold(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def pause(_: asyncio.Event, seconds: float) -> None:
        waits.append(seconds)
        scene.now += seconds

    monkeypatch.setattr(resync, "pause", pause)
    scene.lists.resources = [item("a", "2")]
    with pytest.raises(DeafError):
        await scene.resync.run(asyncio.Event())
    assert waits == [60, LISTENING_S]
    assert sum(waits) < 120, "within two minutes"


async def test_a_cluster_that_is_away_is_no_deafness(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, rounds = asyncio.Event(), 0

    async def pause(_: asyncio.Event, seconds: float) -> None:
        nonlocal rounds
        scene.now += seconds
        rounds += 1
        if rounds > 100:
            stop.set()

    monkeypatch.setattr(resync, "pause", pause)
    scene.lists.away = True
    await scene.resync.run(stop)
