"""A slow, far wire: a TCP proxy that limits each connection's rate, delays each request, counts."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

READ_BYTES = 64 * 1024
_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) \S+ HTTP/1\.1\r\n")


@dataclass(frozen=True)
class Wire:
    """How slow.

    Attributes:
        name: for the table.
        bits_per_s: of each connection, each way; 0 for no limit.
        delay_s: before each request reaches the server, seconds.
    """

    name: str
    bits_per_s: float
    delay_s: float


@dataclass
class Traffic:
    """What went through.

    Attributes:
        requests: by method.
        fetched_bytes: from the server, headers included.
        sent_bytes: to the server, likewise.
    """

    requests: Counter[str] = field(default_factory=Counter)
    fetched_bytes: int = 0
    sent_bytes: int = 0


class Proxy:
    """One listening socket in front of one server."""

    def __init__(self, server_port: int, wire: Wire) -> None:
        self._server_port, self._wire = server_port, wire
        self.traffic, self.port = Traffic(), 0

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Until `stop`."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=READ_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()

    async def _connection(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, forth = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            back.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(near, forth, up=True))
                group.create_task(self._pump(far, back, up=False))
        except* (OSError, asyncio.CancelledError):
            pass  # the far side is gone, or the measurement is over
        finally:
            for writer in (forth, back):
                with suppress(OSError, RuntimeError):
                    writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        loop, wire = asyncio.get_running_loop(), self._wire
        free_at = 0.0  # when the wire has taken what was put on it
        while data := await reader.read(READ_BYTES):
            # No client pipelines: a request's first line is always at the start of a read.
            if up and (match := _REQUEST.match(data)):
                self.traffic.requests[match[1].decode()] += 1
                await asyncio.sleep(wire.delay_s)
            if wire.bits_per_s:
                now = loop.time()
                free_at = max(free_at, now) + len(data) * 8 / wire.bits_per_s
                if free_at - now > 0.005:
                    await asyncio.sleep(free_at - now)
            if up:
                self.traffic.sent_bytes += len(data)
            else:
                self.traffic.fetched_bytes += len(data)
            writer.write(data)
            await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()


@contextmanager
def slow_wire(server_port: int, wire: Wire) -> Iterator[Proxy]:
    """A proxy in a thread of its own; `port` and `traffic` are its attributes."""
    proxy, ready, loop = Proxy(server_port, wire), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(proxy.serve(ready, stop))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
