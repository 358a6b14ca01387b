"""Deliveries over a stand-in for the AMQP library's message."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from aiormq.exceptions import ChannelInvalidStateError
from m0_operator.adapters.amqp_headers import sendable_headers
from m0_operator.adapters.broker import AmqpDelivery, with_heartbeat
from m0_wire.errors import BrokerUnavailableError
from pamqp.decode import field_table
from pamqp.encode import field_table as field_table_bytes


class FakeChannel:
    """An AMQP channel: what was done on it, in order."""

    def __init__(self) -> None:
        self.is_closed = False
        self.done: list[str] = []

    async def basic_qos(self, **_: Any) -> None:
        self.done.append("answered")


class FakeMessage:
    """As aio-pika's: once its channel is closed it denies having one."""

    body = b""
    headers: Mapping[str, Any] = MappingProxyType({"x-delivery-count": 1, "trace": "t1"})
    priority = 300
    message_id = None
    redelivered = None

    def __init__(self, channel: FakeChannel) -> None:
        self._channel = channel

    @property
    def channel(self) -> FakeChannel:
        if self._channel.is_closed:
            raise ChannelInvalidStateError
        return self._channel

    async def ack(self) -> None:
        self.channel.done.append("ack")


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def delivery(channel: FakeChannel) -> AmqpDelivery:
    return AmqpDelivery(FakeMessage(channel), 1)  # type: ignore[arg-type]


async def test_an_acknowledgement_is_over_when_the_broker_has_answered(
    delivery: AmqpDelivery, channel: FakeChannel
) -> None:
    await delivery.ack()
    assert channel.done == ["ack", "answered"]


async def test_a_delivery_knows_when_its_channel_has_gone(
    delivery: AmqpDelivery, channel: FakeChannel
) -> None:
    assert delivery.alive
    channel.is_closed = True
    assert not delivery.alive
    with pytest.raises(BrokerUnavailableError):
        await delivery.ack()


def test_what_the_sender_left_out_or_overdid_is_put_right(delivery: AmqpDelivery) -> None:
    assert (delivery.priority, delivery.message_id, delivery.redelivered) == (9, "", False)


def test_a_heartbeat_of_our_own_unless_the_deployment_has_one() -> None:
    assert with_heartbeat("amqp://u:p@h:5672/v").query["heartbeat"] == "10"
    assert with_heartbeat("amqp://u:p@h:5672/v?heartbeat=60").query["heartbeat"] == "60"
    assert str(with_heartbeat("amqp://u:p%2F@h/%2F")).startswith("amqp://u:p%2F@h/%2F")


def test_a_redelivered_message_has_the_headers_it_had_the_first_time(
    delivery: AmqpDelivery,
) -> None:
    """A quorum queue counts deliveries in a header; an echo is known by equal headers."""
    assert delivery.headers == {"trace": "t1"}


def test_what_is_sent_on_goes_nowhere_else_and_can_be_written() -> None:
    read = {
        "x-delivery-count": 3, "x-acquired-count": 4, "CC": ["q"], "BCC": ["q"],
        "latin": b"\xe9", "deep": [{"latin": b"\xe9"}], "x-death": [{"count": 1}],
    }  # fmt: skip
    sent = sendable_headers(read)
    assert sent == {
        "latin": bytearray(b"\xe9"),
        "deep": [{"latin": bytearray(b"\xe9")}],
        "x-death": [{"count": 1}],
    }
    assert field_table(field_table_bytes(sent))[1] == sent
