"""The whole way: gateway, operator and chunker, one trace at one collector."""

from collections.abc import Iterator

import httpx
import pytest
from fakes.collector import Collector
from m0_operator.adapters.traces import Traces
from m0_operator.gateway.app import Options, build_app
from m0_wire.tracing import Tracing
from unit.operator.conftest import World, request_body
from unit.operator.doors import FakeQueue
from unit.tracing.test_chunker import CHUNK, PROGRAM, QUEUE

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@pytest.fixture
def tracing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracing]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    made = Tracing("m0-operator", ratio=1.0, say=lambda _: None)
    yield made
    made.close()


@pytest.mark.parametrize("caller", [CALLER, ""], ids=["in the caller's trace", "in its own"])
async def test_from_the_http_request_to_the_chunks_messages(
    caller: str, tracing: Tracing, collector: Collector, run_instead, make_film
) -> None:
    queue = FakeQueue()
    app = build_app(queue, Options(tracer=tracing.provider))
    transport = httpx.ASGITransport(app=app)
    headers = {"traceparent": f"00-{TRACE}-{caller}-01"} if caller else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        await client.post("/api/v1/process_video", content=request_body(), headers=headers)

    world = World(trace_ratio=1.0)
    world.telemetry = Traces(
        tracing.record, lambda: world.now, ratio=1.0, queue="M0_PRIORITY_QUEUE"
    )
    world.restart()
    await world.send(queue.published[0][0], headers=queue.headers[0])
    await world.reconcile()

    pod = world.cluster.jobs[world.job()]["spec"]["template"]["spec"]
    told = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
    run = run_instead(
        PROGRAM.replace("{refused}", "0"),
        make_film("film.mp4", seconds=6.0),
        2,
        {
            "M0_AMQP_URL": "amqp://acted/",
            "M0_GRAPHQL_URL": f"{collector.url}/graphql",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "TRACEPARENT": told["TRACEPARENT"],
            "M0_RESOURCE": told["M0_RESOURCE"],
        },
    )
    assert run.code == 0, run.stderr
    world.wait(5)
    world.cluster.end_job(world.job(), message=(run.directory / "termination-log").read_text())
    await world.reconcile()
    tracing.close()

    collector.assert_one_trace(collector.spans[0].trace if not caller else TRACE, caller)
    below = [f"          {name}" for name in CHUNK]
    lines = ["      run", *(["        chunk", *below] * 3)]
    # The world's clock is not the chunker's: only who is below whom counts.
    assert sorted(collector.tree()) == sorted(
        [
            "POST /api/v1/process_video",
            "  video",
            "    process M0_PRIORITY_QUEUE",
            "    job",
            *lines,
        ]
    )
    produced = {span.traceparent for span in collector.of(f"publish {QUEUE}")}
    assert {message["headers"]["traceparent"] for message in run.messages} == produced
