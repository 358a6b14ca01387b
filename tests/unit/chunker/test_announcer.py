"""The announcer's patience with a broker that goes away for a moment."""

import contextlib
from typing import Any, cast

import pytest
from m0_chunker.adapters import patience
from m0_chunker.adapters.announcer import BrokerAnnouncer
from m0_chunker.adapters.patience import ATTEMPTS, FIRST_DELAY_S, patiently
from m0_chunker.tracing import Trace
from m0_contract.request import VideoRequest
from m0_wire.broker import RECONNECT_S


def test_it_tries_for_longer_than_it_takes_to_connect_anew() -> None:
    tries_for_s = sum(FIRST_DELAY_S * 2**number for number in range(ATTEMPTS - 1))
    assert tries_for_s >= 3 * RECONNECT_S


class AwayError(Exception):
    """Somebody is."""


@pytest.mark.parametrize("times", [0, 1, ATTEMPTS - 1, ATTEMPTS])
async def test_it_says_that_somebody_is_away(
    times: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "FIRST_DELAY_S", 0.001)
    caplog.set_level("WARNING", logger="m0")
    left = times

    async def do() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise AwayError("gone fishing")

    tried = contextlib.nullcontext() if times < ATTEMPTS else pytest.raises(AwayError)
    with tried:
        await patiently(do, "the broker", AwayError)
    said = [(record.message, vars(record)["fields"]) for record in caplog.records]
    assert said == [
        ("the broker is away", {"reason": "gone fishing", "again_in_s": 0.001 * 2**number})
        for number in range(min(times, ATTEMPTS - 1))
    ]


class Message:
    """As much of a chunk's message as the announcer looks at."""

    process_id, chunk_id, chunk_hash = 7, 1, "ab" * 32

    def to_json(self, _: VideoRequest) -> str:
        return "{}"


class Heard:
    """A broker that keeps what it is given."""

    def __init__(self) -> None:
        self.headers: list[dict[str, Any]] = []

    async def publish(self, queue: str, body: bytes, **more: Any) -> None:  # noqa: ARG002
        self.headers.append(more["headers"])


@pytest.mark.parametrize("trace", [{}, {"traceparent": "x", "tracestate": "y"}])
async def test_a_trace_goes_on_with_each_chunks_message(trace: dict[str, str]) -> None:
    broker = Heard()
    request = VideoRequest.model_construct(process_id=7)
    announcer = BrokerAnnouncer(
        cast("Any", broker), request, results_queue="r", progress_queue="p", trace=Trace(trace)
    )
    await announcer.announce(cast("Any", Message()))
    (headers,) = broker.headers
    assert headers == {"x-m0-process-id": "7", "x-m0-chunk-id": 1, **trace}
