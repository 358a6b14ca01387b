"""The operator's spans: once each, in the request's trace, whatever is looked at again."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from m0_contract.trace import Span, read_context
from m0_operator.adapters.metrics import Metrics
from m0_operator.adapters.traces import Traces
from m0_operator.services.telemetry import Both
from m0_operator.settings import GatewaySettings, OperatorSettings
from m0_operator.tracing import open_tracing
from unit.operator.conftest import SUCCESS, World, failed, request_body

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
BROUGHT = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
QUEUE = "M0_PRIORITY_QUEUE"


@dataclass
class Traced:
    """A world whose spans are kept."""

    ratio: float = 1.0
    spans: list[Span] = field(default_factory=list)
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(trace_ratio=self.ratio)
        traces = Traces(self.spans.append, lambda: self.world.now, ratio=self.ratio, queue=QUEUE)
        self.world.telemetry = Both(Metrics("1"), traces)
        self.world.restart()

    def one(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def environment(self, job: str | None = None) -> dict[str, str]:
        """What the chunker is told of the trace."""
        manifest = self.world.cluster.jobs[job or self.world.job()]
        env = manifest["spec"]["template"]["spec"]["containers"][0]["env"]
        names = {"TRACEPARENT": "traceparent", "TRACESTATE": "tracestate"}
        return {names[item["name"]]: item["value"] for item in env if item["name"] in names}


@pytest.fixture
def traced() -> Traced:
    return Traced()


async def start(world: World, headers: dict[str, Any] | None = None, **changes: Any) -> None:
    await world.send(request_body(**changes), headers=headers or {})
    await world.reconcile()
    world.cluster.run_pod(world.job())
    world.wait(5)
    await world.reconcile()
    world.wait(7)


async def run_through(
    world: World, headers: dict[str, Any] | None, message: str, exit_code: int = 0
) -> None:
    await start(world, headers)
    world.cluster.end_job(world.job(), message=message, exit_code=exit_code)
    for _ in range(3):
        await world.reconcile()


async def test_a_video_its_intake_and_its_job_are_in_the_requests_trace(traced: Traced) -> None:
    await run_through(traced.world, BROUGHT, SUCCESS)
    video, intake, job = (traced.one(name) for name in ("video", f"process {QUEUE}", "job"))
    assert len(traced.spans) == 3
    assert {span.at.trace_id for span in traced.spans} == {TRACE}
    assert {span.at.state for span in traced.spans} == {"vendor=1"}
    assert video.parent_id == PARENT
    assert intake.parent_id == job.parent_id == video.at.span_id
    assert read_context(traced.environment()) == job.at
    assert intake.kind == "consumer"
    assert intake.attributes["messaging.destination.name"] == QUEUE
    assert video.attributes == {
        "m0.process_id": "101",
        "m0.resource": "video-101",
        "k8s.namespace.name": "m0",
        "m0.phase": "Succeeded",
        "m0.attempts": 1,
        "m0.chunks": 5,
        "error.type": None,
    }
    assert (video.end_ns - video.start_ns) / 1e9 == 12
    assert job.attributes["k8s.job.name"] == traced.world.job()
    assert job.error is video.error is None


async def test_a_request_of_nobodys_trace_begins_one(traced: Traced) -> None:
    await run_through(traced.world, {}, SUCCESS)
    uid = traced.world.cluster.resources["video-101"]["metadata"]["uid"]
    video, place = traced.one("video"), read_context(traced.environment())
    assert video.parent_id is None
    assert place is not None
    assert place.trace_id == video.at.trace_id
    assert len(uid) > 0
    assert place.sampled


async def test_a_failure_is_said(traced: Traced) -> None:
    await run_through(traced.world, BROUGHT, failed("NOT_MEDIA", "probe"), 65)
    for name in ("video", "job"):
        assert traced.one(name).error
    assert traced.one("video").attributes["error.type"] == "NOT_MEDIA"


async def test_what_can_not_be_run_has_a_video_and_no_job(traced: Traced) -> None:
    await traced.world.send(request_body(destination_prefix=...), headers=BROUGHT)
    await traced.world.reconcile()
    await traced.world.reconcile()
    assert traced.one("video").attributes["error.type"] == "INVALID_REQUEST"
    assert [span for span in traced.spans if span.name == "job"] == []


async def test_a_further_job_has_a_span_of_its_own(traced: Traced) -> None:
    world = traced.world
    await start(world, BROUGHT)
    first = world.job()
    world.cluster.jobs.pop(first)
    for _ in range(3):
        await world.reconcile()
    second = read_context(traced.environment())
    world.cluster.end_job(world.job(), message=SUCCESS)
    await world.reconcile()
    jobs = [span for span in traced.spans if span.name == "job"]
    assert [span.attributes["k8s.job.name"] for span in jobs] == [first, world.job()]
    assert [bool(span.error) for span in jobs] == [True, False]
    assert jobs[0].at != jobs[1].at == second
    assert {span.parent_id for span in jobs} == {traced.one("video").at.span_id}


async def test_a_restart_says_nothing_again_and_knows_all_ids(traced: Traced) -> None:
    world = traced.world
    await start(world, BROUGHT)
    world.restart()
    world.cluster.end_job(world.job(), message=SUCCESS)
    await world.reconcile()
    world.restart()
    await world.reconcile()
    assert sorted(span.name for span in traced.spans) == ["job", f"process {QUEUE}", "video"]
    video = traced.one("video").at.span_id
    assert {span.parent_id for span in traced.spans} == {PARENT, video}


async def test_what_is_written_but_not_answered_is_left_out_not_doubled(traced: Traced) -> None:
    world = traced.world
    await start(world, BROUGHT)
    world.cluster.end_job(world.job(), message=SUCCESS)
    world.cluster.fail("patch_status", after=True)
    for _ in range(4):
        try:
            await world.reconcile()
        except Exception:  # noqa: BLE001 - the cluster's
            continue
    assert world.status()["phase"] == "Succeeded"
    assert [span.name for span in traced.spans] == [f"process {QUEUE}"]


@pytest.mark.parametrize(
    ("headers", "sampled"),
    [({}, False), (BROUGHT, True), ({"traceparent": f"00-{TRACE}-{PARENT}-00"}, False)],
    ids=["begins here", "recorded", "not recorded"],
)
async def test_the_job_is_told_whether_the_trace_is_recorded(
    headers: dict[str, str], sampled: bool
) -> None:
    traced = Traced(ratio=0.0)
    await run_through(traced.world, headers, SUCCESS)
    assert {span.at.sampled for span in traced.spans} == {sampled}
    place = read_context(traced.environment())
    assert place is not None
    assert place.sampled is sampled


async def test_off_the_job_is_told_what_came(world: World) -> None:
    await run_through(world, BROUGHT, SUCCESS)
    traced = Traced()
    traced.world = world
    assert traced.environment() == BROUGHT


async def test_a_person_may_write_any_time_into_an_origin(traced: Traced) -> None:
    world = traced.world
    await start(world, BROUGHT)
    world.cluster.resources["video-101"]["spec"]["origin"]["receivedAt"] = "long ago"
    world.cluster.end_job(world.job(), message=SUCCESS)
    await world.reconcile()
    assert traced.one("video").start_ns > 0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("M0_TRACE_RATIO", "0.5")
    return  # type: ignore[return-value]


@pytest.mark.usefixtures("endpoint")
def test_settings_come_from_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = GatewaySettings(amqp_url="amqp://h/")
    assert (settings.otlp_endpoint, settings.trace_ratio) == ("http://127.0.0.1:9", 0.5)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    assert open_tracing("m0-gateway", settings) is None  # a queue less than a batch: said, no more
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert open_tracing("m0-gateway", GatewaySettings(amqp_url="amqp://h/")) is None


@pytest.mark.parametrize("program", ["m0_operator.app", "m0_operator.gateway.serve"])
def test_off_the_library_is_not_imported(program: str) -> None:
    code = (
        f"import json, sys, {program}\n"
        "from m0_operator.settings import QueueSettings\n"
        "from m0_operator.tracing import open_tracing\n"
        "assert open_tracing('x', QueueSettings(amqp_url='amqp://h/')) is None\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    assert program in modules
    # FastAPI imports the interface, which records nothing.
    unwanted = ("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "m0_wire.tracing")
    assert [name for name in modules if name.startswith(unwanted)] == []


def test_the_operators_settings_have_them_too() -> None:
    assert {"otlp_endpoint", "trace_ratio"} <= OperatorSettings.model_fields.keys()
