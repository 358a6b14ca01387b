"""`m0-operator --check`: a line for each thing, and an exit code, whatever is away."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from m0_operator import check as module
from m0_operator.check import check
from m0_operator.errors import ClusterNotFoundError
from m0_operator.settings import OperatorSettings
from m0_wire.errors import BackendRejectedError, BrokerUnavailableError
from pydantic import SecretStr

QUEUES = {"in": 3, "out": 0, "dead": 1, "progress": 0}


class Outside:
    """Broker, backend and cluster as they are to be; None: all is well."""

    def __init__(self) -> None:
        self.queues: dict[str, int] = dict(QUEUES)
        self.broker: Exception | None = None
        self.backend: Exception | None = None
        self.cluster: Exception | None = None

    @asynccontextmanager
    async def open_probe(self, _: str) -> AsyncIterator["Outside"]:
        if self.broker:
            raise self.broker
        yield self

    async def depth(self, name: str) -> int | None:
        return self.queues.get(name)

    async def look(self) -> None:
        if self.backend:
            raise self.backend

    async def list_versions(self, _: str) -> list[tuple[str, str]]:
        if self.cluster:
            raise self.cluster
        return [("a", "1"), ("b", "2")]

    @asynccontextmanager
    async def open_cluster(self, _: str) -> AsyncIterator["Outside"]:
        yield self


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    outside = Outside()
    monkeypatch.setattr(module, "open_probe", outside.open_probe)
    monkeypatch.setattr(module, "KubernetesCluster", outside.open_cluster)
    monkeypatch.setattr(module, "Backend", lambda *_, **__: outside)
    return outside


@pytest.fixture
def settings(tmp_path: Path) -> OperatorSettings:
    template = tmp_path / "job.json"
    template.write_text(json.dumps({"image": "m0-chunker:1"}))
    return OperatorSettings(
        amqp_url=SecretStr("amqp://user:hush@broker/"),
        namespace="films",
        priority_queue="in",
        results_queue="out",
        deadletter_queue="dead",
        progress_queue="progress",
        graphql_url="http://backend/graphql",
        job_template_file=template,
    )


@pytest.mark.usefixtures("outside")
async def test_when_all_is_well(
    settings: OperatorSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await check(settings) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok      job template: m0-chunker:1",
        "ok      broker amqp://broker:5672/: connected",
        "ok      queue in: 3 waiting",
        "ok      queue out: 0 waiting",
        "ok      queue dead: 1 waiting",
        "ok      queue progress: 0 waiting",
        "ok      backend http://backend/graphql: answers",
        "ok      videochunkjobs.m0.sightapi.io in namespace films: 2",
        "All is well.",
    ]


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ({"queues": {"in": 0, "out": 0, "progress": 0}}, "queue dead: is not there; create it"),
        ({"queues": {"in": 0, "out": 0, "dead": 0}}, "queue progress: is not there; the operator"),
        ({"broker": BrokerUnavailableError("refused")}, "broker amqp://broker:5672/: refused"),
        ({"backend": BackendRejectedError("401")}, "backend http://backend/graphql: 401"),
        ({"cluster": ClusterNotFoundError("no such")}, "in namespace films: no such"),
    ],
    ids=["a queue", "our own queue", "the broker", "the backend", "the definition"],
)
async def test_what_is_away_is_one_line_and_the_rest_is_looked_at_all_the_same(
    outside: Outside,
    settings: OperatorSettings,
    capsys: pytest.CaptureFixture[str],
    broken: dict[str, Any],
    line: str,
) -> None:
    for name, value in broken.items():
        setattr(outside, name, value)
    assert await check(settings) == 1
    said = capsys.readouterr().out
    (failed,) = [text for text in said.splitlines() if text.startswith("FAILED")]
    assert line in failed
    assert "job template" in said
    assert "in namespace films" in said
    assert said.endswith("1 of these need attention.\n")
    assert "hush" not in said


@pytest.mark.usefixtures("outside")
async def test_a_template_that_the_operator_would_refuse_is_named(
    settings: OperatorSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.job_template_file.write_text('{"image": "x", "podOverlay": {"hostNetwork": true}}')
    assert await check(settings) == 1
    assert "hostNetwork" in capsys.readouterr().out


async def test_without_a_backend_that_is_said_and_no_fault(
    outside: Outside, settings: OperatorSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.backend = BackendRejectedError("must not be asked")
    assert await check(settings.model_copy(update={"graphql_url": ""})) == 0
    assert "none is configured" in capsys.readouterr().out
