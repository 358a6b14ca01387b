"""The request's span, and what goes on with the message."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fakes.collector import Collector
from m0_operator.gateway.app import Options, build_app
from m0_operator.gateway.auth import build_tokens
from m0_operator.settings import GatewaySettings
from m0_wire.errors import BrokerUnavailableError
from m0_wire.tracing import Tracing
from unit.operator.conftest import request_body
from unit.operator.doors import FakeQueue

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
PATH = "/api/v1/process_video"
TOKEN = "a-token-of-sixteen-and-more"


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def ratio() -> float:
    return 1.0


@pytest.fixture
def tracing(
    collector: Collector, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tracing]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    # Its own export would send bodies and validation errors.
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    made = Tracing("m0-gateway", ratio=ratio, say=lambda _: None)
    yield made
    made.close()


@asynccontextmanager
async def opened(queue: FakeQueue, tracing: Tracing | None) -> AsyncIterator[httpx.AsyncClient]:
    settings = GatewaySettings(amqp_url="amqp://h/", gateway_tokens=TOKEN)
    tracer = tracing.provider if tracing else None
    app = build_app(queue, Options(tracer=tracer, tokens=build_tokens(settings)))
    transport = httpx.ASGITransport(app=app)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers=headers
    ) as client:
        yield client


async def test_the_requests_span_goes_on_with_the_message(
    queue: FakeQueue, tracing: Tracing, collector: Collector
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}
    async with opened(queue, tracing) as client:
        await client.post(PATH, content=request_body(), headers=headers)
        for path in ("/livez", "/readyz", "/health"):
            await client.get(path)
    tracing.close()
    span = collector.one(f"POST {PATH}")
    assert collector.spans == [span]
    assert (span.trace, span.parent, span.kind) == (TRACE, PARENT, "server")
    assert queue.headers == [{"traceparent": span.traceparent, "tracestate": "a=1"}]
    assert span.attributes["m0.process_id"] == "101"
    assert span.attributes["http.route"] == PATH
    assert span.attributes["http.response.status_code"] == 200
    assert TOKEN.encode() not in collector.bodies[0]


async def test_without_a_trace_it_begins_one(
    queue: FakeQueue, tracing: Tracing, collector: Collector
) -> None:
    async with opened(queue, tracing) as client:
        await client.post(PATH, content=request_body(), headers={"traceparent": "nonsense"})
    tracing.close()
    (span,) = collector.spans
    assert span.parent == ""
    assert queue.headers == [{"traceparent": span.traceparent}]


async def test_a_refusal_is_said(queue: FakeQueue, tracing: Tracing, collector: Collector) -> None:
    async with opened(queue, tracing) as client:
        await client.post(PATH, content=b"{")
        queue.error = BrokerUnavailableError("amqp://u:secret@h")
        await client.post(PATH, content=request_body())
    tracing.close()
    bad, away = collector.of(f"POST {PATH}")
    assert (bad.attributes["http.response.status_code"], bad.error) == (422, None)
    assert away.attributes["http.response.status_code"] == 503
    assert away.error is not None
    assert b"secret" not in b"".join(collector.bodies)


@pytest.mark.parametrize("ratio", [0.0])
async def test_what_is_not_recorded_is_said_to_be_so(
    queue: FakeQueue, tracing: Tracing, collector: Collector
) -> None:
    async with opened(queue, tracing) as client:
        await client.post(PATH, content=request_body())
        off = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
        await client.post(PATH, content=request_body(), headers=off)
    tracing.close()
    assert collector.spans == []
    assert [headers["traceparent"][-2:] for headers in queue.headers] == ["00", "00"]
    assert queue.headers[1]["traceparent"].split("-")[1] == TRACE


async def test_fastapi_exports_nothing_by_itself(
    queue: FakeQueue, tracing: Tracing, collector: Collector
) -> None:
    """A variable has it do so from when the application starts: the span would come twice."""
    steps = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))

    async def receive() -> dict[str, str]:
        return next(steps)

    async def send(_: MutableMapping[str, Any]) -> None:
        return

    app = build_app(queue, Options(tracer=tracing.provider))
    await app({"type": "lifespan"}, receive, send)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        await client.post(PATH, content=request_body())
    tracing.close()
    assert len(collector.spans) == 1


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([("traceparent", f"00-{TRACE}-{PARENT}-01")], True),
        ([("traceparent", "nonsense"), ("tracestate", "a=1")], False),
        ([("tracestate", "a=1")], False),
    ],
)
async def test_off_what_came_goes_on(
    queue: FakeQueue, sent: list[tuple[str, str]], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    async with opened(queue, None) as client:
        await client.post(PATH, content=request_body(), headers=sent)
    assert queue.headers == [dict(sent) if kept else {}]


async def test_off_a_state_in_parts_goes_on_as_one(queue: FakeQueue) -> None:
    parts = [
        ("traceparent", f"00-{TRACE}-{PARENT}-01"),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ]
    async with opened(queue, None) as client:
        await client.post(PATH, content=request_body(), headers=parts)
    assert queue.headers == [{"traceparent": parts[0][1], "tracestate": "a=1,b=2"}]
