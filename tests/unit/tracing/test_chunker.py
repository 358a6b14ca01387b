"""A run's spans at a real collector, a broker that is acted, and what is the same without them."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.collector import Collector
from unit.chunker.conftest import build_request, environment

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
BROUGHT = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
QUEUE = "M0_RESULTS_QUEUE"

# A broker that says on standard output what it was sent; file:// places in spite of it.
PROGRAM = """
import json, sys
import m0_wire.broker
from m0_chunker import cli
from m0_chunker.settings import Settings
from m0_wire.errors import UnroutableError

class Broker:
    def __init__(self, url, *, name): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def publish(self, queue, body, headers=None, **more):
        if headers and headers["x-m0-chunk-id"] == {refused}:
            raise UnroutableError("no queue took it")
        if headers:
            line = dict(queue=queue, headers=headers, body=body.decode(), id=more["message_id"])
            sys.stdout.write(json.dumps(line) + "\\n")

m0_wire.broker.Broker = Broker
Settings.local = property(lambda self: True)
cli.main()
"""

CHUNK = ["cut", "upload persistent", "upload cache", "row", f"publish {QUEUE}"]


@pytest.fixture
def run(run_instead, make_film, collector: Collector):
    """`run(OTEL_…=…)` → a run of three chunks, with a broker and a backend."""

    def start(refused: int = 0, **env: str):
        film = make_film("film.mp4", seconds=6.0)
        deployment = {"M0_AMQP_URL": "amqp://acted/", "M0_GRAPHQL_URL": f"{collector.url}/graphql"}
        given = {name: value for name, value in env.items() if value}
        return run_instead(PROGRAM.replace("{refused}", str(refused)), film, 2, deployment | given)

    return start


def test_a_run_is_one_trace_from_the_job_to_the_messages(run, collector: Collector):
    done = run(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        TRACEPARENT=BROUGHT,
        TRACESTATE="vendor=1",
        M0_RESOURCE="video-101",
        HOSTNAME="video-101-1-x",
    )
    assert done.code == 0, done.stderr
    collector.assert_one_trace(TRACE, PARENT)
    below = [f"    {name}" for name in CHUNK]
    assert collector.tree() == ["run", *(["  chunk", *below] * 3)]
    assert collector.one("run").parent == PARENT
    assert {span.service for span in collector.spans} == {"m0-chunker"}
    messages = collector.of(f"publish {QUEUE}")
    assert [m["headers"]["traceparent"] for m in done.messages] == [
        span.traceparent for span in messages
    ]
    assert {m["headers"]["tracestate"] for m in done.messages} == {"vendor=1"}
    assert {span.state for span in collector.spans} == {"vendor=1"}


def test_spans_say_what_they_are_about(run, collector: Collector):
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=BROUGHT, M0_ATTEMPT="2")
    chunk = collector.of("chunk")[1]
    said = collector.of(f"publish {QUEUE}")[1]
    message = done.messages[1]
    assert said.kind == "producer"
    assert said.attributes == {
        "m0.chunk_id": 2,
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": QUEUE,
        "messaging.message.id": message["id"],
        "messaging.message.body.size": len(message["body"]),
    }
    stored = collector.of("upload persistent")[1]
    assert stored.attributes["m0.object"] == json.loads(message["body"])["cloud_stream_path"]
    assert collector.of("upload cache")[1].kind == stored.kind == "client"
    assert collector.of("row")[1].attributes["graphql.operation.name"] == "createBatchChunk"
    assert chunk.attributes == {"m0.chunk_id": 2, "m0.size_bytes": done.chunk(2).stat().st_size}
    run_span = collector.one("run")
    assert run_span.attributes == {
        "m0.process_id": "101",
        "m0.attempt": 2,
        "m0.chunks": 3,
        "m0.mode": "copy",
    }
    for span in collector.of("chunk"):
        assert run_span.start_ns <= span.start_ns
        assert span.end_ns <= run_span.end_ns


def test_a_run_of_nobodys_trace_is_one_of_its_own(run, collector: Collector):
    uid = "0b5b1f0e-54a6-4d3f-9a61-0123456789ab"
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, M0_RUN=uid)
    assert done.code == 0, done.stderr
    collector.assert_one_trace(uid.replace("-", ""))
    assert collector.one("run").parent == ""


def test_a_failure_is_told_by_all_that_it_failed(run, collector: Collector):
    done = run(2, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=BROUGHT)
    assert done.outcome["failure"]["code"] == "PUBLISH_UNROUTABLE"
    collector.assert_one_trace(TRACE, PARENT)
    errors = {(span.name, span.error) for span in collector.spans if span.error}
    whole = done.outcome["failure"]["message"]
    assert ("run", whole) in errors
    assert ("chunk", "not announced") in errors
    (refused,) = [s for s in collector.of(f"publish {QUEUE}") if s.error]
    assert refused.attributes["m0.chunk_id"] == 2
    assert refused.attributes["error.type"] == "PUBLISH_UNROUTABLE"
    assert collector.one("run").attributes["error.type"] == "PUBLISH_UNROUTABLE"


def test_what_goes_on_from_another_run_has_its_own_spans(run, collector: Collector):
    run(3, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=BROUGHT, M0_RUN="a")
    before = len(collector.spans)
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=BROUGHT, M0_RUN="a")
    assert done.outcome["receipt"]["resumed_at"] >= 2
    assert len(collector.spans) > before
    collector.assert_one_trace(TRACE, PARENT)
    assert len(collector.of("run")) == 2


def test_what_no_film_is_made_of_ends_its_trace(run_chunker, tmp_path: Path, collector: Collector):
    text = tmp_path / "film.mp4"
    text.write_text("no film at all " * 100)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "TRACEPARENT": BROUGHT}
    done = run_chunker(text, 2, env)
    assert done.code != 0
    collector.assert_one_trace(TRACE, PARENT)
    assert collector.tree() == ["run", "  cut"]
    assert collector.one("cut").error


@pytest.mark.parametrize(
    ("endpoint", "brought"),
    [(False, ""), (False, BROUGHT), (False, UNSAMPLED), (True, UNSAMPLED)],
    ids=["off", "off, in a trace", "off, not sampled", "on, not sampled"],
)
def test_without_spans_what_came_goes_on_and_nothing_else(
    run, collector: Collector, endpoint: bool, brought: str
):
    done = run(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url if endpoint else "",
        TRACEPARENT=brought,
        TRACESTATE="vendor=1",
    )
    trace = {"traceparent": brought, "tracestate": "vendor=1"} if brought else {}
    for number, message in enumerate(done.messages, 1):
        assert message["headers"] == {
            "x-m0-process-id": "101",
            "x-m0-chunk-id": number,
            **trace,
        }
    assert len(done.messages) == 3
    assert collector.spans == []


def test_a_part_of_what_begins_here_is_recorded(run, collector: Collector):
    run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, M0_TRACE_RATIO="0")
    assert collector.spans == []


def test_one_that_is_away_costs_a_line_and_no_film(run, collector: Collector):
    began = time.monotonic()
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", TRACEPARENT=BROUGHT)
    assert time.monotonic() - began < 10
    assert done.code == 0, done.stderr
    assert len(done.messages) == 3
    assert done.stderr.count("traces not sent") == 1
    assert collector.spans == []


def test_one_that_is_slow_is_not_waited_for(run, collector: Collector):
    collector.delay_s = 60
    began = time.monotonic()
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=BROUGHT)
    assert time.monotonic() - began < 12
    assert (done.code, len(done.messages)) == (0, 3)
    assert "failure" not in done.outcome


def test_settings_that_make_no_sense_cost_a_line_and_no_film(run):
    done = run(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_BSP_MAX_QUEUE_SIZE="1",
        TRACEPARENT=BROUGHT,
    )
    assert (done.code, len(done.messages)) == (0, 3)
    assert "traces not sent" in done.stderr


@pytest.mark.parametrize(
    ("env", "imported"),
    [
        ({}, False),
        ({"TRACEPARENT": BROUGHT}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "TRACEPARENT": UNSAMPLED}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "TRACEPARENT": BROUGHT}, True),
    ],
    ids=["off", "off, in a trace", "on, not sampled", "on"],
)
def test_the_library_is_imported_only_to_record(env, imported, make_film, tmp_path):
    request = tmp_path / "request.json"
    film = make_film("film.mp4", seconds=6.0)
    request.write_text(json.dumps(build_request(film, tmp_path, 2)))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "m0_chunker.start", "--request", str(request)],
        env=environment(tmp_path, **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ("opentelemetry" in done.stderr) is imported
    assert ("google.protobuf" in done.stderr) is imported
