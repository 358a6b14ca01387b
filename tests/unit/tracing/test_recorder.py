"""What goes to the collector, and that nobody waits for one that is away."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from fakes.collector import Collector
from hypothesis import given
from hypothesis import strategies as st
from m0_contract.trace import Span, SpanContext, is_sampled
from m0_wire.tracing import Tracing
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

TRACE = "0af7651916cd43dd8448eb211c80319c"
PLACE = SpanContext(TRACE, "00f067aa0ba902b7", state="vendor=1")
NOW = time.time_ns()


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """The library's log is one for the whole process: no test is to hear another's."""
    before = set(threading.enumerate())
    yield
    wait_for(lambda: not set(threading.enumerate()) - before)
    assert not set(threading.enumerate()) - before


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def tracing(
    collector: Collector, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tracing]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer x,tenant=films")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    made = Tracing("m0-test", ratio=1.0, say=said.append)
    yield made
    made.close()


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)


def a_span(**changes: object) -> Span:
    fields = {"name": "n", "at": PLACE, "parent_id": None, "start_ns": NOW, "end_ns": NOW + 5}
    return Span(**(fields | changes))  # type: ignore[arg-type]


def test_a_span_comes_as_it_was_given(collector: Collector, tracing: Tracing) -> None:
    tracing.record(a_span(kind="producer", attributes={"a": 1, "b": None}))
    tracing.record(
        a_span(at=PLACE.child("x"), parent_id=PLACE.span_id, error="it broke", end_ns=NOW - 7)
    )
    tracing.close()
    root, child = collector.spans
    assert (root.trace, root.id, root.parent) == (TRACE, PLACE.span_id, "")
    assert (root.start_ns, root.end_ns, root.kind) == (NOW, NOW + 5, "producer")
    assert (root.attributes, root.error, root.service) == ({"a": 1}, None, "m0-test")
    assert (child.id, child.parent) == (PLACE.child("x").span_id, root.id)
    assert (child.error, child.state) == ("it broke", "vendor=1")
    assert child.end_ns == child.start_ns
    assert collector.headers[0]["tenant"] == "films"
    assert b"deployment.environment.name" in collector.bodies[0]


def test_what_is_not_sampled_is_not_sent(collector: Collector, tracing: Tracing) -> None:
    off = SpanContext(TRACE, PLACE.span_id, sampled=False)
    tracing.record(a_span(at=off.child("x"), parent_id=off.span_id))
    tracing.close()
    assert collector.spans == []


def test_no_credential_goes_out(collector: Collector, tracing: Tracing) -> None:
    tracing.record(
        a_span(
            attributes={"m0.object": "https://a.blob.core.windows.net/c/f?sv=1&sig=SECRET1"},
            error="GET https://me:SECRET2@host/?X-Amz-Signature=SECRET3",
        )
    )
    tracing.close()
    (body,) = collector.bodies
    assert b"SECRET" not in body
    assert b"[hidden]" in body


def test_one_that_is_away_is_said_once_and_not_waited_for(
    collector: Collector, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    tracing = Tracing("m0-test", ratio=1.0, say=said.append)
    began = time.monotonic()
    for _ in range(5000):
        tracing.record(a_span())
    wait_for(lambda: [text for text in said if "127.0.0.1" in text])
    tracing.close(timeout_s=60)
    assert time.monotonic() - began < 20
    # That the queue is full is another trouble than that the endpoint is away.
    assert len([text for text in said if "127.0.0.1" in text]) == 1
    assert len(said) <= 2
    assert collector.spans == []


def test_one_that_is_slow_is_waited_for_in_bounds(
    collector: Collector, said: list[str], tracing: Tracing
) -> None:
    collector.delay_s = 5
    tracing.record(a_span())
    began = time.monotonic()
    tracing.close(timeout_s=0.3)
    assert time.monotonic() - began >= 0.3
    assert collector.spans == []
    assert said == []


def test_one_that_refuses_is_said_once(
    collector: Collector, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    tracing = Tracing("m0-test", ratio=1.0, say=said.append)
    collector.status = 401
    for number in range(1, 4):
        tracing.record(a_span())
        wait_for(lambda number=number: len(collector.headers) >= number)
    tracing.close()
    assert len(collector.headers) == 3
    assert len(said) == 1
    assert "401" in said[0]


def test_a_span_that_makes_no_sense_is_nobodys_end(said: list[str], tracing: Tracing) -> None:
    tracing.record(a_span(at=SpanContext("none", "none")))
    assert len(said) == 1


@given(st.uuids(), st.floats(0, 1))
def test_all_decide_alike_what_is_recorded(uid: object, ratio: float) -> None:
    trace = str(uid).replace("-", "")
    theirs = TraceIdRatioBased(ratio).should_sample(None, int(trace, 16), "n")
    assert is_sampled(trace, ratio) == theirs.decision.is_sampled()
