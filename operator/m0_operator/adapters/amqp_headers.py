"""Headers that are the broker's own business, and what may be sent on of the others."""

from collections.abc import Mapping
from typing import Any

DELIVERY_COUNT = "x-delivery-count"
_COUNTERS = frozenset({DELIVERY_COUNT, "x-acquired-count"})
"""How often a quorum queue has handed the message out: different at each delivery."""
_ROUTES = frozenset({"CC", "BCC"})
"""Further queues that RabbitMQ puts a message into: meant for the sender's own publishing."""


def read_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """What the sender gave: the same for each delivery of a message."""
    return {key: value for key, value in headers.items() if key not in _COUNTERS}


def sendable_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """What may be published again: it goes where we send it and nowhere else."""
    return {
        key: _sendable(value)
        for key, value in headers.items()
        if key not in _COUNTERS and key not in _ROUTES
    }


def _sendable(value: Any) -> Any:
    match value:
        case bytes():
            # The AMQP library reads bytes, and writes only a bytearray.
            return bytearray(value)
        case list():
            return [_sendable(item) for item in value]
        case dict():
            return {key: _sendable(item) for key, item in value.items()}
        case _:
            return value
