"""The queue of requests, seen from the gateway: confirmed or refused within seconds."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from m0_wire.errors import WireError

from m0_operator.adapters.broker import AmqpInbox, AmqpPublisher, QueueSpec
from m0_operator.settings import GatewaySettings

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 3.0
SAY_AGAIN_S = 60.0
"""What is wrong may only show later, once a new connection is refused."""


class QueuePublisher:
    """Publishes requests; looks at the queue now and then, so that health needs no waiting."""

    def __init__(self, settings: GatewaySettings) -> None:
        url = settings.amqp_url.get_secret_value()
        arguments = {"x-queue-type": "classic", "x-max-priority": 10}
        declare = (QueueSpec(settings.priority_queue, arguments),)
        self._amqp = AmqpPublisher(
            url, settings.priority_queue, name="m0-gateway", timeout_s=settings.publish_timeout_s
        )
        self._probe = AmqpInbox(
            url,
            settings.priority_queue,
            declare=declare if settings.declare_queues else (),
            timeout_s=settings.publish_timeout_s,
            name="m0-gateway probe",
        )
        self._state: dict[str, str] = {
            "rabbitmq": "not connected yet",
            "queue": "not looked at yet",
        }

    async def publish(self, body: bytes, *, headers: Mapping[str, Any], priority: int) -> None:
        """Publish and wait for the confirmation.

        Raises:
            WireError: no queue has it.
        """
        await self._amqp.publish(body, headers=headers, priority=priority)

    async def check(self) -> Mapping[str, str]:
        """What the last look said."""
        return dict(self._state)

    @asynccontextmanager
    async def kept_connected(self) -> AsyncIterator[None]:
        """Keep looking at the broker while the context is open."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await self._probe.close()

    async def close(self) -> None:
        """Close the connections; never raises."""
        await self._amqp.close()

    async def _watch(self) -> None:
        said_at = 0.0
        while True:
            try:
                await self._probe.look()
                await self._amqp.connect()
                well = self._amqp.connected
                state = {"rabbitmq": "ok" if well else "connecting", "queue": "ok"}
            except WireError as error:
                state = {"rabbitmq": "unavailable", "queue": "unknown"}
                if "NOT_FOUND" in str(error):
                    state = {"rabbitmq": "ok", "queue": "missing"}
                if state != self._state or time.monotonic() - said_at >= SAY_AGAIN_S:
                    said_at = time.monotonic()
                    logger.warning("Broker can't take requests", extra={"reason": str(error)})
            if state != self._state:
                logger.info("Broker state", extra=state)
            self._state = state
            await asyncio.sleep(CHECK_EVERY_S)
