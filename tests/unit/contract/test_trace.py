import pytest
from m0_contract.resource import Origin
from m0_contract.trace import get_trace_id, read_traceparent

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
