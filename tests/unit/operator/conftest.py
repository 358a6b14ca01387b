"""An operator in memory: real services and decisions, everything outside faked."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.cluster import FakeCluster
from fakes.wire import FakeDeadLetters, FakeDelivery, FakeInbox, FakeReporter
from m0_operator.domain.actions import Policy
from m0_operator.domain.job_template import JobTemplate
from m0_operator.services.intake import Intake
from m0_operator.services.progress import ProgressTracker
from m0_operator.services.reconcile import Reconciler
from m0_operator.services.reporting import Reporting
from m0_operator.services.settled import Settled
from m0_operator.services.slots import Slots
from m0_operator.services.telemetry import UNHEARD, Telemetry

SUCCESS = json.dumps({"chunks": 5, "duration_s": 300.0, "size_bytes": 42, "mode": "copy"})


def failed(code: str, stage: str = "source", **more: Any) -> str:
    return json.dumps({"failure": {"code": code, "stage": stage, "message": "why", **more}})


def request_body(process_id: int | str = 101, **changes: Any) -> bytes:
    document = {
        "process_id": process_id,
        "inference_modality": "batch",
        "cloud_stream_path": "s3://spectra-videos/uploads/film.mp4",
        "destination_prefix": "processed/101/",
        "cache_container_name": "spectra-cache",
        "video_preprocessing": {"chunk_duration": 60},
        "inference_config": {"ratio": 1.0, "big": 12345678901234567890},
        **changes,
    }
    return json.dumps({k: v for k, v in document.items() if v is not ...}, indent=1).encode()


@dataclass
class World:
    """The operator and all around it. `restart` forgets what was only in memory."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    inbox: FakeInbox = field(default_factory=FakeInbox)
    dead_letters: FakeDeadLetters = field(default_factory=FakeDeadLetters)
    reporter: FakeReporter | None = field(default_factory=FakeReporter)
    limit: int = 4
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    lost: Exception | None = None
    telemetry: Telemetry = UNHEARD
    template: JobTemplate = field(default_factory=lambda: JobTemplate(image="c:1"))
    trace_ratio: float | None = None

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.wakes: list[str] = []
        self.requeues: list[tuple[str, float]] = []
        self.slots = Slots(self.limit)
        self.acknowledged: set[str] = set()
        self.progress = ProgressTracker(self.clock, lambda *_: None)
        policy = Policy(
            template=self.template,
            backend=self.reporter is not None,
            trace_ratio=self.trace_ratio,
        )
        self.settled = Settled(policy, lambda: self.now)
        self.reconciler = Reconciler(
            self.cluster,
            Reporting(self.reporter, self.dead_letters, self.clock),
            policy,
            slots=self.slots,
            settled=self.settled,
            acknowledged=self.acknowledged,
            progress=self.progress,
            requeue=lambda name, wait_s: self.requeues.append((name, wait_s)),
            now=lambda: self.now,
            fence=self.fence,
            telemetry=self.telemetry,
        )
        self.intake = Intake(
            self.inbox,
            self.cluster,
            self.dead_letters,
            slots=self.slots,
            acknowledged=self.acknowledged,
            namespace="m0",
            wake=self.wakes.append,
            now=lambda: self.now,
            fence=self.fence,
            telemetry=self.telemetry,
            sleep=self.meanwhile,
        )

    def fence(self) -> None:
        if self.lost is not None:
            raise self.lost

    def clock(self) -> float:
        return self.now.timestamp()

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def meanwhile(self, seconds: float) -> None:
        """What the rest of the operator does while intake waits."""
        self.wait(seconds)
        for name in list(self.cluster.resources):
            await self.reconciler.reconcile(name)

    async def send(self, body: bytes, **more: Any) -> FakeDelivery:
        delivery = FakeDelivery(body, **more)
        self.inbox.waiting.append(delivery)
        await self.intake.step()
        return delivery

    async def reconcile(self, name: str = "video-101") -> None:
        await self.reconciler.reconcile(name)

    def status(self, name: str = "video-101") -> dict[str, Any]:
        status: dict[str, Any] = self.cluster.resources[name].get("status", {})
        return status

    def condition(self, kind: str, name: str = "video-101") -> tuple[str, str] | None:
        for item in self.status(name).get("conditions", ()):
            if item["type"] == kind:
                return item["status"], item["reason"]
        return None

    @property
    def told(self) -> list[str]:
        assert self.reporter is not None
        return [status for _, _, status, _ in self.reporter.reports]

    def job(self) -> str:
        return max(self.cluster.jobs)


@pytest.fixture
def world() -> World:
    return World()
