"""What the REST door costs, beside an endpoint of bare FastAPI on the same machine in the same run.

    make bench-gateway              # without a broker: what the door itself costs
    set -a; . .m0/dev.env; set +a; make bench-gateway   # also with the broker's confirmations

Each server is a process of its own, and they take turns: a round measures every one of them for
a moment, so that a machine that is busy elsewhere slows them all. What is shown are medians over
the rounds; what may be compared between machines are only the ratios.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import uvicorn
from fastapi import FastAPI
from m0_operator.gateway.app import Options, build_app
from m0_operator.gateway.auth import build_tokens
from m0_operator.gateway.publisher import QueuePublisher
from m0_operator.services.jobs import Videos
from m0_operator.settings import GatewaySettings
from pydantic import SecretStr

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "0123456789abcdef0123456789abcdef"
BODY = (ROOT / "examples" / "request.json").read_bytes()
BARE = "bare FastAPI"


@dataclass
class Case:
    """A server and what it is asked.

    Attributes:
        serves: what `serve` is to run.
        rates: requests a second, of each round.
        tails: the 99th percentile of the time for an answer, milliseconds, likewise.
    """

    name: str
    serves: str
    request: bytes
    port: int = 0
    rates: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)


def build_request(method: str, path: str, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: bench",
        f"Authorization: Bearer {TOKEN}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


class Instant:
    """A broker that confirms at once."""

    async def publish(self, body: bytes, *, headers: Mapping[str, Any], priority: int) -> None:
        """Do nothing."""

    async def check(self) -> Mapping[str, str]:
        """All is well."""
        return {"rabbitmq": "ok"}

    async def close(self) -> None:
        """Do nothing."""


class OneVideo:
    """A cluster that knows one video, and answers at once."""

    async def fetch_resource(self, name: str) -> dict[str, Any]:
        """That one."""
        return {
            "metadata": {"name": name, "uid": "u", "resourceVersion": "1"},
            "spec": {"processId": 101, "cloudStreamPath": "s3://films/film.mp4"},
            "status": {"phase": "Running", "progress": {"chunks": 2, "percent": "40%"}},
        }


def build_bare() -> FastAPI:
    """What FastAPI needs for reading and answering as much."""
    app = FastAPI()

    @app.post("/")
    async def echo(item: dict[str, Any]) -> dict[str, Any]:
        return {"process_id": item["process_id"], "status": "QUEUED", "message": "It is queued."}

    return app


async def serve(what: str, port: int) -> None:
    """Run one server until it is ended."""
    async with AsyncExitStack() as stack:
        app = build_bare()
        if what != "bare":
            settings = GatewaySettings(
                amqp_url=SecretStr(os.environ.get("M0_AMQP_URL", "amqp://none/")),
                priority_queue=os.environ.get("M0_BENCH_QUEUE", ""),
                declare_queues=True,
                gateway_tokens=SecretStr(TOKEN if what == "guarded" else ""),
            )
            publisher: Instant | QueuePublisher = Instant()
            if what == "broker":
                publisher = QueuePublisher(settings)
                await stack.enter_async_context(publisher.kept_connected())
            store: Any = OneVideo()
            app = build_app(publisher, Options(videos=Videos(store), tokens=build_tokens(settings)))
        config = uvicorn.Config(app, port=port, log_config=None, access_log=False)
        await uvicorn.Server(config).serve()


async def load(case: Case, connections: int, seconds: float) -> tuple[float, float]:
    """Ask as fast as it answers; requests a second and the 99th percentile in milliseconds."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", case.port)
        while (begun := time.perf_counter()) < until:
            writer.write(case.request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:20]:
                raise SystemExit(f"{case.name}: {head.decode(errors='replace')}")
            size = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            await reader.readexactly(size)
            times.append(time.perf_counter() - begun)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(ask())
    times.sort()
    return len(times) / seconds, times[int(len(times) * 0.99)] * 1000


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def wait_until_it_serves(case: Case) -> None:
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", case.port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit(f"{case.name}: it does not serve")


async def measure(cases: list[Case], arguments: argparse.Namespace) -> None:
    """Fill the cases."""
    for case in cases:
        await wait_until_it_serves(case)
        await load(case, arguments.connections, 1)
    for number in range(arguments.rounds):
        for case in cases:
            rate, tail = await load(case, arguments.connections, arguments.seconds)
            case.rates.append(rate)
            case.tails.append(tail)
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)


def show(cases: list[Case]) -> None:
    """The table, ratios of the same round."""
    bare = cases[0]
    print(f"{'':34} {'requests/s':>10} {'ratio':>6} {'p99 ms':>8} {'ratio':>6}")
    for case in cases:
        pairs = zip(case.rates, bare.rates, strict=True)
        tails = zip(case.tails, bare.tails, strict=True)
        print(
            f"{case.name:34} {statistics.median(case.rates):10.0f} "
            f"{statistics.median(a / b for a, b in pairs):6.2f} "
            f"{statistics.median(case.tails):8.1f} "
            f"{statistics.median(a / b for a, b in tails):6.2f}"
        )


async def with_queue(queue: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do it, and delete the queue."""
    try:
        await work()
    finally:
        if url := os.environ.get("M0_AMQP_URL"):
            async with await aio_pika.connect(url) as connection:
                await (await connection.channel()).queue_delete(queue)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.port))
        return
    queue = f"m0-bench-gateway-{os.getpid()}"
    post = build_request("POST", "/api/v1/process_video", BODY)
    cases = [
        Case(BARE, "bare", build_request("POST", "/", BODY)),
        Case("queue a video, no broker", "open", post),
        Case("the same with a bearer token", "guarded", post),
        Case("show a video", "open", build_request("GET", "/api/v1/jobs/101")),
    ]
    if os.environ.get("M0_AMQP_URL"):
        cases.append(Case("queue a video, broker confirms", "broker", post))
    servers: list[subprocess.Popen[bytes]] = []
    ports: dict[str, int] = {}
    for case in cases:
        if case.serves not in ports:
            ports[case.serves] = free_port()
            command = [sys.executable, __file__, "--serve", case.serves]
            command += ["--port", str(ports[case.serves])]
            servers.append(subprocess.Popen(command, env={**os.environ, "M0_BENCH_QUEUE": queue}))
        case.port = ports[case.serves]
    try:
        asyncio.run(with_queue(queue, lambda: measure(cases, arguments)))
    finally:
        for server in servers:
            server.terminate()
            server.wait(timeout=30)
    print(f"{arguments.connections} connections, a request of {len(BODY)} bytes")
    show(cases)


if __name__ == "__main__":
    main()
