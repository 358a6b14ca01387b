"""What is known of the broker's errors without a broker; the rest is tested end to end."""

import pytest
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelInvalidStateError,
    DeliveryError,
    PublishError,
)
from m0_wire.broker import Broker, redact_url, translate_broker_errors
from m0_wire.errors import BrokerUnavailableError, UnroutableError


def test_a_url_in_a_log_has_no_credentials() -> None:
    assert redact_url("amqps://me:secret@host:5671/v?x=secret") == "amqps://host:5671/v"


@pytest.mark.parametrize(
    ("raised", "translated"),
    [
        (PublishError.__new__(PublishError), UnroutableError),
        (DeliveryError.__new__(DeliveryError), BrokerUnavailableError),
        (AMQPConnectionError("gone"), BrokerUnavailableError),
        (ChannelInvalidStateError("closed"), BrokerUnavailableError),
        (TimeoutError(), BrokerUnavailableError),
        (ConnectionResetError(), BrokerUnavailableError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_errors_are_translated(raised: Exception, translated: type[Exception]) -> None:
    with pytest.raises(translated, match="publishing"):
        async with translate_broker_errors("publishing"):
            raise raised


async def test_nobody_there_is_said_without_the_password() -> None:
    with pytest.raises(BrokerUnavailableError) as caught:
        await Broker("amqp://me:secret@127.0.0.1:9/", name="test", timeout_s=3).connect()
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


async def test_publishing_before_connecting_fails_at_once() -> None:
    with pytest.raises(BrokerUnavailableError):
        await Broker("amqp://127.0.0.1/", name="test").publish("q", b"")
