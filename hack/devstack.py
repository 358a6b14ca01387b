"""The running development stack, seen from outside: S3, AMQP, SQL and kubectl clients.

Everything is found through `.m0/dev.env`, which `make up` writes. The demo and the
end-to-end tests drive M0 with this, as a stranger's client would; nothing here
imports M0.
"""

import asyncio
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aio_pika
import boto3
import psycopg
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
POLL_S = 0.25
DEADLINE_S = 120.0

T = TypeVar("T")


@dataclass(frozen=True)
class Message:
    """A message as it lay in a queue."""

    body: bytes
    headers: dict[str, Any]
    priority: int | None
    delivery_mode: int | None
    message_id: str | None = None

    @property
    def json(self) -> dict[str, Any]:
        """The body, decoded."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def process_id(self) -> Any:
        """The body's process_id; None where the body has none."""
        try:
            return json.loads(self.body)["process_id"]
        except (ValueError, KeyError, TypeError):
            return None


def read_env(path: Path = ROOT / ".m0" / "dev.env") -> dict[str, str]:
    """The variables of dev.env.

    Raises:
        SystemExit: there is no such file: nothing is up.
    """
    if not path.is_file():
        raise SystemExit(f"{path} is missing: run `make up` first.")
    env: dict[str, str] = {}
    for line in path.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            env[name] = shlex.split(value)[0] if value else ""
    return env


def wait_for(what: str, probe: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T:
    """Poll `probe` until it gives something true.

    Raises:
        TimeoutError: says what was waited for.
    """
    end = time.monotonic() + deadline_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:.0f} s in vain for {what}")
        time.sleep(POLL_S)


class DevStack:
    """Clients for one running development stack."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        self.env = env or read_env()
        self.namespace = self.env["M0_NAMESPACE"]
        self.gateway_url = self.env["M0_GATEWAY_URL"]
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.env["M0_S3_ENDPOINT_URL"],
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.env["AWS_REGION"],
            config=Config(retries={"max_attempts": 5, "mode": "standard"}),
        )

    # ── Kubernetes ────────────────────────────────────────────────────────────
    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in M0's namespace; its standard output.

        Raises:
            RuntimeError: kubectl failed (only with `check`); carries its standard error.
        """
        own = ROOT / ".m0" / "bin" / "kubectl"
        result = subprocess.run(
            [str(own) if own.exists() else "kubectl", "-n", self.namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": self.env["KUBECONFIG"]},
        )
        if check and result.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def resource(self, name: str) -> dict[str, Any] | None:
        """A VideoChunkJob, or None."""
        text = self.kubectl("get", "vcj", name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def items(self, kind: str, selector: str) -> list[dict[str, Any]]:
        """All objects of a kind with these labels."""
        found = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def wait_phase(self, name: str, *phases: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Wait until the resource has one of the phases; the resource."""

        def probe() -> dict[str, Any] | None:
            found = self.resource(name)
            reached = found is not None and found.get("status", {}).get("phase") in phases
            return found if reached else None

        try:
            return wait_for(f"{name} to be {' or '.join(phases)}", probe, deadline_s)
        except TimeoutError as error:
            status = (self.resource(name) or {}).get("status")
            raise TimeoutError(f"{error}; its status: {json.dumps(status, indent=1)}") from error

    # ── Store ─────────────────────────────────────────────────────────────────
    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Object keys under a prefix, sorted."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def get(self, bucket: str, key: str) -> bytes:
        """An object's bytes."""
        data: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def delete_prefix(self, bucket: str, prefix: str) -> None:
        """Delete all objects under a prefix."""
        for key in self.keys(bucket, prefix):
            self.s3.delete_object(Bucket=bucket, Key=key)

    # ── Broker ────────────────────────────────────────────────────────────────
    def publish(
        self,
        body: bytes | dict[str, Any],
        *,
        priority: int | None = None,
        headers: dict[str, Any] | None = None,
        queue: str = "M0_PRIORITY_QUEUE",
    ) -> bytes:
        """Put a message into a queue, confirmed; the exact body."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def send() -> None:
            connection = await aio_pika.connect(self.env["M0_AMQP_URL"])
            async with connection:
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                message = aio_pika.Message(
                    data,
                    priority=priority,
                    headers=headers or {},
                    timestamp=int(time.time()),
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await channel.default_exchange.publish(message, routing_key=queue)

        asyncio.run(send())
        return data

    def messages(
        self, queue: str, wanted: Callable[[Message], bool], *, take: bool = False
    ) -> list[Message]:
        """The messages in a queue that are wanted, in order; the others stay untouched.

        Args:
            queue: its name.
            wanted: which messages.
            take: remove the wanted ones; otherwise everything goes back.
        """

        async def look() -> list[Message]:
            found: list[Message] = []
            connection = await aio_pika.connect(self.env["M0_AMQP_URL"])
            async with connection:
                channel = await connection.channel()
                source = await channel.get_queue(queue, ensure=False)
                # Unacknowledged messages return to their places when the channel closes.
                while (raw := await source.get(fail=False, timeout=10)) is not None:
                    message = Message(
                        raw.body,
                        dict(raw.headers),
                        raw.priority,
                        raw.delivery_mode,
                        raw.message_id,
                    )
                    if wanted(message):
                        found.append(message)
                        if take:
                            await raw.ack()
            return found

        return asyncio.run(look())

    def drop_queues(self, *queues: str) -> None:
        """Delete queues, with what is in them."""

        async def drop() -> None:
            connection = await aio_pika.connect(self.env["M0_AMQP_URL"])
            async with connection:
                channel = await connection.channel()
                for queue in queues:
                    await channel.queue_delete(queue)

        asyncio.run(drop())

    def depth(self, queue: str) -> int:
        """Messages ready in a queue."""

        async def ask() -> int:
            connection = await aio_pika.connect(self.env["M0_AMQP_URL"])
            async with connection:
                channel = await connection.channel()
                declared = await channel.declare_queue(queue, passive=True)
                return declared.declaration_result.message_count or 0

        return asyncio.run(ask())

    # ── Database ──────────────────────────────────────────────────────────────
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of one SQL statement; none for a statement that gives none."""
        with psycopg.connect(self.env["M0_DATABASE_URL"], connect_timeout=10) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def rows(self, process_id: int, table: str = "batch_chunk") -> list[tuple[Any, ...]]:
        """(chunk_id, start, end, duration, offset, hash, cloud_path, cache_path), by chunk."""
        return self.query(
            "SELECT chunk_id, start_time, end_time, chunk_duration, time_offset, chunk_hash,"
            f" cloud_path, cache_path FROM {table} WHERE process_id = %s ORDER BY chunk_id",
            [process_id],
        )

    def statuses(self, process_id: int) -> list[tuple[str, str | None]]:
        """(status, error) as the backend saw them, in order."""
        return [
            (status, error)
            for status, error in self.query(
                "SELECT status, error FROM processing_status WHERE process_id = %s ORDER BY at, id",
                [process_id],
            )
        ]
