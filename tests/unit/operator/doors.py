"""A REST door in memory: everything behind it is faked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from fakes.letters import FakeLetterQueue
from fakes.videos import FakeVideoStore
from fastapi import FastAPI
from m0_operator.gateway.app import Options, build_app
from m0_operator.gateway.auth import build_tokens
from m0_operator.gateway.streams import Streams
from m0_operator.services.dead_letters import DeadLetterBox
from m0_operator.services.jobs import Videos
from m0_operator.services.pod_logs import PodLogs
from m0_operator.settings import GatewaySettings


class FakeQueue:
    """Implements the gateway's `Publisher`."""

    def __init__(self) -> None:
        self.published: list[tuple[bytes, int]] = []
        self.headers: list[dict[str, Any]] = []
        self.error: Exception | None = None

    async def publish(
        self,
        body: bytes,
        *,
        headers: Mapping[str, Any],
        priority: int,
    ) -> None:
        if self.error is not None:
            raise self.error
        self.published.append((body, priority))
        self.headers.append(dict(headers))

    async def check(self) -> Mapping[str, str]:
        return {"rabbitmq": "unavailable" if self.error else "ok", "queue": "ok"}

    async def close(self) -> None:
        return


class FakeProbe:
    """Implements `Probe`."""

    async def check(self) -> Mapping[str, str]:
        return {"kubernetes": "unavailable"}


@dataclass
class Door:
    """The application and what is behind it."""

    queue: FakeQueue = field(default_factory=FakeQueue)
    store: FakeVideoStore = field(default_factory=FakeVideoStore)
    letters: FakeLetterQueue = field(default_factory=lambda: FakeLetterQueue([]))
    streams: Streams = field(default_factory=Streams)
    origins: tuple[str, ...] = ()
    probe: FakeProbe | None = None
    logs: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self) -> FastAPI:
        settings = GatewaySettings(amqp_url="amqp://h/", **self.settings)
        options = Options(
            videos=Videos(self.store, sleep=self.store.pause),
            logs=PodLogs(self.store, sleep=self.store.pause) if self.logs else None,
            letters=DeadLetterBox(self.letters),
            tokens=build_tokens(settings),
            origins=self.origins,
            streams=self.streams,
            probe=self.probe,
        )
        return build_app(self.queue, options)

    def client(self, **more: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.build(), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", **more)
