"""Operators that are killed, drained or paused; Jobs that can't start or lose their node."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from devstack import ROOT, Message, wait_for
from m0_contract.resource import KIND
from m0_operator.adapters.cluster import KubernetesCluster
from m0_operator.services.resync import LISTENING_S
from own import NODE, Operator, OwnStack, own_stack

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]

NOWHERE = {"nodeSelector": {"m0.test/no-such": "node"}}
"""A template whose pods never start: for what does not depend on them."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnStack]:
    with own_stack(tmp_path) as stack:
        yield stack


@pytest.fixture
def send(own: OwnStack, new_id: NewId, request_for: Request) -> Callable[..., int]:
    """Sends a request to the own operators; its process id."""

    def send(**changes: Any) -> int:
        process_id = new_id()
        own.publish(request_for(process_id, **changes), queue=own.requests)
        return process_id

    return send


Send = Callable[..., int]


def status(own: OwnStack, process_id: int) -> dict[str, Any]:
    found: dict[str, Any] = (own.resource(f"video-{process_id}") or {}).get("status", {})
    return found


def condition(own: OwnStack, process_id: int, kind: str) -> dict[str, Any]:
    return next(
        (item for item in status(own, process_id).get("conditions", ()) if item["type"] == kind), {}
    )


def wait_told(own: OwnStack, process_id: int, *statuses: str) -> None:
    """Wait until the backend has these statuses and no others."""
    wait_for(
        f"{statuses} of {process_id}",
        lambda: [name for name, _ in own.statuses(process_id)] == list(statuses),
    )


def letters(own: OwnStack, *process_ids: int) -> list[Message]:
    """Wait until each of these has a dead letter; all that there are."""

    def look() -> list[Message] | None:
        found = own.messages(own.letters, lambda _: True)
        return found if {letter.process_id for letter in found} >= set(process_ids) else None

    return wait_for(f"the dead letters of {process_ids}", look)


def events(own: OwnStack, process_id: int) -> list[tuple[str, str]]:
    """(type, reason) of the events about a request's resource."""
    text = own.kubectl(
        "get", "events", "--field-selector", f"involvedObject.name=video-{process_id}",
        "-o", "json",
    )  # fmt: skip
    return [(item["type"], item["reason"]) for item in json.loads(text)["items"]]


def pair(own: OwnStack) -> tuple[Operator, Operator]:
    """One that leads and one that stands by."""
    leader = own.start_leader(NOWHERE)
    follower = own.start(NOWHERE)
    wait_for("the second to stand by", lambda: follower.said("Standing by"))
    assert (follower.probe("livez"), follower.probe("readyz")) == (200, 200)
    return leader, follower


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "drained"])
def test_the_one_that_stands_by_takes_over(
    own: OwnStack, send: Send, number: signal.Signals
) -> None:
    leader, follower = pair(own)
    first = send()
    wait_told(own, first, "QUEUED")
    leader.send(number)
    since = time.monotonic()
    second = send()
    wait_for("the second to lead", lambda: follower.leads)
    led_s = time.monotonic() - since
    wait_told(own, second, "QUEUED")
    print(f"{number.name}: leads after {led_s:.1f} s, acted after {time.monotonic() - since:.1f} s")
    assert leader.wait() == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    wait_told(own, first, "QUEUED")
    jobs = json.loads(own.kubectl("get", "jobs", "-o", "json"))["items"]
    assert len(jobs) == 2


def test_a_paused_leader_does_nothing_when_it_wakes_up(own: OwnStack, send: Send) -> None:
    leader, follower = pair(own)
    before = [send(inference_modality="weather") for _ in range(2)]
    leader.send(signal.SIGSTOP)
    during = [send(destination_prefix=...) for _ in range(3)]
    wait_for("the second to lead", lambda: follower.leads)
    for process_id in (*before, *during):
        wait_told(own, process_id, "FAILED")
    leader.send(signal.SIGCONT)
    assert leader.wait() != 0
    assert "Lease" in leader.last_words
    last = send(destination_prefix=...)
    wait_told(own, last, "FAILED")
    found = letters(own, *before, *during, last)
    assert len(found) == len(before) + len(during) + 1, "each once"
    for process_id in (*before, *during):
        wait_told(own, process_id, "FAILED")


def test_an_image_that_can_not_be_pulled_is_told_within_a_minute(own: OwnStack, send: Send) -> None:
    own.start_leader({"image": "m0-none:1", "imagePullPolicy": "Never"})
    process_id = send()
    since = time.monotonic()
    wait_for(
        "the condition", lambda: condition(own, process_id, "PodStarted").get("status") == "False"
    )
    assert time.monotonic() - since < 60, "the promise is a minute"
    said = condition(own, process_id, "PodStarted")
    assert said["reason"] == "ImagePullFailed"
    assert "m0-none:1" in said["message"]
    assert "m0-none:1" in status(own, process_id)["message"]
    wait_for("the event", lambda: ("Warning", "ImagePullFailed") in events(own, process_id))


def test_a_pod_that_no_node_takes_is_told_within_a_minute(own: OwnStack, send: Send) -> None:
    own.start_leader(NOWHERE)
    process_id = send()
    since = time.monotonic()
    wait_for(
        "the condition", lambda: condition(own, process_id, "PodStarted").get("status") == "False"
    )
    assert time.monotonic() - since < 60, "the promise is a minute"
    assert condition(own, process_id, "PodStarted")["reason"] == "Unschedulable"
    wait_for("the event", lambda: ("Warning", "Unschedulable") in events(own, process_id))


def test_a_run_that_had_too_little_memory_is_followed_by_one_with_more(
    own: OwnStack, send: Send
) -> None:
    own.start_leader(
        {"resources": {"limits": {"memory": "24Mi"}, "requests": {}}, "memoryCap": "400Mi"}
    )
    process_id = send()
    own.wait_phase(f"video-{process_id}", "Succeeded")
    wait_told(own, process_id, "QUEUED", "PROCESSING")
    found = status(own, process_id)
    assert found["jobRef"]["attempt"] >= 2
    assert found["jobRef"]["memory"] in {"48Mi", "96Mi", "192Mi", "384Mi", "400Mi"}
    assert found["attempts"] == found["jobRef"]["attempt"]
    assert ("Warning", "StartedAgain") in events(own, process_id)
    assert len(own.rows(process_id)) == 5


def test_memory_ends_at_the_cap(own: OwnStack, send: Send) -> None:
    own.start_leader({"resources": {"limits": {"memory": "20Mi"}}, "memoryCap": "30Mi"})
    process_id = send()
    own.wait_phase(f"video-{process_id}", "Failed")
    wait_told(own, process_id, "QUEUED", "FAILED")
    found = status(own, process_id)
    assert found["failure"]["code"] == "OUT_OF_MEMORY"
    assert found["jobRef"]["memory"] == "30Mi"
    assert len(letters(own, process_id)) == 1


def in_node(*command: str) -> None:
    """Run something in the cluster's one node."""
    docker = ROOT / ".m0/bin/docker"
    subprocess.run([docker, "exec", NODE, *command], check=True, timeout=60)


def test_a_video_on_a_node_that_is_gone_is_started_elsewhere(
    own: OwnStack, send: Send, long_source: tuple[str, int]
) -> None:
    own.start_leader({"stuckPodSeconds": 5})
    process_id = send(cloud_stream_path=long_source[0], video_preprocessing={"chunk_duration": 2})
    wait_for("the first chunk", lambda: own.rows(process_id))
    in_node("systemctl", "stop", "kubelet")
    try:
        pod = own.kubectl("get", "pods", "-o", "name").split()[-1]
        own.kubectl("delete", pod, "--grace-period=1", "--wait=false")
        found = wait_for(
            "the second Job",
            lambda: (
                status(own, process_id)
                if status(own, process_id).get("jobRef", {}).get("attempt") == 2
                else None
            ),
        )
        assert found["jobRef"]["retries"] == 0, "not held against it"
        assert ("Warning", "StartedAgain") in events(own, process_id)
    finally:
        in_node("systemctl", "start", "kubelet")
    own.wait_phase(f"video-{process_id}", "Succeeded")
    wait_told(own, process_id, "QUEUED", "PROCESSING")
    assert len(own.rows(process_id)) == long_source[1] // 2
    heard = own.messages(own.results, lambda m: m.process_id == process_id)
    assert len({m.json["chunk_id"] for m in heard}) == long_source[1] // 2


def patch(own: OwnStack, process_id: int, **spec: Any) -> None:
    own.kubectl(
        "patch", "vcj", f"video-{process_id}", "--type=merge", "-p", json.dumps({"spec": spec})
    )


def test_a_stopped_one_ends_and_says_so(own: OwnStack, send: Send) -> None:
    own.start_leader(NOWHERE)
    process_id = send()
    wait_told(own, process_id, "QUEUED")
    wait_for("its pod", lambda: own.kubectl("get", "pods", "-o", "name").strip())
    patch(own, process_id, stop=True)
    own.wait_phase(f"video-{process_id}", "Stopped")
    wait_told(own, process_id, "QUEUED", "FAILED")
    (letter,) = letters(own, process_id)
    assert letter.headers["x-m0-error-code"] == "STOPPED"
    assert not own.kubectl("get", "jobs,pods", "-o", "name").strip()


def test_jobs_go_on_without_an_operator_and_the_next_one_takes_them_over(
    own: OwnStack, send: Send, long_source: tuple[str, int]
) -> None:
    first = own.start_leader()
    process_id = send(cloud_stream_path=long_source[0], video_preprocessing={"chunk_duration": 2})
    wait_for("the first chunk", lambda: own.rows(process_id))
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    chunks = long_source[1] // 2
    wait_for("the Job to end by itself", lambda: len(own.rows(process_id)) == chunks)
    own.start_leader()
    own.wait_phase(f"video-{process_id}", "Succeeded")
    wait_told(own, process_id, "QUEUED", "PROCESSING")
    found = status(own, process_id)
    assert (found["attempts"], found["progress"]["chunks"]) == (1, chunks)
    assert len(own.messages(own.results, lambda m: m.process_id == process_id)) == chunks


def test_the_limit_of_active_videos_changes_while_it_runs(
    own: OwnStack, send: Send, tmp_path: Path
) -> None:
    file = tmp_path / "max-active-jobs"
    file.write_text("1")
    own.start_leader(NOWHERE, M0_MAX_ACTIVE_JOBS_FILE=str(file))
    ids = [send() for _ in range(3)]

    def taken() -> int:
        return sum(own.resource(f"video-{process_id}") is not None for process_id in ids)

    wait_for("the first", lambda: taken() == 1)
    time.sleep(2)
    assert taken() == 1
    assert own.depth(own.requests) == 2, "the queue holds the rest"
    file.write_text("3")
    wait_for("the others", lambda: taken() == 3)


def test_a_finished_one_goes_after_its_time_and_costs_few_writes(own: OwnStack, send: Send) -> None:
    operator = own.start_leader(M0_FINISHED_TTL_HOURS="0.002", M0_RESYNC_S="2")
    process_id = send()
    wait_told(own, process_id, "QUEUED", "PROCESSING")
    wait_for("it to go", lambda: own.resource(f"video-{process_id}") is None)
    assert len(own.rows(process_id)) == 5
    (ended,) = [line for line in operator.log if line["message"] == "Video ended"]
    print(f"{ended['api_writes']} API writes in the life of a video")
    assert ended["api_writes"] <= 8


async def test_thousands_of_resources_are_listed_by_pages(
    own: OwnStack, new_id: NewId, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"video-{new_id()}" for _ in range(5)]
    example = yaml.safe_load((ROOT / "examples" / "videochunkjob.yaml").read_text())
    items = [example | {"metadata": {"name": name}} for name in names]
    everything = {"apiVersion": "v1", "kind": "List", "items": items}
    own.kubectl("apply", "-f", "-", stdin=json.dumps(everything))
    # The client reads the environment when it is imported.
    place = "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(place, own.env["KUBECONFIG"])
    monkeypatch.setattr("m0_operator.adapters.cluster.PAGE", 2)
    async with KubernetesCluster(own.namespace) as cluster:
        whole = [item async for item in cluster.list_resources()]
        versions = await cluster.list_versions(KIND)
        assert await cluster.list_versions("Job") == []
    assert [item["metadata"]["name"] for item in whole] == names
    assert all(item["spec"]["processId"] for item in whole)
    assert versions == [
        (item["metadata"]["name"], item["metadata"]["resourceVersion"]) for item in whole
    ]


def test_a_crowd_of_resources_is_heard_in_time(own: OwnStack, new_id: NewId) -> None:
    example = yaml.safe_load((ROOT / "examples" / "videochunkjob.yaml").read_text())
    names = [f"video-{new_id()}" for _ in range(300)]
    items = [
        example | {"metadata": {"name": name}, "spec": example["spec"] | {"suspend": True}}
        for name in names
    ]
    everything = {"apiVersion": "v1", "kind": "List", "items": items}
    own.kubectl("apply", "-f", "-", stdin=json.dumps(everything))
    operator = own.start(M0_RESYNC_S="5", M0_GRAPHQL_URL="")
    wait_for("it to lead", lambda: operator.leads)

    def all_seen() -> bool:
        found = own.items("vcj", "")
        return all(item.get("status", {}).get("phase") == "Queued" for item in found)

    wait_for("all to be looked at", all_seen)
    # By then it has compared lists with events, and would have started anew.
    time.sleep(LISTENING_S + 10)
    assert operator.process.poll() is None, operator.last_words
    assert not operator.said("Starting anew")
