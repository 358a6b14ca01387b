"""The operator's ports to the broker and the backend, over the network."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from m0_operator.domain.actions import BackendStatus
from m0_wire.errors import BackendRejectedError, BrokerUnavailableError, UnroutableError

from simulation.broker import Broker, Connection
from simulation.ledger import Ledger
from simulation.network import Network
from simulation.records import Letter, Message
from simulation.world import World, current


class SimDelivery:
    """Implements `ports.Delivery`, as `AmqpDelivery` does."""

    def __init__(
        self,
        network: Network,
        broker: Broker,
        connection: Connection,
        message: Message,
        *,
        redelivered: bool,
    ) -> None:
        self._network = network
        self._broker = broker
        self._connection = connection
        self._message = message
        self.redelivered = redelivered

    @property
    def body(self) -> bytes:
        return self._message.body

    @property
    def headers(self) -> Mapping[str, Any]:
        return self._message.headers

    @property
    def priority(self) -> int:
        return self._message.priority

    @property
    def message_id(self) -> str:
        return self._message.message_id

    @property
    def sent_at(self) -> datetime | None:
        return None

    @property
    def alive(self) -> bool:
        return self._connection.open

    async def ack(self) -> None:
        def unheard() -> None:
            self._message.ack_known = False

        try:
            await self._network.call(
                "broker",
                f"ack message {self._message.serial}",
                lambda: self._broker.ack(self._connection, self._message),
                lost=unheard,
            )
        except BrokerUnavailableError:
            # TCP loses no single request: what does not arrive is the end of its connection.
            self._broker.close(self._connection)
            raise

    async def requeue(self) -> None:
        try:
            await self._network.call(
                "broker",
                f"requeue message {self._message.serial}",
                lambda: self._broker.requeue(self._connection, self._message),
            )
        except BrokerUnavailableError:
            self._broker.close(self._connection)


class SimInbox:
    """Implements `ports.Inbox`, with the connection's life as in `AmqpInbox`."""

    def __init__(self, network: Network, broker: Broker, ledger: Ledger) -> None:
        self._network = network
        self._broker = broker
        self._ledger = ledger
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def fetch(self) -> SimDelivery | None:
        self._ledger.asks_for_a_message(current())
        try:
            if self._connection is None:
                self._connection = await self._connect()
            connection = self._connection
            got = await self._network.call(
                "broker", "get", lambda: self._broker.get(connection), weight=0.1
            )
        except BaseException:
            await self.close()
            raise
        if got is None:
            return None
        message, redelivered = got
        return SimDelivery(
            self._network, self._broker, connection, message, redelivered=redelivered
        )

    async def _connect(self) -> Connection:
        owner = current()
        return await self._network.call(
            "broker", "connect", lambda: self._broker.connect(owner), weight=0.1
        )

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._broker.close(connection)


class SimProgressInbox:
    """The progress queue: what is taken is gone."""

    def __init__(self, network: Network, broker: Broker) -> None:
        self._network = network
        self._broker = broker

    async def fetch(self) -> "_Progress | None":
        def take() -> "_Progress | None":
            queue = self._broker.progress
            return _Progress(queue.popleft()) if queue else None

        return await self._network.call("broker", "get progress", take, weight=0.1)

    async def close(self) -> None:
        """Nothing is held."""


class _Progress:
    def __init__(self, body: bytes) -> None:
        self.body = body


class SimDeadLetters:
    """Implements `ports.DeadLetters`: confirmed publishing."""

    connected = True

    def __init__(self, world: World, network: Network, broker: Broker, ledger: Ledger) -> None:
        self._world = world
        self._network = network
        self._broker = broker
        self._ledger = ledger

    async def publish(
        self, body: bytes, *, headers: Mapping[str, Any], priority: int, message_id: str
    ) -> None:
        by = current()
        self._ledger.acts(by, f"publish {message_id}")
        stored: list[Letter] = []

        def store() -> None:
            if self._world.chance(self._world.plan.lose / 4):
                raise UnroutableError("no queue took the message")
            letter = Letter(message_id, body, dict(headers), priority, self._world.time, by)
            stored.append(letter)
            self._broker.store_letter(letter)

        def unheard() -> None:
            for letter in stored:
                letter.known = False

        await self._network.call("broker", f"publish {message_id}", store, lost=unheard, weight=3)

    async def close(self) -> None:
        """Nothing is held."""


class SimReporter:
    """Implements `ports.Reporter`: the backend sets a status, refuses it, or is away."""

    def __init__(self, world: World, network: Network, ledger: Ledger) -> None:
        self._world = world
        self._network = network
        self._ledger = ledger

    async def report(
        self, process_id: int | str, modality: str, status: BackendStatus, error: str | None
    ) -> None:
        self._ledger.acts(current(), f"report {process_id} {status}")
        if (status == "FAILED") != (error is not None):
            self._world.blame(f"{process_id}: {status} with the error {error}")

        def hear() -> None:
            self._ledger.hears(process_id, status)
            if self._world.chance(self._world.plan.reject):
                raise BackendRejectedError("no such process")

        await self._network.call(
            "backend", f"report {process_id} {modality} {status}", hear, weight=2
        )


class SimDepths:
    """Implements `services.backlog.Depths`: nobody looks at the figures here."""

    async def depth(self, queue: str) -> int | None:
        return len(queue)

    async def close(self) -> None:
        return
