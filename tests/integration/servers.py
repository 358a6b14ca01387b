"""The real stores, and a line to them that can be bad."""

import os
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
S3 = ("M0_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
AZURE = ("AZURE_STORAGE_CONNECTION_STRING",)


def read_access(names: tuple[str, ...]) -> dict[str, str]:
    """A server's address and keys: from the environment, else from `.m0/dev.env`."""
    values = {name: os.environ[name] for name in names if name in os.environ}
    written = ROOT / ".m0/dev.env"
    if len(values) < len(names) and written.exists():
        for line in written.read_text().splitlines():
            name, _, text = line.partition("=")
            if name in names:
                values.setdefault(name, shlex.split(text)[0])
    missing = [name for name in names if name not in values]
    assert not missing, f"no server: set {', '.join(missing)}, or run `make up`"
    return values


class Line:
    """A loopback port before a server, whose traffic two hooks may change.

    Attributes:
        port: where it listens.
        sent: bytes that clients sent, with the heads of their requests.
        came: bytes that went to clients.
        to_server: (all before it in this connection, data) -> data.
        to_client: the same for answers.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.sent = self.came = self.connections = 0
        self.to_server: Callable[[int, bytes], bytes] = lambda _, data: data
        self.to_client: Callable[[int, bytes], bytes] = lambda _, data: data
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self._target)
                for pair, up in (((client, server), True), ((server, client), False)):
                    threading.Thread(target=self._carry, args=(*pair, up), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        before = 0
        with suppress(OSError):
            while data := source.recv(65536):
                hook = self.to_server if up else self.to_client
                changed = hook(before, data)
                before += len(data)
                target.sendall(changed)
                if up:
                    self.sent += len(changed)
                else:
                    self.came += len(changed)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()


@contextmanager
def line_to(url: str) -> Iterator[tuple[Line, str]]:
    """(the line, the URL to use instead)."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    line = Line(host, port)
    try:
        yield line, url.replace(f"{host}:{port}", f"127.0.0.1:{line.port}")
    finally:
        line.close()


def damage(_before: int, data: bytes) -> bytes:
    """Flips a bit in the middle of what is long enough to be no head of a request."""
    if len(data) < 10_000:
        return data
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def cut(_before: int, _data: bytes) -> bytes:
    """The connection is gone, without a word."""
    raise OSError


def swallow(_before: int, _data: bytes) -> bytes:
    """Nothing arrives any more, and nobody says so."""
    return b""


def silence_present() -> Callable[[int, bytes], bytes]:
    """On the connections that there are nothing arrives any more; new ones are well."""
    well: set[int] = set()

    def change(before: int, data: bytes) -> bytes:
        # Each direction of a connection has a thread of its own.
        if before == 0:
            well.add(threading.get_ident())
        return data if threading.get_ident() in well else b""

    return change


def damage_once(change: Callable[[int, bytes], bytes]) -> Callable[[int, bytes], bytes]:
    """Until it has changed something."""
    done = threading.Event()

    def once(before: int, data: bytes) -> bytes:
        changed = data if done.is_set() else change(before, data)
        if changed != data:
            done.set()
        return changed

    return once


def stall_once(at: int, seconds: float) -> Callable[[int, bytes], bytes]:
    """The first connection that comes so far stands still for a while."""
    done = threading.Event()

    def change(before: int, data: bytes) -> bytes:
        if before + len(data) > at and not done.is_set():
            done.set()
            time.sleep(seconds)
        return data

    return change
