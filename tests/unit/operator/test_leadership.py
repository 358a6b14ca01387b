"""Who may act: one process at a time, its successor soon after."""

import asyncio
from itertools import count

import pytest
from m0_operator.errors import (
    ClusterConflictError,
    ClusterUnavailableError,
    LeadershipLostError,
)
from m0_operator.services import leadership
from m0_operator.services.leadership import (
    LEASE_S,
    Leadership,
    LeaseRecord,
)


class FakeLeases:
    """An API server's one Lease, with optimistic locking."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.versions = count(1)
        self.away = False
        self.hanging = False

    async def fetch_lease(self) -> LeaseRecord | None:
        if self.hanging:
            await asyncio.sleep(3600)
        if self.away:
            raise ClusterUnavailableError("away")
        return self.record

    async def write_lease(self, holder: str, duration_s: int, version: str | None) -> LeaseRecord:
        if self.away:
            raise ClusterUnavailableError("away")
        if version != (self.record.version if self.record else None):
            raise ClusterConflictError("somebody else was first")
        self.record = LeaseRecord(holder, str(next(self.versions)), duration_s)
        return self.record


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def candidate(leases: FakeLeases, clock: Clock, name: str) -> Leadership:
    return Leadership(leases, name, clock)


async def test_the_first_one_leads_and_the_second_stands_by(
    leases: FakeLeases, clock: Clock
) -> None:
    assert await candidate(leases, clock, "a").try_acquire()
    assert not await candidate(leases, clock, "b").try_acquire()


async def test_of_two_at_once_one_leads(leases: FakeLeases, clock: Clock) -> None:
    claims = [candidate(leases, clock, name).try_acquire() for name in "abc"]
    assert sum(await asyncio.gather(*claims)) == 1


async def test_a_released_lease_is_taken_at_once(leases: FakeLeases, clock: Clock) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first.try_acquire()
    assert not await second.try_acquire()
    await first.release()
    assert await second.try_acquire()


async def test_a_silent_leader_is_replaced_when_its_lease_has_run_out(
    leases: FakeLeases, clock: Clock
) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first.try_acquire()
    assert not await second.try_acquire()
    clock.now = LEASE_S - 0.1
    assert not await second.try_acquire()
    clock.now = LEASE_S
    assert await second.try_acquire()


async def test_a_leader_that_renews_is_not_replaced(leases: FakeLeases, clock: Clock) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first.try_acquire()
    for _ in range(10):
        clock.now += LEASE_S - 1
        await leases.write_lease("a", LEASE_S, leases.record.version)  # type: ignore[union-attr]
        assert not await second.try_acquire()


async def test_a_leader_that_woke_up_too_late_stops(
    leases: FakeLeases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "RENEW_S", 0.01)
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first.try_acquire()
    assert not await second.try_acquire()
    clock.now = LEASE_S
    assert await second.try_acquire()
    with pytest.raises(LeadershipLostError, match="not renewed"):
        await first.hold(asyncio.Event())


async def test_a_leader_that_cannot_renew_stops_before_another_may_start(
    leases: FakeLeases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "RENEW_S", 0.01)
    first = candidate(leases, clock, "a")
    assert await first.try_acquire()
    holding = asyncio.create_task(first.hold(asyncio.Event()))
    await asyncio.sleep(0.05)
    leases.away = True
    await asyncio.sleep(0.05)
    assert not holding.done(), "a short absence of the API is no reason"
    clock.now += leadership.RENEW_DEADLINE_S + 0.1
    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(holding, 5)
    assert leadership.RENEW_DEADLINE_S + leadership.RENEW_S < LEASE_S


async def test_a_lost_answer_to_our_own_renewal_is_no_loss(
    leases: FakeLeases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "RENEW_S", 0.01)
    first = candidate(leases, clock, "a")
    assert await first.try_acquire()
    await leases.write_lease("a", LEASE_S, leases.record.version)  # type: ignore[union-attr]
    holding = asyncio.create_task(first.hold(asyncio.Event()))
    await asyncio.sleep(0.1)
    assert not holding.done()
    holding.cancel()


async def test_a_leader_whose_lease_was_taken_stops(
    leases: FakeLeases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "RENEW_S", 0.01)
    first = candidate(leases, clock, "a")
    assert await first.try_acquire()
    await leases.write_lease("b", LEASE_S, leases.record.version)  # type: ignore[union-attr]
    with pytest.raises(LeadershipLostError, match="went to b"):
        await asyncio.wait_for(first.hold(asyncio.Event()), 5)


async def test_an_api_that_does_not_answer_at_all_ends_leadership_in_time(
    leases: FakeLeases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "RENEW_S", 0.01)
    first = candidate(leases, clock, "a")
    assert await first.try_acquire()
    await leases.write_lease("b", LEASE_S, leases.record.version)  # type: ignore[union-attr]
    leases.hanging = True
    holding = asyncio.create_task(first.hold(asyncio.Event()))
    await asyncio.sleep(0.05)
    assert not holding.done()
    clock.now += leadership.RENEW_DEADLINE_S
    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(holding, 1)


async def test_one_that_was_paused_may_tell_nobody_anything(
    leases: FakeLeases, clock: Clock
) -> None:
    first = candidate(leases, clock, "a")
    clock.now = 100.0
    assert await first.try_acquire()
    clock.now += leadership.RENEW_DEADLINE_S - 0.1
    first.check()
    clock.now += 0.1
    with pytest.raises(LeadershipLostError):
        first.check()
