import pytest
from m0_contract.resource import Origin
from m0_contract.trace import (
    SpanContext,
    get_trace_id,
    read_context,
    read_trace,
    read_traceparent,
)

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traceparent_is_taken_from_the_messages_headers() -> None:
    assert Origin(body="", headers={"traceparent": GOOD}).traceparent == GOOD
    assert Origin(body="").traceparent is None


@pytest.mark.parametrize(
    "bad",
    [
        "",
        None,
        7,
        {"$bytes": "eA=="},
        "ff" + GOOD[2:],
        GOOD.upper(),
        GOOD + "-x",
        GOOD.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        GOOD.replace("b7ad6b7169203331", "0" * 16),
        GOOD + "\n",
    ],
)
def test_what_is_none_is_ignored(bad: object) -> None:
    assert read_traceparent(bad) is None


def test_without_one_the_resource_stands_for_a_trace() -> None:
    uid = "0b5b1f0e-54a6-4d3f-9a61-0123456789ab"
    assert get_trace_id(GOOD, uid) == "0af7651916cd43dd8448eb211c80319c"
    assert get_trace_id(None, uid) == "0b5b1f0e54a64d3f9a610123456789ab"
    assert len(get_trace_id(None, "odd") or "") == 32
    assert get_trace_id(None, None) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", True),
        ("tenant@system=1 , x/y*z=a b", True),
        ("a=1,,b=2", True),
        ("", False),
        ("no pair", False),
        ("UPPER=1", False),
        ("a=1\n", False),
        ("a=" + "x" * 511, False),
        (7, False),
    ],
)
def test_a_tracestate_goes_on_beside_a_traceparent(state: object, kept: bool) -> None:
    found = read_trace({"traceparent": GOOD, "tracestate": state})
    assert found == {"traceparent": GOOD, **({"tracestate": state} if kept else {})}
    assert read_trace({"tracestate": state}) == {}


def test_a_place_is_read_and_written() -> None:
    found = read_context({"traceparent": GOOD, "tracestate": "a=1"})
    assert found == SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "a=1")
    assert found.to_headers() == {"traceparent": GOOD, "tracestate": "a=1"}
    off = read_context({"traceparent": GOOD[:-2] + "00"})
    assert off is not None
    assert not off.sampled
    assert off.to_headers() == {"traceparent": GOOD[:-2] + "00"}
    assert read_context({}) is None


def test_below_a_place_each_name_has_its_own_always() -> None:
    place = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "a=1")
    child = place.child("x")
    assert child == place.child("x")
    assert child.span_id not in {place.span_id, place.child("y").span_id, child.child("x").span_id}
    assert (child.trace_id, child.state) == (place.trace_id, "a=1")
    assert read_traceparent(child.to_headers()["traceparent"])
