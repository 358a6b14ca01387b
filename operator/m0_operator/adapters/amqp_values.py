"""AMQP values that the library stumbles over: a stranger's message must not stop the queue.

A header that can't be decoded closes the connection, and the message is the next one
again, for ever. So what is malformed is read as well as can be; what a resource keeps
of it is for people. And a number keeps its precision on its way to the dead letter.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pamqp import decode, encode

MAX_DEPTH = 32
"""Tables and lists inside each other: the library, and the Kubernetes client after it, need
several calls for each level, and Python allows 1000."""

_LATEST = datetime.max.replace(microsecond=0, tzinfo=UTC)
_decode_timestamp = decode.timestamp
_decode_table = decode.field_table
_decode_array = decode.field_array
_decode_short_string = decode.short_str
_encode_value = encode.encode_table_value


def install() -> None:
    """Have the library read and write values with this module; may be called again."""
    methods: dict[str, Any] = decode.METHODS
    kinds: dict[bytes, Any] = decode.TABLE_MAPPING
    methods["timestamp"] = read_timestamp
    methods["shortstr"] = read_short_string
    methods["table"] = kinds[b"F"] = read_table
    kinds[b"A"] = read_array
    kinds[b"T"] = read_table_timestamp
    encode.encode_table_value = write_value


def read_timestamp(value: bytes) -> tuple[int, datetime]:
    """Seconds as a time; what no calendar holds, as the last time that one does."""
    try:
        return _decode_timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, _LATEST


def read_table_timestamp(value: bytes) -> tuple[int, datetime | int]:
    """Likewise in a header, where a plain number may stand for it."""
    try:
        return _decode_timestamp(value)
    except (ValueError, OverflowError, OSError):
        number: int = struct.unpack_from(">q", value)[0]
        return 8, number


def read_short_string(value: bytes) -> tuple[int, str]:
    """A property's text; bytes that are no UTF-8 are replaced."""
    try:
        return _decode_short_string(value)
    except UnicodeDecodeError:
        length = value[0]
        return length + 1, value[1 : length + 1].decode(errors="replace")


class _Levels:
    """How deep in a header the library is."""

    now = 0


def _shallow(read: Callable[[bytes], tuple[int, Any]], value: bytes, empty: Any) -> tuple[int, Any]:
    if _Levels.now >= MAX_DEPTH:
        return 4 + int(struct.unpack_from(">I", value)[0]), empty
    _Levels.now += 1
    try:
        return read(value)
    finally:
        _Levels.now -= 1


def read_array(value: bytes) -> tuple[int, list[Any]]:
    """A list; one that is too deep inside others is empty."""
    return _shallow(_decode_array, value, [])


def read_table(value: bytes) -> tuple[int, dict[str, Any]]:
    """A table; in its keys, bytes that are no UTF-8 are replaced; one too deep is empty."""
    return _shallow(_read_table, value, {})


def _read_table(value: bytes) -> tuple[int, dict[str, Any]]:
    try:
        return _decode_table(value)
    except UnicodeDecodeError:
        end = 4 + int(struct.unpack_from(">i", value)[0])
        offset, table = 4, {}
        while offset < end:
            used, key = read_short_string(value[offset:])
            offset += used
            used, table[key] = decode.embedded_value(value[offset:])
            offset += used
        return end, table


def write_value(value: Any) -> bytes:
    """A header's value; a number with a point in full precision."""
    if isinstance(value, float):
        return b"d" + encode.double(value)
    return _encode_value(value)
