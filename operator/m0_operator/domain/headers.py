"""A message's AMQP headers as JSON, and back: a dead letter brings what its request brought.

JSON knows fewer types than AMQP, and the Kubernetes API makes an integer of 1.0:
what it can't hold as itself is held as `{"$type": text}`.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_HEADERS_BYTES = 100 * 1024
"""Headers travel in one frame, of 128 KiB by default; the failure's own need room in it."""

_TABLE = "$table"


def pack_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """AMQP headers as JSON; of too many, the largest are left out."""
    sizes = {key: len(key.encode()) + 1 + _size(value) for key, value in headers.items()}
    total = sum(sizes.values())
    dropped: set[str] = set()
    for key in sorted(sizes, key=lambda name: -sizes[name]):
        if total <= MAX_HEADERS_BYTES:
            break
        dropped.add(key)
        total -= sizes[key]
    return {key: _pack(value) for key, value in headers.items() if key not in dropped}


def unpack_headers(packed: Mapping[str, Any]) -> dict[str, Any]:
    """AMQP headers from JSON."""
    return {key: _unpack(value) for key, value in packed.items()}


def _pack(value: object) -> Any:
    if isinstance(value, list):
        return [_pack(item) for item in value]
    if isinstance(value, dict):
        table = {str(key): _pack(item) for key, item in value.items()}
        return {_TABLE: table} if any(key.startswith("$") for key in table) else table
    return _pack_scalar(value)


def _pack_scalar(value: object) -> Any:
    packed: Any = str(value)
    match value:
        case None | bool():
            packed = value
        case int() if -(2**63) <= value < 2**63:
            packed = value
        case float():
            exact = math.isfinite(value) and not value.is_integer()
            packed = value if exact else {"$double": repr(value)}
        case bytes() | bytearray():
            packed = {"$bytes": base64.b64encode(value).decode()}
        case datetime():
            packed = {"$timestamp": value.astimezone(UTC).isoformat()}
        case Decimal():
            packed = {"$decimal": str(value)}
    return packed


_READ: dict[str, Callable[[str], object]] = {
    "$double": float,
    # A bytearray, since the AMQP library takes no bytes here.
    "$bytes": lambda text: bytearray(base64.b64decode(text)),
    "$timestamp": datetime.fromisoformat,
    "$decimal": Decimal,
}


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == _TABLE and isinstance(inner, dict):
            return {name: _unpack(item) for name, item in inner.items()}
        if key in _READ and isinstance(inner, str):
            try:
                return _READ[key](inner)
            except (ValueError, InvalidOperation, binascii.Error):
                return inner
    return {name: _unpack(item) for name, item in value.items()}


def _size(value: object) -> int:
    """At least what AMQP needs for it, bytes."""
    match value:
        case str():
            return 5 + len(value.encode(errors="replace"))
        case bytes() | bytearray():
            return 5 + len(value)
        case list():
            return 5 + sum(_size(item) for item in value)
        case dict():
            return 5 + sum(len(str(key).encode()) + 1 + _size(item) for key, item in value.items())
        case _:
            return 9
