"""The command line over rooms in memory: one beside the cluster, one behind the gateway."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fakes.letters import FakeLetterQueue
from fakes.videos import FakeVideoStore
from m0_operator.cli.cluster import ClusterRoom
from m0_operator.cli.gateway import GatewayRoom
from m0_operator.cli.main import call
from m0_operator.cli.where import Desk, Where
from m0_operator.errors import AlreadyExistsError
from m0_operator.services.dead_letters import DeadLetterBox
from m0_operator.services.jobs import Change, Videos

from .doors import Door, FakeQueue


class FakeTerminal(FakeVideoStore):
    """Stands for `KubernetesTerminal`.

    Attributes:
        script: statuses, each of which comes true with one watch: {name: status}.
        denied: "verb resource", or "verb resource name", that the user may not do.
    """

    namespace = "m0"
    server = "https://cluster"

    def __init__(self) -> None:
        super().__init__()
        self.script: list[tuple[str, dict[str, Any]]] = []
        self.denied: set[str] = set()
        self.deployment: dict[str, Any] | None = None
        self.events: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.config: dict[str, dict[str, str]] = {}
        self.lease: dict[str, Any] | None = None
        self.inside = False
        self.kinds: list[str] | None = ["videochunkjobs"]

    async def watch(self, name: str, version: str) -> AsyncGenerator[Change, None]:
        if self.script:
            changed, status = self.script.pop(0)
            self.set_status(changed, **status)
        async for change in super().watch(name, version):
            yield change

    async def create_resource(self, manifest: dict[str, Any]) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        if name in self.resources:
            raise AlreadyExistsError(f"{name} exists")
        video = {**manifest, "status": {}}
        video["metadata"] = {**manifest["metadata"], "uid": "uid-new"}
        self.put(video)
        return video

    async def fetch_operator_pods(self) -> list[dict[str, Any]]:
        return self.pods

    async def fetch_events(self, objects: set[tuple[str, str]]) -> list[dict[str, Any]]:
        return [e for e in self.events if tuple(e["involvedObject"].values()) in objects]

    async def fetch_operator(self) -> dict[str, Any] | None:
        return self.deployment

    async def fetch_secret(self, name: str) -> dict[str, Any] | None:
        if name not in self.secrets:
            return None
        values = self.secrets[name].items()
        return {"data": {k: base64.b64encode(v.encode()).decode() for k, v in values}}

    async def fetch_config_map(self, name: str) -> dict[str, Any] | None:
        return {"data": self.config[name]} if name in self.config else None

    async def fetch_raw_lease(self, name: str) -> dict[str, Any] | None:  # noqa: ARG002
        return self.lease

    async def fetch_kinds(self, group_version: str) -> list[str] | None:  # noqa: ARG002
        return self.kinds

    async def fetch_server_version(self) -> str:
        if self.error is not None:
            raise self.error
        return "v1.37"

    async def may(self, verb: str, group: str, resource: str, name: str = "") -> bool:  # noqa: ARG002
        return f"{verb} {resource} {name}".strip() not in self.denied


class NearRoom(ClusterRoom):
    """The real room, with queues in memory."""

    def __init__(self, home: "Home", where: Where) -> None:
        super().__init__(home.store, where)  # type: ignore[arg-type]
        self._home = home
        self._videos = Videos(home.store, sleep=_at_once)

    async def _box(self) -> DeadLetterBox:
        return DeadLetterBox(self._home.letters)

    async def _publish(self, body: bytes, priority: int, headers: Mapping[str, Any]) -> str:
        await self._home.queue.publish(body, headers=headers, priority=priority)
        return f"queued in M0_PRIORITY_QUEUE with priority {priority}"


async def _at_once(_: float) -> None:
    return


@dataclass
class Home:
    """A command line and all that is behind it."""

    through_gateway: bool = False
    store: FakeTerminal = field(default_factory=FakeTerminal)
    letters: FakeLetterQueue = field(default_factory=lambda: FakeLetterQueue([]))
    queue: FakeQueue = field(default_factory=FakeQueue)
    door: dict[str, Any] = field(default_factory=dict)
    opened: Where | None = None
    before: Callable[[], None] = lambda: None

    def run(self, *arguments: object) -> int:
        """Run a command; its exit code."""
        return int(call([str(item) for item in arguments], desk=Desk(opener=self._open)))

    @asynccontextmanager
    async def _open(self, where: Where) -> AsyncIterator[ClusterRoom | GatewayRoom]:
        self.opened = where
        if not self.through_gateway:
            yield NearRoom(self, where)
            return
        door = Door(self.queue, self.store, self.letters, settings=self.door)
        headers = {"Authorization": f"Bearer {where.token}"} if where.token else {}
        headers["Accept"] = "application/problem+json, application/json"
        where.gateway = "http://gateway"
        async with door.client(headers=headers) as client:
            yield GatewayRoom(client, where)
