"""What a sender may put into a message's header frame, read and written by the real library."""

import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from m0_operator.adapters import amqp_values
from m0_operator.adapters.amqp_values import MAX_DEPTH
from m0_operator.domain.headers import pack_headers
from pamqp import decode, encode
from pamqp.commands import Basic

KEY = b"\x01k"
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    amqp_values.install()
    return


def table(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def read(content: bytes) -> Any:
    used, value = decode.by_type(table(content), "table")
    assert used == 4 + len(content)
    return value


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (KEY + b"T" + struct.pack(">Q", 2**62), {"k": 2**62}),
        (KEY + b"T" + struct.pack(">Q", 0), {"k": datetime(1970, 1, 1, tzinfo=UTC)}),
        (KEY + b"S" + struct.pack(">I", 1) + b"\xe9", {"k": b"\xe9"}),
        (b"\x01\xe9t\x01" + KEY + b"b\x05", {"�": True, "k": 5}),
        (KEY + b"F" + table(b"\x01\xe9V"), {"k": {"�": None}}),
    ],
    ids=[
        "a time that no calendar holds",
        "a time",
        "a text that is no UTF-8",
        "a key that is no UTF-8",
        "one inside",
    ],
)
def test_any_header_can_be_read(content: bytes, value: Any) -> None:
    assert read(content) == value


@pytest.mark.parametrize("kind", [b"F", b"A"], ids=["tables", "lists"])
def test_a_header_that_is_nested_without_end_is_read_down_to_a_depth(kind: bytes) -> None:
    value = b"t\x01"
    for _ in range(8000):
        value = kind + table(KEY + value if kind == b"F" else value)
    outer = read(KEY + value + KEY + b"t\x01" + b"\x01a" + value + b"\x01bV")
    assert outer["k"] is True
    assert (outer["b"], list(outer)) == (None, ["k", "a", "b"])
    depth, inner = 1, outer["a"]
    while inner:
        depth, (inner,) = depth + 1, inner.values() if kind == b"F" else inner
    assert depth == MAX_DEPTH
    json.dumps(pack_headers(outer))


@pytest.mark.parametrize("number", [0.1, 1e300, -1.5, float("inf")])
def test_a_number_is_written_in_full_precision(number: float) -> None:
    assert read(encode.field_table({"k": [number]})[4:]) == {"k": [number]}


def test_any_property_can_be_read() -> None:
    properties = Basic.Properties()
    # message_id, then timestamp: bits 7 and 6 of the flags.
    flags = struct.pack(">H", 1 << 7 | 1 << 6)
    properties.unmarshal(int.from_bytes(flags, "big"), b"\x02\xe9x" + struct.pack(">Q", 2**62))
    assert (properties.message_id, properties.timestamp) == ("�x", LATEST)


def test_it_can_be_installed_twice() -> None:
    amqp_values.install()
    assert read(KEY + b"T" + struct.pack(">Q", 2**62)) == {"k": 2**62}
