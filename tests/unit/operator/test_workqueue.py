"""The keyed work queue."""

import asyncio

import pytest
from m0_operator.services import workqueue
from m0_operator.services.workqueue import WorkQueue


async def work_off(queue: WorkQueue, work, workers: int = 3) -> None:
    tasks = [asyncio.create_task(queue.run_worker(work)) for _ in range(workers)]
    for _ in range(50):
        await asyncio.sleep(0)
    queue.stop()
    await asyncio.wait_for(asyncio.gather(*tasks), 1)


async def test_a_key_waits_once_however_often_it_is_added() -> None:
    queue, seen = WorkQueue(), []

    async def work(key: str) -> None:
        seen.append(key)

    for key in ("a", "a", "b", "a"):
        queue.add(key)
    await work_off(queue, work)
    assert sorted(seen) == ["a", "b"]


async def test_a_key_is_never_worked_on_twice_at_once_but_comes_back() -> None:
    queue, active, most, times = WorkQueue(), 0, 0, 0

    async def work(_: str) -> None:
        nonlocal active, most, times
        active, times = active + 1, times + 1
        most = max(most, active)
        if times == 1:
            queue.add("a")
        await asyncio.sleep(0)
        active -= 1

    queue.add("a")
    await work_off(queue, work)
    assert (most, times) == (1, 2)


async def test_a_failing_key_comes_back_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "FIRST_BACKOFF_S", 0.0)
    queue, delays, times = WorkQueue(), [], 0
    add_after = queue.add_after
    queue.add_after = lambda key, delay: (delays.append(delay), add_after(key, 0.0))  # type: ignore[method-assign, func-returns-value, assignment]

    async def work(_: str) -> None:
        nonlocal times
        times += 1
        if times < 3:
            raise ValueError("boom")

    queue.add("a")
    await work_off(queue, work)
    assert times == 3
    assert len(delays) == 2


async def test_stop_ends_all_workers_after_their_current_key() -> None:
    queue = WorkQueue()

    async def work(_: str) -> None:
        await asyncio.sleep(0)

    await work_off(queue, work, workers=8)


async def test_a_key_that_takes_for_ever_is_given_up_and_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workqueue, "WORK_S", 0.01)
    monkeypatch.setattr(workqueue, "FIRST_BACKOFF_S", 0.01)
    queue, tries = WorkQueue(), 0

    async def work(_: str) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await asyncio.Event().wait()
        queue.stop()

    queue.add("a")
    async with asyncio.timeout(5):
        await queue.run_worker(work)
    assert tries == 2
