"""Reconcile over a fake cluster: the life of a video, and every way it can be disturbed."""

import json
from typing import Any

import pytest
from m0_contract.chunk import Progress
from m0_contract.outcome import Integrity, Outcome
from m0_contract.resource import FINALIZER
from m0_operator.errors import (
    ClusterConflictError,
    ClusterRejectedError,
    ClusterUnavailableError,
    LeadershipLostError,
)
from m0_wire.errors import BackendRejectedError, BackendUnavailableError, BrokerUnavailableError

from .conftest import SUCCESS, World, failed, request_body


async def running(world: World, body: bytes | None = None) -> str:
    await world.send(body or request_body())
    await world.reconcile()
    job = world.job()
    world.cluster.run_pod(job)
    await world.reconcile()
    return job


async def test_a_video_takes_eight_writes_from_message_to_end(world: World) -> None:
    job = await running(world)
    assert world.status()["phase"] == "Running"
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    assert world.status()["phase"] == "Succeeded"
    assert world.told == ["QUEUED", "PROCESSING"]
    assert world.dead_letters.letters == []
    assert world.cluster.jobs[job]["spec"]["ttlSecondsAfterFinished"] == 600
    assert len(world.cluster.writes) == 8


async def test_the_same_state_makes_no_writes(world: World) -> None:
    job = await running(world)
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    before = list(world.cluster.writes)
    for _ in range(3):
        await world.reconcile()
    world.restart()
    await world.reconcile()
    assert world.cluster.writes == before
    assert world.told == ["QUEUED", "PROCESSING"]


async def test_only_what_has_told_everybody_is_settled(world: World) -> None:
    job = await running(world)
    assert world.reporter is not None
    world.reporter.error = BackendUnavailableError("away")
    world.cluster.end_job(job, message=SUCCESS)
    for away in (True, False):
        await world.reconcile()
        # Its own writes are events.
        await world.reconcile()
        (resource,) = world.cluster.resources.values()
        version = resource["metadata"]["resourceVersion"]
        assert world.settled.has(resource["metadata"]["name"], version) is not away
        world.reporter.error = None
        world.wait(120)


async def test_success_says_what_came_of_it(world: World) -> None:
    job = await running(world)
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    status = world.status()
    assert status["progress"] == {
        "chunks": 5,
        "doneSeconds": 300.0,
        "totalSeconds": 300.0,
        "percent": "100%",
        "sizeBytes": 42,
    }
    assert (status["mode"], status["node"], status["attempts"]) == ("copy", "n1", 1)
    assert world.condition("ChunksPublished") == ("True", "AllChunksOut")
    assert world.condition("Succeeded") == ("True", "JobSucceeded")


async def test_a_failed_video_is_dead_lettered_once_with_its_exact_body(world: World) -> None:
    body = request_body()
    await world.send(body, headers={"trace": "t1"}, priority=7)
    await world.reconcile()
    world.cluster.end_job(world.job(), message=failed("SOURCE_NOT_FOUND"), exit_code=65)
    for _ in range(3):
        await world.reconcile()
    (letter,) = world.dead_letters.letters
    assert letter["body"] == body
    assert letter["priority"] == 7
    assert letter["headers"] == {
        "trace": "t1",
        "x-m0-error-code": "SOURCE_NOT_FOUND",
        "x-m0-error-message": "why",
        "x-m0-stage": "source",
        "x-m0-process-id": 101,
        "x-m0-attempts": 1,
        "x-m0-failed-at": "2026-01-01T00:00:00Z",
        "x-m0-first-seen-at": "2026-01-01T00:00:00Z",
    }
    assert world.told == ["QUEUED", "FAILED"]
    assert world.status()["failure"]["remedy"]


async def test_a_rejected_request_fails_without_a_job(world: World) -> None:
    await world.send(request_body(video_preprocessing={}))
    await world.reconcile()
    assert world.cluster.jobs == {}
    assert world.condition("Accepted") == ("False", "RequestInvalid")
    assert world.told == ["FAILED"]
    headers = world.dead_letters.letters[0]["headers"]
    assert headers["x-m0-error-field"] == "video_preprocessing.chunk_duration"
    assert headers["x-m0-stage"] == "intake"


# --- others are away ----------------------------------------------------------------------


async def test_the_job_does_not_wait_for_a_backend_that_is_away(world: World) -> None:
    world.reporter.error = BackendUnavailableError("connection refused")
    job = await running(world)
    assert world.condition("BackendReported") == ("False", "BackendUnavailable")
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    assert world.status()["phase"] == "Succeeded"
    assert world.told == []
    world.reporter.error = None
    world.wait(120)
    await world.reconcile()
    assert world.told == ["QUEUED", "PROCESSING"]
    assert world.condition("BackendReported") == ("True", "StatusConfirmed")


async def test_a_backend_that_is_away_is_asked_less_and_less_and_writes_nothing(
    world: World,
) -> None:
    world.reporter.error = BackendUnavailableError("connection refused")
    await running(world)
    before = list(world.cluster.writes)
    waits = []
    for _ in range(8):
        world.requeues.clear()
        await world.reconcile()
        waits.append(world.requeues[-1][1])
        world.wait(waits[-1])
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(60, abs=1)
    assert world.cluster.writes == before


async def test_a_refusal_by_the_backend_is_recorded_and_not_repeated(world: World) -> None:
    world.reporter.error = BackendRejectedError("no such process")
    job = await running(world)
    assert world.condition("BackendReported") == ("False", "BackendRejected")
    world.reporter.error = None
    world.wait(600)
    await world.reconcile()
    assert world.told == []
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    assert world.told == ["PROCESSING"]


async def test_without_a_backend_nothing_waits_for_one() -> None:
    world = World(reporter=None)
    job = await running(world)
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    assert world.condition("BackendReported") == ("True", "NoBackend")
    assert world.status()["phase"] == "Succeeded"


async def test_a_dead_letter_waits_for_the_broker_and_not_for_the_backend(world: World) -> None:
    job = await running(world)
    world.dead_letters.error = BrokerUnavailableError("away")
    world.reporter.error = BackendUnavailableError("away")
    world.cluster.end_job(job, message=failed("NOT_MEDIA", "probe"), exit_code=65)
    await world.reconcile()
    assert world.condition("DeadLettered") == ("False", "BrokerUnavailable")
    world.dead_letters.error = None
    world.wait(120)
    await world.reconcile()
    assert len(world.dead_letters.letters) == 1
    assert world.condition("DeadLettered") == ("True", "Published")


# --- crashes and lost answers -------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["write is lost", "answer is lost"])
@pytest.mark.parametrize("method", ["create_job", "patch_status"])
async def test_one_job_whatever_is_lost_on_the_way(
    world: World, method: str, *, after: bool
) -> None:
    await world.send(request_body())
    world.cluster.fail(method, after=after)
    with pytest.raises(ClusterUnavailableError):
        await world.reconcile()
    world.restart()
    await world.reconcile()
    assert len(world.cluster.jobs) == 1
    assert world.condition("JobCreated") == ("True", "JobCreated")
    assert world.status()["attempts"] == 1


async def test_the_lease_is_asked_for_again_after_a_record_that_took_long(world: World) -> None:
    world.reporter.error = BackendUnavailableError("away")
    job = await running(world)
    world.cluster.end_job(job, message=SUCCESS)
    world.reporter.error = None
    world.wait(120)
    patch_status = world.cluster.patch_status

    async def slow(*arguments: Any, **more: Any) -> Any:
        if "QUEUED" in world.told:
            world.lost = LeadershipLostError("frozen meanwhile")
        return await patch_status(*arguments, **more)

    world.cluster.patch_status = slow  # type: ignore[method-assign]
    with pytest.raises(LeadershipLostError):
        await world.reconcile()
    assert world.told == ["QUEUED"]


async def test_the_backend_hears_of_no_success_that_is_not_on_record(world: World) -> None:
    job = await running(world)
    world.cluster.end_job(job, message=SUCCESS)
    world.cluster.fail("patch_status")
    with pytest.raises(ClusterUnavailableError):
        await world.reconcile()
    assert world.told == ["QUEUED"]
    world.cluster.pods[job] = []
    world.restart()
    await world.reconcile()
    assert world.told == ["QUEUED"]
    assert world.status()["jobRef"]["attempt"] == 2, "nothing proves that it was done"


async def test_one_dead_letter_when_the_resource_changes_while_it_goes_out(world: World) -> None:
    job = await running(world)
    world.cluster.end_job(job, message=failed("NOT_MEDIA", "probe"), exit_code=65)
    publish = world.dead_letters.publish

    async def publish_while_somebody_writes(body: bytes, **more: object) -> None:
        await publish(body, **more)  # type: ignore[arg-type]
        world.cluster.touch("video-101")

    world.dead_letters.publish = publish_while_somebody_writes  # type: ignore[method-assign]
    await world.reconcile()
    await world.reconcile()
    assert len(world.dead_letters.letters) == 1
    assert world.condition("DeadLettered") == ("True", "Published")


async def test_one_dead_letter_when_its_record_fails_for_long(world: World) -> None:
    job = await running(world)
    world.cluster.end_job(job, message=failed("NOT_MEDIA", "probe"), exit_code=65)
    world.dead_letters.error = BrokerUnavailableError("away")
    await world.reconcile()
    world.dead_letters.error = None
    world.wait(60)
    for _ in range(5):
        world.cluster.fail("patch_status")
    with pytest.raises(ClusterUnavailableError):
        await world.reconcile()
    await world.reconcile()
    assert len(world.dead_letters.letters) == 1


async def test_of_two_statuses_at_once_a_crash_repeats_at_most_the_last(world: World) -> None:
    world.reporter.error = BackendUnavailableError("away")
    job = await running(world)
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    world.reporter.error = None
    report = world.reporter.report

    async def crash_after_the_last(*given: Any) -> None:
        await report(*given)
        if given[2] == "PROCESSING":
            raise RuntimeError("killed")

    world.reporter.report = crash_after_the_last  # type: ignore[method-assign]
    world.wait(120)
    with pytest.raises(RuntimeError):
        await world.reconcile()
    world.reporter.report = report  # type: ignore[method-assign]
    world.restart()
    await world.reconcile()
    assert world.told == ["QUEUED", "PROCESSING", "PROCESSING"]


async def test_who_has_lost_the_lease_tells_nobody_anything(world: World) -> None:
    job = await running(world)
    world.cluster.end_job(job, message=failed("NOT_MEDIA", "probe"), exit_code=65)
    world.lost = LeadershipLostError("paused for a minute")
    with pytest.raises(LeadershipLostError):
        await world.reconcile()
    assert world.dead_letters.letters == []
    assert world.told == ["QUEUED"]


async def test_a_failed_read_concludes_nothing(world: World) -> None:
    await running(world)
    world.cluster.fail("fetch_job")
    with pytest.raises(ClusterUnavailableError):
        await world.reconcile()
    assert world.status()["phase"] == "Running"
    assert len(world.cluster.jobs) == 1


async def test_a_conflict_is_answered_by_another_look(world: World) -> None:
    await world.send(request_body())
    world.cluster.fail("patch_status", ClusterConflictError("changed"))
    with pytest.raises(ClusterConflictError):
        await world.reconcile()
    await world.reconcile()
    assert len(world.cluster.jobs) == 1


async def test_an_event_that_is_not_posted_stops_nothing(world: World) -> None:
    await world.send(request_body())
    world.cluster.fail("announce")
    await world.reconcile()
    assert world.condition("JobCreated") == ("True", "JobCreated")


# --- Jobs ---------------------------------------------------------------------------------


async def test_a_vanished_job_is_started_again_three_times_at_most(world: World) -> None:
    await running(world)
    names = set()
    for _ in range(5):
        names |= world.cluster.jobs.keys()
        world.cluster.jobs.clear()
        world.cluster.pods.clear()
        await world.reconcile()
    assert len(names) == 4
    assert world.status()["failure"]["code"] == "JOB_LOST"
    assert len(world.dead_letters.letters) == 1


async def test_a_job_that_the_cluster_refuses_fails_the_video(world: World) -> None:
    await world.send(request_body())
    world.cluster.fail("create_job", ClusterRejectedError("spec.template: invalid"))
    await world.reconcile()
    assert world.status()["failure"]["code"] == "JOB_REFUSED"
    assert world.condition("JobCreated") == ("False", "JobRefused")
    assert world.told == ["QUEUED", "FAILED"]
    assert len(world.dead_letters.letters) == 1


async def test_a_quota_is_waited_for_and_said(world: World) -> None:
    await world.send(request_body())
    world.cluster.fail("create_job", ClusterUnavailableError("HTTP 403: exceeded quota"))
    with pytest.raises(ClusterUnavailableError):
        await world.reconcile()
    assert world.condition("JobCreated") == ("False", "JobRefusedForNow")
    assert "exceeded quota" in world.status()["message"]
    await world.reconcile()
    assert world.condition("JobCreated") == ("True", "JobCreated")


async def test_a_pod_that_can_not_start_is_told_in_words(world: World) -> None:
    await world.send(request_body())
    await world.reconcile()
    world.cluster.run_pod(world.job(), waiting={"reason": "ImagePullBackOff"})
    await world.reconcile()
    assert world.status()["message"] == "The pod can't start: the image c:1 can't be pulled"
    assert world.requeues


# --- people -------------------------------------------------------------------------------


async def test_a_deleted_running_video_is_stopped_told_and_let_go(world: World) -> None:
    job = await running(world)
    resource = world.cluster.resources["video-101"]
    await world.cluster.delete_resource("video-101", resource["metadata"]["uid"])
    await world.reconcile()
    assert world.cluster.jobs[job]["metadata"]["deletionTimestamp"]
    assert world.dead_letters.letters == [], "the pod may still be announcing a chunk"
    world.cluster.jobs.clear()
    await world.reconcile()
    assert world.told == ["QUEUED", "FAILED"]
    assert world.dead_letters.letters[0]["headers"]["x-m0-error-code"] == "STOPPED"
    assert world.cluster.resources == {}


async def test_a_deleted_video_is_held_until_the_backend_knows(world: World) -> None:
    await running(world)
    world.reporter.error = BackendUnavailableError("away")
    world.cluster.jobs.clear()
    resource = world.cluster.resources["video-101"]
    await world.cluster.delete_resource("video-101", resource["metadata"]["uid"])
    await world.reconcile()
    assert "video-101" in world.cluster.resources
    world.reporter.error = None
    world.wait(600)
    await world.reconcile()
    assert world.cluster.resources == {}


async def test_stop_ends_the_job_and_dead_letters(world: World) -> None:
    await running(world)
    world.cluster.resources["video-101"]["spec"]["stop"] = True
    await world.reconcile()
    world.cluster.jobs.clear()
    await world.reconcile()
    assert world.status()["phase"] == "Stopped"
    assert world.condition("Succeeded") == ("False", "Stopped")
    assert len(world.dead_letters.letters) == 1


async def test_a_suspended_video_starts_no_job(world: World) -> None:
    await world.send(request_body())
    world.cluster.resources["video-101"]["spec"]["suspend"] = True
    await world.reconcile()
    assert world.cluster.jobs == {}
    world.cluster.resources["video-101"]["spec"]["suspend"] = False
    await world.reconcile()
    assert len(world.cluster.jobs) == 1


async def test_a_running_video_can_be_suspended_and_resumed(world: World) -> None:
    job = await running(world)
    world.cluster.resources["video-101"]["spec"]["suspend"] = True
    await world.reconcile()
    assert world.cluster.jobs[job]["spec"]["suspend"] is True
    assert world.status()["message"].startswith("Suspended")
    writes = list(world.cluster.writes)
    await world.reconcile()
    assert world.cluster.writes == writes
    world.cluster.resources["video-101"]["spec"]["suspend"] = False
    await world.reconcile()
    assert world.cluster.jobs[job]["spec"]["suspend"] is False
    assert world.status()["phase"] == "Running"


async def test_a_resource_applied_by_hand_runs_and_gets_the_finalizer(world: World) -> None:
    await world.cluster.create_resource(
        {
            "metadata": {"name": "by-hand", "namespace": "m0"},
            "spec": {
                "processId": 7,
                "inferenceModality": "live",
                "cloudStreamPath": "rtsp://camera/1",
                "destinationPrefix": "s3://b/out",
                "cacheContainerName": "cache",
                "videoPreprocessing": {"chunkDuration": 10},
            },
        }
    )
    await world.reconcile("by-hand")
    assert world.cluster.resources["by-hand"]["metadata"]["finalizers"] == [FINALIZER]
    assert world.reporter.reports == [(7, "live", "QUEUED", None)]
    world.cluster.end_job(world.job(), message=failed("SOURCE_UNREACHABLE"), exit_code=75)
    await world.reconcile("by-hand")
    assert b'"process_id":7' in world.dead_letters.letters[0]["body"]


@pytest.mark.parametrize(
    "changes",
    [
        {"rejection": {"code": "NO_SUCH_CODE", "message": "m"}},
        {"origin": {"body": "a"}},
        {"inferenceConfig": "none"},
        {},
    ],
    ids=["an unknown code", "no base64", "a text for an object", "nothing at all"],
)
async def test_a_resource_applied_by_hand_that_nobody_can_read_fails_and_says_so(
    world: World, changes: dict[str, Any]
) -> None:
    await world.cluster.create_resource(
        {"metadata": {"name": "odd", "namespace": "m0"}, "spec": {"processId": 7, **changes}}
    )
    await world.reconcile("odd")
    assert world.status("odd")["phase"] == "Failed"
    assert world.status("odd")["failure"]["code"] == "INVALID_REQUEST"
    assert world.told == ["FAILED"]
    assert len(world.dead_letters.letters) == 1


# --- progress -----------------------------------------------------------------------------


async def test_progress_is_written_at_most_once_a_second(world: World) -> None:
    await running(world)
    for chunk in range(1, 5):
        progress = Progress(
            resource="video-101", attempt=1, chunks=chunk, done_s=chunk * 60, total_s=300
        )
        world.progress.hear(progress.model_dump_json().encode())
        await world.reconcile()
    assert world.cluster.writes.count("patch_progress") == 1
    assert world.status()["progress"]["percent"] == "20%"
    world.wait(1)
    await world.reconcile()
    assert world.status()["progress"]["percent"] == "80%"
    assert world.cluster.writes.count("patch_progress") == 2


async def test_progress_of_an_earlier_attempt_is_not_shown(world: World) -> None:
    await running(world)
    world.cluster.jobs.clear()
    world.cluster.pods.clear()
    await world.reconcile()
    late = Progress(resource="video-101", attempt=1, chunks=4, done_s=240, total_s=300)
    world.progress.hear(late.model_dump_json().encode())
    await world.reconcile()
    assert "progress" not in world.status()


def progress(chunks: int, attempt: int = 1) -> bytes:
    said = Progress(
        resource="video-101", attempt=attempt, chunks=chunks, done_s=chunks * 60, total_s=300
    )
    return said.model_dump_json().encode()


@pytest.mark.parametrize("attempt", [1, 2], ids=["another pod", "another Job"])
@pytest.mark.parametrize("restarted", [False, True], ids=["", "and another operator"])
async def test_progress_does_not_go_back_when_it_is_resumed(
    world: World, attempt: int, *, restarted: bool
) -> None:
    await running(world)
    world.progress.hear(progress(3))
    await world.reconcile()
    assert world.status()["progress"]["percent"] == "60%"
    if restarted:
        world.restart()
    if attempt == 2:
        world.cluster.jobs.clear()
        world.cluster.pods.clear()
        await world.reconcile()
        assert world.status()["progress"]["chunks"] == 3
        world.cluster.run_pod(world.job())
    seen = []
    for chunks in (2, 3, 4):  # the last ones before it was killed are announced again
        world.wait(1)
        world.progress.hear(progress(chunks, attempt))
        await world.reconcile()
        seen.append(world.status()["progress"]["chunks"])
    assert seen == [3, 3, 4]


async def test_the_certificate_and_the_receipt_are_in_the_status(world: World) -> None:
    integrity = {
        "packets_in": 1400,
        "packets_out": 1400,
        "payload_sha256": "ab" * 32,
        "streams": [{"kind": "video", "in": 600, "out": 600}],
        "covered_s": 18.5,
        "missing_s": 1.5,
        "notes": ["The film ends 1.5 s early."],
    }
    receipt = {"resumed_at": 3, "first_chunk_s": None, "cpu_s": 0.4, "bytes_read": 10}
    job = await running(world)
    outcome = Outcome(
        chunks=5,
        duration_s=18.5,
        size_bytes=9,
        mode="copy",
        integrity=Integrity.model_validate(integrity),
        receipt=receipt,
    )
    world.cluster.end_job(job, message=outcome.to_termination_message())
    await world.reconcile()
    status = world.status()
    assert status["integrity"] == integrity
    assert {k: v for k, v in status["receipt"].items() if v is not None} == {
        **{k: v for k, v in receipt.items() if v is not None},
        "retries": 0,
        "bytes_out": 9,
        "waited_s": 5.0,
        "run_s": 0.0,
    }
    assert status["progress"]["chunks"] == 5
    writes = len(world.cluster.writes)
    await world.reconcile()
    assert len(world.cluster.writes) == writes, "nothing is left to be written"


async def test_the_largest_outcome_leaves_a_small_status(world: World) -> None:
    notes = [f"damaged pictures: not cut exactly at {n}.000 s" for n in range(5000)]
    job = await running(world)
    outcome = Outcome(chunks=5, integrity=Integrity.model_validate({"notes": notes}))
    world.cluster.end_job(job, message=outcome.to_termination_message())
    await world.reconcile()
    assert world.status()["phase"] == "Succeeded"
    assert len(json.dumps(world.status())) < 8192


async def test_a_resource_that_went_unheard_frees_its_slot(world: World) -> None:
    await running(world)
    world.cluster.resources.clear()
    assert world.reconciler.known == ("video-101",)
    await world.reconcile()
    assert world.slots.active == 0
    assert world.reconciler.known == ()


async def test_a_successor_under_the_same_name_frees_the_slot_of_one_that_went_unheard(
    world: World,
) -> None:
    await running(world)
    world.cluster.resources.clear()
    await world.send(request_body(destination_prefix="elsewhere/"))
    await world.reconcile()
    assert world.slots.active == 1


async def test_a_finished_video_frees_its_slot(world: World) -> None:
    job = await running(world)
    assert world.slots.active == 1
    world.cluster.end_job(job, message=SUCCESS)
    await world.reconcile()
    assert world.slots.active == 0
