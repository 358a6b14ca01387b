"""The program `m0-gateway`: settings, what is outside, the server, and an end that loses nobody."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import FrameType

import uvicorn

from m0_operator.adapters.letters import AmqpLetterQueue
from m0_operator.adapters.videos import KubernetesVideos
from m0_operator.errors import OperatorError
from m0_operator.gateway.app import Options, build_app
from m0_operator.gateway.auth import AuthSettingsError, Tokens, build_tokens
from m0_operator.gateway.publisher import QueuePublisher
from m0_operator.gateway.streams import Streams
from m0_operator.logs import configure_logging
from m0_operator.services.dead_letters import DeadLetterBox
from m0_operator.services.jobs import Videos
from m0_operator.services.pod_logs import PodLogs
from m0_operator.settings import GatewaySettings, load_settings
from m0_operator.tracing import close_tracing, open_tracing

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 5.0
CHECK_S = 2.0
GRACEFUL_S = 10


def main() -> None:
    """Run it."""
    settings = load_settings("m0-gateway", GatewaySettings)
    configure_logging(settings.log_level, settings.log_format)
    try:
        tokens = build_tokens(settings)
    except AuthSettingsError as error:
        sys.exit(f"m0-gateway: bad settings: {error}")
    asyncio.run(_serve(settings, tokens))


async def _serve(settings: GatewaySettings, tokens: Tokens | None) -> None:
    publisher = QueuePublisher(settings)
    streams = Streams(settings.gateway_streams)
    tracing = open_tracing("m0-gateway", settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(close_tracing, tracing)
        cluster: KubernetesVideos | None = None
        if settings.gateway_jobs:
            connections = settings.gateway_streams + 20
            cluster = await stack.enter_async_context(
                KubernetesVideos(settings.namespace, connections=connections)
            )
        letters = AmqpLetterQueue(
            settings.amqp_url.get_secret_value(),
            settings.deadletter_queue,
            settings.priority_queue,
            timeout_s=settings.publish_timeout_s,
        )
        options = Options(
            videos=Videos(cluster) if cluster else None,
            logs=PodLogs(cluster) if cluster and settings.gateway_logs else None,
            letters=DeadLetterBox(letters) if settings.gateway_dead_letters else None,
            tokens=tokens,
            origins=tuple(settings.gateway_cors_origins.replace(",", " ").split()),
            streams=streams,
            probe=ClusterProbe(cluster.check) if cluster else None,
            tracer=tracing.provider if tracing else None,
        )
        configuration = uvicorn.Config(
            build_app(publisher, options),
            host=settings.gateway_host,
            port=settings.gateway_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_S,
        )
        await stack.enter_async_context(publisher.kept_connected())
        await DrainingServer(configuration, streams, settings.gateway_drain_s).serve()


class DrainingServer(uvicorn.Server):
    """Told to end, it goes on for a while: whoever sends requests here learns of it late.

    Meanwhile it is not ready, and asks callers to connect anew. A second signal ends it at once,
    and so does an interrupt from a terminal.
    """

    def __init__(self, config: uvicorn.Config, streams: Streams, drain_s: float) -> None:
        super().__init__(config)
        self._streams = streams
        self._drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called as a signal handler, in the loop's own thread."""
        if sig == signal.SIGTERM and not self._streams.is_draining():
            self._streams.draining = True
            logger.info("Draining", extra={"seconds": self._drain_s})
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, self._drain_s, self._end, sig, frame)
            return
        self._end(sig, frame)

    def _end(self, sig: int, frame: FrameType | None) -> None:
        self._streams.draining = True
        self._streams.closing.set()
        super().handle_exit(sig, frame)


class ClusterProbe:
    """Whether the Kubernetes API answers; asked at most every few seconds."""

    def __init__(
        self, ask: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._asked_at: float | None = None
        self._state = "unknown"
        self._lock = asyncio.Lock()

    async def check(self) -> Mapping[str, str]:
        """`kubernetes`: `ok` or `unavailable`; never raises."""
        async with self._lock:
            now = self._clock()
            if self._asked_at is None or now - self._asked_at >= CHECK_EVERY_S:
                self._state = await self._look()
                self._asked_at = self._clock()
        return {"kubernetes": self._state}

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(CHECK_S):
                await self._ask()
        except (OperatorError, TimeoutError) as error:
            logger.warning("Kubernetes API not reached", extra={"reason": str(error)})
            return "unavailable"
        return "ok"
