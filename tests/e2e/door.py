"""A REST door of a test's own: a process of this machine, before the real cluster and broker."""

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack import ROOT, wait_for
from own import OwnStack
from programs import OURS

TOKEN = "e2e-token-0123456789"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        json: None if it is something else.
    """

    status: int
    json: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    kind: str
    number: str
    data: dict[str, Any]


class Door:
    """The running gateway."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = process
        self.log_file = log

    def _request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> urllib.request.Request:
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.Request(
            self.url + path,
            data=data,
            method=method,
            headers={"authorization": f"Bearer {TOKEN}", **headers},
        )

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request to its end."""
        try:
            with urllib.request.urlopen(
                self._request(method, path, body, **headers), timeout=30
            ) as answer:
                text = answer.read()
                is_json = answer.headers.get_content_type().endswith("json")
                return Answer(
                    answer.status,
                    json.loads(text) if is_json else None,
                    {name.lower(): value for name, value in answer.headers.items()},
                )
        except urllib.error.HTTPError as error:
            headers = {name.lower(): value for name, value in error.headers.items()}
            return Answer(error.code, json.load(error), headers)

    def text(self, path: str) -> str:
        """A text that is given at once, or as it is written."""
        with urllib.request.urlopen(self._request("GET", path), timeout=120) as answer:
            found: str = answer.read().decode()
            return found

    def follow(self, process_id: int | str, after: str = "") -> Iterator[Event]:
        """The events of a video, as they come, until the stream ends."""
        more = {"Last-Event-ID": after} if after else {}
        request = self._request("GET", f"/api/v1/jobs/{process_id}/events", **more)
        with urllib.request.urlopen(request, timeout=120) as answer:
            fields: dict[str, str] = {}
            for raw in answer:
                line = raw.decode().rstrip("\n")
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif not line and "event" in fields:
                    yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
                    fields = {}

    def terminate(self) -> None:
        """Tell this very process to end."""
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def own_door(stack: OwnStack, log: Path, **settings: str) -> Iterator[Door]:
    """A gateway before the namespace and queues of `stack`, while the context is open."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    own = {
        "M0_AMQP_URL": stack.env["M0_AMQP_URL"],
        "M0_NAMESPACE": stack.namespace,
        "M0_PRIORITY_QUEUE": stack.requests,
        "M0_DEADLETTER_QUEUE": stack.letters,
        "M0_GATEWAY_PORT": str(port),
        "M0_GATEWAY_TOKENS": TOKEN,
        "KUBECONFIG": stack.env["KUBECONFIG"],
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [ROOT / ".venv/bin/m0-gateway"],
            env={**OURS, **own, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    door = Door(port, process, log)
    try:
        wait_for("the gateway to be ready", lambda: _ready(door))
        yield door
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(door: Door) -> bool:
    if door.process.poll() is not None:
        raise AssertionError(door.log_file.read_text(errors="replace")[-2000:])
    try:
        return door.ask("GET", "/readyz").status == 200
    except urllib.error.URLError:
        return False
