"""What is counted, and that it is counted once."""

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.wire import FakeReporter
from m0_operator import __version__
from m0_operator.adapters.gauges import Gauges
from m0_operator.adapters.metrics import Metrics
from m0_wire.errors import BackendUnavailableError

from .conftest import World, failed, request_body

OUTCOME = {
    "chunks": 5,
    "duration_s": 300.0,
    "size_bytes": 42,
    "mode": "copy",
    "receipt": {
        "cpu_s": 1.5,
        "peak_rss_bytes": 90_000_000,
        "bytes_read": 50,
        "first_chunk_s": 0.4,
        "uploads": 10,
        "upload_s": 2.5,
        "rows": 5,
        "row_s": 0.25,
        "libavformat": "61",
    },
}


class Counted:
    """A world whose telemetry is the real one."""

    def __init__(self) -> None:
        self.metrics = Metrics("1.2.3")
        self.world = World(telemetry=self.metrics)

    def __getitem__(self, name: str) -> float | None:
        """A sample's value, by its text: name{labels}."""
        for line in self.metrics.expose().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return None


@pytest.fixture
def counted() -> Counted:
    return Counted()


async def run_through(world: World, message: str, exit_code: int = 0) -> None:
    await world.send(request_body(), sent_at=world.now - timedelta(seconds=3))
    await world.reconcile()
    world.cluster.run_pod(world.job())
    world.wait(5)
    await world.reconcile()
    world.wait(7)
    world.cluster.end_job(world.job(), message=message, exit_code=exit_code)
    await world.reconcile()


async def test_a_video_is_counted_once_whatever_is_looked_at_again(counted: Counted) -> None:
    world = counted.world
    await run_through(world, json.dumps(OUTCOME))
    for _ in range(3):
        await world.reconcile()
    assert counted['m0_videos_total{code="",phase="Succeeded"}'] == 1
    assert counted["m0_chunks_total"] == 5
    assert counted["m0_chunk_bytes_total"] == 42
    assert counted["m0_source_seconds_total"] == 300
    assert counted["m0_source_bytes_total"] == 50
    assert counted["m0_chunker_cpu_seconds_total"] == 1.5
    assert counted["m0_video_start_seconds_count"] == 1
    assert counted['m0_video_run_seconds_sum{phase="Succeeded"}'] == 7
    assert counted["m0_video_first_chunk_seconds_sum"] == 0.4
    assert (counted["m0_uploads_total"], counted["m0_upload_seconds_total"]) == (10, 2.5)
    assert (counted["m0_rows_total"], counted["m0_row_seconds_total"]) == (5, 0.25)
    assert counted['m0_chunker_peak_memory_bytes_bucket{le="1.34217728e+08"}'] == 1
    assert counted['m0_requests_total{result="created"}'] == 1
    assert counted["m0_request_wait_seconds_sum"] == 3


async def test_a_restart_counts_nothing_again(counted: Counted) -> None:
    world = counted.world
    await run_through(world, json.dumps(OUTCOME))
    world.telemetry = counted.metrics = Metrics("1.2.3")
    world.restart()
    await world.reconcile()
    assert counted["m0_chunks_total"] == 0
    assert counted['m0_videos_total{code="",phase="Succeeded"}'] == 0


async def test_failures_and_dead_letters_have_their_code(counted: Counted) -> None:
    world = counted.world
    await run_through(world, failed("NOT_MEDIA", "probe"), 65)
    assert counted['m0_videos_total{code="NOT_MEDIA",phase="Failed"}'] == 1
    assert counted['m0_dead_letters_total{code="NOT_MEDIA"}'] == 1
    await world.send(b"{")
    assert counted['m0_dead_letters_total{code="INVALID_JSON"}'] == 1
    assert counted['m0_requests_total{result="dead-lettered"}'] == 1


async def test_a_further_job_is_a_retry_with_its_cause(counted: Counted) -> None:
    world = counted.world
    await world.send(request_body())
    await world.reconcile()
    world.cluster.jobs.pop(world.job())
    await world.reconcile()
    await world.reconcile()
    assert counted['m0_retries_total{code="JOB_LOST"}'] == 1


async def test_reports_are_timed_and_their_errors_counted(counted: Counted) -> None:
    fake = FakeReporter()
    timed = counted.metrics.timed_reporter(fake)
    assert timed is not None
    fake.error = BackendUnavailableError("away")
    with pytest.raises(BackendUnavailableError):
        await timed.report(1, "batch", "QUEUED", None)
    assert counted['m0_backend_report_errors_total{kind="unavailable"}'] == 1
    fake.error = None
    await timed.report(1, "batch", "QUEUED", None)
    assert counted['m0_backend_report_seconds_count{result="confirmed"}'] == 1


async def test_work_is_timed_and_its_errors_counted(counted: Counted) -> None:
    async def work(key: str) -> None:
        if key == "bad":
            raise ValueError("bad key")

    timed = counted.metrics.timed(work)
    await timed("good")
    with pytest.raises(ValueError, match="bad key"):
        await timed("bad")
    assert counted["m0_reconcile_seconds_count"] == 2
    assert counted["m0_reconcile_errors_total"] == 1


async def test_gauges_are_asked_for_and_an_unknown_depth_is_no_zero(counted: Counted) -> None:
    messages, leads = {"requests": 7}, [True]
    counted.metrics.watch(
        Gauges(
            leader=lambda: leads[0],
            slots_limit=lambda: 4,
            slots_used=lambda: 1,
            not_starting=lambda: 0,
            workqueue=lambda: 2,
            watch_behind_s=lambda: 0.5,
            rounds=lambda: (9, 3),
            messages=lambda: messages,
            not_empty_s=lambda: {"requests": 12.5},
        )
    )
    assert counted["m0_leader"] == 1
    assert counted['m0_queue_messages{queue="requests"}'] == 7
    assert counted['m0_queue_not_empty_seconds{queue="requests"}'] == 12.5
    assert counted["m0_intake_rounds_total"] == 9
    assert counted["m0_intake_errors_total"] == 3
    assert counted['m0_build_info{version="1.2.3"}'] == 1
    messages.clear()
    assert counted['m0_queue_messages{queue="requests"}'] is None
    leads[0] = False
    assert counted["m0_leader"] == 0
    assert counted["m0_slots_used"] is None


async def test_the_receipt_is_the_chunkers_and_what_the_operator_saw(counted: Counted) -> None:
    await run_through(counted.world, json.dumps(OUTCOME))
    assert counted.world.status()["receipt"] == {
        **OUTCOME["receipt"],  # type: ignore[dict-item]
        "retries": 0,
        "bytes_out": 42,
        "waited_s": 5.0,
        "run_s": 7.0,
    }


async def test_a_video_that_never_ran_has_only_waited(counted: Counted) -> None:
    world = counted.world
    await world.send(request_body(inference_modality="weather"))
    world.wait(4)
    await world.reconcile()
    assert world.status()["receipt"] == {"retries": 0, "bytes_out": 0, "waited_s": 4.0}


def test_the_version_is_the_projects() -> None:
    """The images hold the packages without their metadata: it is written twice."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert __version__ == project["project"]["version"]
