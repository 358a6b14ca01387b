"""Headers go through a resource, and Kubernetes' JSON, unchanged."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from m0_operator.domain.headers import MAX_HEADERS_BYTES, pack_headers, unpack_headers

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.binary(max_size=20).map(bytearray),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda moment: moment.replace(fold=0)
    ),
    st.decimals(allow_nan=False, allow_infinity=False),
)
KEYS = st.one_of(TEXT, st.sampled_from(["$bytes", "$table", "$double", "$timestamp"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def through_kubernetes(packed: dict[str, Any]) -> dict[str, Any]:
    """The API server makes an integer of each float that is one."""
    return json.loads(
        json.dumps(packed, allow_nan=False),
        parse_float=lambda text: int(float(text)) if float(text).is_integer() else float(text),
    )


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_headers_come_back_with_their_types(headers: dict[str, Any]) -> None:
    back = unpack_headers(through_kubernetes(pack_headers(headers)))
    assert back == headers
    assert repr(back) == repr(headers)


@pytest.mark.parametrize("value", [object(), 2**70, {1: 2}, b"\xff"])
def test_any_value_can_be_packed(value: object) -> None:
    json.dumps(pack_headers({"odd": value}), allow_nan=False)


@pytest.mark.parametrize(
    "packed", [{"$bytes": "a"}, {"$timestamp": "never"}, {"$decimal": "x"}, {"$double": "x"}]
)
def test_what_a_person_wrote_by_hand_stays_readable(packed: dict[str, str]) -> None:
    assert unpack_headers({"a": packed}) == {"a": next(iter(packed.values()))}


def test_of_too_many_headers_the_largest_go() -> None:
    headers = {"trace": "t1", "large": "x" * MAX_HEADERS_BYTES, "when": datetime.now(UTC)}
    assert pack_headers(headers).keys() == {"trace", "when"}


def test_a_decimal_stays_one() -> None:
    assert unpack_headers(pack_headers({"d": Decimal("1.250")}))["d"] == Decimal("1.250")
