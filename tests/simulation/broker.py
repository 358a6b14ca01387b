"""RabbitMQ: a queue with priorities, what is unacknowledged, dead letters, progress."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from m0_wire.errors import BrokerUnavailableError

from simulation.ledger import Ledger
from simulation.process import Process
from simulation.records import Letter, Message
from simulation.world import World

HEARTBEAT_S = 45.0
"""After which the broker gives a silent connection up."""


class Connection:
    """A connection of one process; with it goes what it holds."""

    def __init__(self, owner: Process) -> None:
        self.owner = owner
        self.open = True
        self.unacked: dict[int, Message] = {}


@dataclass
class _Waiting:
    message: Message
    redelivered: bool = False


class Broker:
    """What the operator's connections end at."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world = world
        self._ledger = ledger
        self._waiting: list[_Waiting] = []
        self._connections: list[Connection] = []
        self.progress: deque[bytes] = deque(maxlen=1000)

    @property
    def backlog(self) -> int:
        """Messages not yet acknowledged, wherever they are."""
        held = sum(len(connection.unacked) for connection in self._connections)
        return len(self._waiting) + held

    def publish(
        self, body: bytes, headers: dict[str, Any], priority: int, message_id: str
    ) -> Message:
        """Somebody sends a request."""
        messages = self._ledger.messages
        message = Message(len(messages) + 1, body, headers, priority, message_id, self._world.time)
        messages.append(message)
        self._waiting.append(_Waiting(message))
        self._world.say("people", f"publish {message.serial} (priority {priority}): {body[:300]!r}")
        return message

    def connect(self, owner: Process) -> Connection:
        """A new connection."""
        connection = Connection(owner)
        self._connections.append(connection)
        return connection

    def get(self, connection: Connection) -> tuple[Message, bool] | None:
        """The first message of the highest priority; it stays unacknowledged."""
        self._check(connection)
        if not self._waiting:
            return None
        best = max(self._waiting, key=lambda item: (item.message.priority, -item.message.serial))
        self._waiting.remove(best)
        connection.unacked[best.message.serial] = best.message
        best.message.delivered_s.append(self._world.time)
        return best.message, best.redelivered

    def ack(self, connection: Connection, message: Message) -> None:
        """Forget it."""
        self._check(connection)
        if connection.unacked.pop(message.serial, None) is None:
            raise BrokerUnavailableError("unknown delivery tag")
        self._ledger.acked(connection.owner, message)

    def requeue(self, connection: Connection, message: Message) -> None:
        """Back to its place."""
        if connection.open and connection.unacked.pop(message.serial, None) is not None:
            self._waiting.append(_Waiting(message, redelivered=True))

    def close(self, connection: Connection) -> None:
        """A connection ends, in whatever way: what it holds goes back."""
        if connection.open:
            connection.open = False
            self._connections.remove(connection)
            for message in connection.unacked.values():
                self._waiting.append(_Waiting(message, redelivered=True))
                self._world.say("broker", f"message {message.serial} goes back to the queue")
            connection.unacked.clear()

    def _check(self, connection: Connection) -> None:
        if not connection.open:
            raise BrokerUnavailableError("the channel is closed")

    def close_all_of(self, owner: Process) -> None:
        """A process has ended, or fallen silent."""
        for connection in [item for item in self._connections if item.owner is owner]:
            self.close(connection)

    def lose_connections(self) -> None:
        """The broker restarts."""
        for connection in list(self._connections):
            self.close(connection)

    def store_letter(self, letter: Letter) -> None:
        """A dead letter arrives."""
        self._world.say(
            letter.by, f"dead letter {letter.id} {letter.headers.get('x-m0-error-code')}"
        )
        self._ledger.lettered(letter)
