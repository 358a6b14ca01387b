"""`m0` itself: help, where M0 is, the queue, the doctor, completion, and errors in words."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import httpx
import pytest
from fakes.videos import build_video, final
from m0_operator.adapters.terminal import KubernetesTerminal
from m0_operator.cli import broker_doctor, load, where
from m0_operator.cli.doctor import judge_lease, pod_trouble, read_job_secrets, read_warning
from m0_operator.cli.errors import CliError
from m0_operator.cli.evidence import judge
from m0_operator.cli.gateway import GatewayRoom
from m0_operator.cli.main import COMMANDS, SECTIONS, call, m0
from m0_operator.cli.release import read_limit, read_release
from m0_operator.cli.videos import get
from m0_operator.cli.where import Desk, Where, open_room, paint
from m0_operator.domain.priorities import QueueFacts
from m0_operator.errors import ClusterForbiddenError, ClusterUnavailableError
from m0_wire.errors import BrokerUnavailableError, SecretsUnavailableError

from .rooms import Home

Capture = pytest.CaptureFixture[str]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": "m0-operator"},
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {
                        "image": "m0-operator:1",
                        "env": [
                            {
                                "name": "M0_AMQP_URL",
                                "valueFrom": {"secretKeyRef": {"name": "broker", "key": "url"}},
                            },
                            {"name": "M0_PRIORITY_QUEUE", "value": "requests"},
                            {"name": "M0_MAX_ACTIVE_JOBS", "value": "3"},
                        ],
                    }
                ]
            }
        },
    },
    "status": {"readyReplicas": 2},
}
NO_SUCH_CLUSTER = (
    "{kind: Config, apiVersion: v1, current-context: a, clusters: [], users: [],"
    " contexts: [{name: a, context: {cluster: none, user: none}}]}"
)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("M0_AMQP_URL", "M0_PRIORITY_QUEUE", "M0_GRAPHQL_URL", "M0_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    home = Home()
    home.store.deployment = DEPLOYMENT
    home.store.secrets = {"broker": {"url": "amqp://m0:right@inside/"}}
    now = datetime.now(UTC).isoformat()
    home.store.lease = {
        "spec": {"holderIdentity": "pod-1", "renewTime": now, "leaseDurationSeconds": 12}
    }
    return home


class Broker:
    """What the probes find."""

    def __init__(self) -> None:
        self.depths: dict[str, int] = {}
        self.password = "right"
        self.away = False

    @asynccontextmanager
    async def open_probe(self, url: str, **_: Any) -> AsyncIterator["Broker"]:
        if self.away:
            raise BrokerUnavailableError("connecting: refused")
        if f":{self.password}@" not in url:
            raise BrokerUnavailableError("connecting: ACCESS_REFUSED - Login was refused")
        yield self

    async def depth(self, name: str) -> int | None:
        return self.depths.get(name)

    async def learn(self, *_: Any) -> QueueFacts:
        return QueueFacts("classic", 10, "4.1")


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    import m0_operator.adapters.queue_kind as kind  # noqa: PLC0415
    import m0_operator.adapters.queue_probe as probe  # noqa: PLC0415

    broker = Broker()
    broker.depths = {
        "requests": 7,
        "M0_RESULTS_QUEUE": 0,
        "M0_DEADLETTER_QUEUE": 2,
        "M0_PROGRESS_QUEUE": 0,
    }
    for module in (probe, broker_doctor):
        monkeypatch.setattr(module, "open_probe", broker.open_probe)
    for module in (kind, broker_doctor):
        monkeypatch.setattr(module, "learn_facts", broker.learn)
    return broker


# ── The program ───────────────────────────────────────────────────────────────


def test_each_command_is_in_the_help_with_its_own_words(capsys: Capture) -> None:
    assert call(["--help"]) == 0
    out = capsys.readouterr().out
    assert {name for names in SECTIONS.values() for name in names} == set(COMMANDS)
    for name, (_, words) in COMMANDS.items():
        assert f"{name} " in out
        assert words in out
        assert call([name, "--help"]) == 0
        assert f"m0 {name}" in capsys.readouterr().out


def assert_loads_none_of(names: set[str], code: str) -> None:
    """A process that runs this imports none of these."""
    code = f"import sys; {code};bad = {names} & set(sys.modules);sys.exit(str(bad) if bad else 0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr


def test_help_loads_none_of_the_clients() -> None:
    assert_loads_none_of(
        {"kubernetes", "aio_pika", "httpx", "pydantic", "rich", "yaml"},
        "from m0_operator.cli.main import call; call(['--help'])",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["descibe"], "do you mean describe?"),
        (["xyzzy"], "lists all"),
        (["get", "-o", "xml"], "'xml' is not one of"),
        (["submit", "--priority", "12"], "12 is not in the range"),
        (["watch"], "Missing argument"),
        (["get", "--nonsense"], "No such option"),
    ],
)
def test_a_wrong_call_ends_with_two(arguments: list[str], words: str, capsys: Capture) -> None:
    assert call(arguments) == 2
    assert words in capsys.readouterr().err


def test_neither_the_gateways_server_nor_the_operators_framework_is_loaded() -> None:
    """`pip install m0[cli]` brings none of it."""
    assert_loads_none_of(
        {"fastapi", "starlette", "uvicorn", "kopf", "prometheus_client"},
        "from m0_operator.cli import cluster, doctor, gateway, gateway_doctor, main;"
        "from m0_operator.cli import control, letters, state, videos",
    )


def test_what_nobody_foresaw_is_a_bug_in_one_line(home: Home, capsys: Capture) -> None:
    home.store.error = RuntimeError("boo")
    assert home.run("get") == 70
    err = capsys.readouterr().err
    assert "a bug in m0: RuntimeError: boo" in err
    assert "Traceback" not in err


def test_where_is_taken_before_and_behind_the_command_and_from_the_environment(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M0_NAMESPACE", "from-environment")
    assert home.run("get") == 0
    assert home.opened is not None
    assert home.opened.namespace == "from-environment"
    assert home.run("-n", "before", "get", "--context", "there") == 0
    assert (home.opened.namespace, home.opened.context) == ("before", "there")
    assert home.run("-n", "before", "dlq", "list", "-n", "behind") == 0
    assert home.opened.namespace == "behind"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no file"),
        ("{]", "no usable kubeconfig"),
        ("kind: Config", "no usable kubeconfig"),
        (NO_SUCH_CLUSTER, "no usable kubeconfig"),
    ],
    ids=["missing", "broken", "empty", "no cluster"],
)
def test_a_kubeconfig_that_is_none(
    tmp_path: Path, capsys: Capture, content: str | None, words: str
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    assert call(["get", "--kubeconfig", str(file), "--gateway", ""]) == 4
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_a_cluster_that_does_not_answer(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "{kind: Config, apiVersion: v1, current-context: a, users: [{name: u, user: {}}],"
        " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}],"
        " contexts: [{name: a, context: {cluster: c, user: u}}]}"
    )
    assert call(["get", "--kubeconfig", str(file), "--gateway", "", "--timeout-s", "2"]) == 4
    assert "can't be reached" in capsys.readouterr().err
    assert call(["get", "--kubeconfig", str(file), "--gateway", "", "--context", "b"]) == 4
    assert "there is no context b, only: a" in capsys.readouterr().err
    assert call(["doctor", "--kubeconfig", str(file), "--gateway", "", "--timeout-s", "2"]) == 1
    assert "FAILED  cluster http://127.0.0.1:1" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["gateway:9000", "http://[", "http://127.0.0.1:1"])
def test_a_gateway_that_is_none(url: str, capsys: Capture) -> None:
    assert call(["get", "--gateway", url, "--timeout-s", "2"]) in {2, 4}
    assert "bug" not in capsys.readouterr().err


async def test_what_is_no_gateway_is_told_so() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>")

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(answer), base_url="http://g"
    ) as client:
        room = GatewayRoom(client, Where(gateway="http://g"))
        with pytest.raises(Exception, match="not as M0's gateway does"):
            await room.get("101")


@pytest.mark.parametrize(
    ("token", "command", "code"),
    [
        ("", "get", 5),
        ("wrong", "get", 5),
        ("look" * 4, "get", 0),
        ("look" * 4, "stop", 5),
        ("everything" * 2, "stop", 0),
    ],
)
def test_the_gateways_tokens(token: str, command: str, code: int, capsys: Capture) -> None:
    home = Home(through_gateway=True)
    home.door = {
        "gateway_tokens": "everything" * 2,
        "gateway_read_tokens": "look" * 4,
        "gateway_auth": "token",
    }
    home.store.put(build_video(101, phase="Running"))
    assert home.run("--token", token, command, "101") == code, capsys.readouterr().err


def test_there_are_colours_only_on_a_terminal_and_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint("x", "red") == "x"
    monkeypatch.setattr(where.sys, "stdout", SimpleNamespace(isatty=lambda: True))
    assert paint("x", "red") == click.style("x", fg="red")
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert paint("x", "red") == "x"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script(shell: str, capsys: Capture) -> None:
    assert call(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert f"_M0_COMPLETE={shell}_complete" in out
    assert call(["completion", "csh"]) == 2


def test_names_are_completed_and_nobody_is_disturbed(home: Home) -> None:
    home.store.put(build_video(101, phase="Running"))
    home.store.put(build_video(202, phase="Running"))
    context = click.Context(m0, obj=Desk(opener=home._open))
    (argument,) = [item for item in get.params if item.name == "video"]
    for typed, found in (("1", ["101"]), ("video-2", ["video-202"]), ("x", [])):
        items = argument.shell_complete(context, typed)
        assert [item.value for item in items] == found
    home.store.error = ClusterUnavailableError("away")
    assert argument.shell_complete(context, "1") == []


def test_the_version(home: Home, capsys: Capture) -> None:
    assert home.run("version", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["operator"] == "m0-operator:1"
    assert home.run("version", "--client") == 0
    assert "operator" not in capsys.readouterr().out


async def test_without_a_gateway_the_cluster_is_asked() -> None:
    async with open_room(Where(gateway="http://g")) as room:
        assert isinstance(room, GatewayRoom)
    with pytest.raises(CliError, match="no usable kubeconfig"):
        async with open_room(Where(kubeconfig="/none")):
            pass
    assert Desk().opener is open_room


# ── The queue ─────────────────────────────────────────────────────────────────


def test_the_queue(home: Home, broker: Broker, capsys: Capture) -> None:
    home.store.put(build_video(101, phase="Running"))
    ended = datetime.now(UTC).isoformat()
    home.store.put(build_video(102, **final(), finishedAt=ended))
    home.store.put(build_video(103, **final(), finishedAt="2020-01-01T00:00:00Z"))
    assert home.run("queue", "-o", "json") == 0
    state = json.loads(capsys.readouterr().out)
    assert (state["waiting"], state["active"], state["limit"]) == (7, 1, 3)
    assert (state["finished"], state["dead"]) == (1, 2)
    home.store.config = {"m0-operator": {"max-active-jobs": "1"}}
    assert home.run("queue") == 0
    out = capsys.readouterr().out
    assert "1 of 1 taken; more at a time" in out
    assert f"{6 / load.WINDOW_S * 10:.1f} videos a minute" in out
    broker.away = True
    assert home.run("queue") == 0
    said = capsys.readouterr()
    assert "unknown" in said.out
    assert "forward" in said.err


def test_the_queue_through_the_gateway(capsys: Capture) -> None:
    home = Home(through_gateway=True)
    home.store.put(build_video(101, phase="Running"))
    assert home.run("queue") == 0
    said = capsys.readouterr()
    assert "1 of ? taken" in said.out
    assert "does not tell" in said.err


# ── The doctor ────────────────────────────────────────────────────────────────


def test_all_is_well(home: Home, broker: Broker, capsys: Capture) -> None:
    del broker
    assert home.run("doctor", "--amqp-url", "amqp://m0:right@here/") == 0
    out = capsys.readouterr().out
    assert "FAILED" not in out
    assert "All is well" in out
    assert "M0_DEADLETTER_QUEUE: 2 waiting: `m0 dlq list` says why" in out


def test_a_wrong_password_of_ours(home: Home, broker: Broker, capsys: Capture) -> None:
    del broker
    assert home.run("doctor", "--amqp-url", "amqp://m0:wrong@here/", "-o", "json") == 1
    out = capsys.readouterr().out
    findings = {item["what"]: item for item in json.loads(out)["findings"]}
    ours = findings["broker amqp://here:5672/"]
    assert ours["state"] == "failed"
    assert "refuses user or password" in ours["detail"]
    assert "--amqp-url" in ours["fix"]
    own = findings["the operator's own user at the broker (Secret broker)"]
    assert own["state"] == "ok"
    assert "wrong@" not in out


def test_a_wrong_password_of_the_operators(home: Home, broker: Broker, capsys: Capture) -> None:
    broker.password = "new"
    assert home.run("doctor", "--amqp-url", "amqp://m0:new@here/") == 1
    out = capsys.readouterr().out
    assert "FAILED  the operator's own user at the broker (Secret broker)" in out
    assert "correct url in the Secret broker, then kubectl -n m0 rollout restart" in out
    assert "right" not in out.replace("rights", "")


def test_another_virtual_host_than_the_operators(
    home: Home, broker: Broker, capsys: Capture
) -> None:
    del broker
    assert home.run("doctor", "--amqp-url", "amqp://m0:right@here/other") == 1
    out = capsys.readouterr().out
    assert "FAILED  virtual host: yours is other, the operator's (Secret broker) is /" in out
    assert home.run("doctor", "--amqp-url", "amqp://m0:right@here/%2F") == 0


def test_gateway_and_operator_read_a_new_secret_by_one_command(
    home: Home, broker: Broker, capsys: Capture
) -> None:
    broker.password = "new"
    labels = {"app.kubernetes.io/instance": "m0"}
    home.store.deployment = DEPLOYMENT | {"metadata": DEPLOYMENT["metadata"] | {"labels": labels}}
    assert home.run("doctor", "--amqp-url", "amqp://m0:new@here/") == 1
    selector = "-l app.kubernetes.io/instance=m0,app.kubernetes.io/name=m0-operator"
    assert f"rollout restart deployment {selector}" in capsys.readouterr().out


def test_a_queue_that_is_missing(home: Home, broker: Broker, capsys: Capture) -> None:
    del broker.depths["M0_RESULTS_QUEUE"]
    assert home.run("doctor", "--amqp-url", "amqp://m0:right@here/") == 1
    out = capsys.readouterr().out
    assert "FAILED  queue M0_RESULTS_QUEUE: is not there" in out
    assert "create it, or set declareQueues" in out


def test_the_first_cause_comes_first(home: Home, broker: Broker, capsys: Capture) -> None:
    broker.away = True
    home.store.kinds = None
    home.store.deployment = None
    home.store.lease = None
    home.store.denied = {"get pods/log", "list videochunkjobs"}
    assert home.run("doctor") == 1
    out = capsys.readouterr().out
    order = [
        "FAILED  custom resource",
        "FAILED  your rights",
        "FAILED  operator:",
        "FAILED  leader",
        "broker: ",
    ]
    places = [out.index(words) for words in order]
    assert places == sorted(places)
    assert "list videochunkjobs (m0 get), get pods/log (m0 logs)" in out
    assert "first custom resource" in out


@pytest.fixture
def inside(home: Home, broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """In the operator's own pod, with what its account may do and its environment has."""

    async def forbidden(*_: object) -> None:
        raise ClusterForbiddenError("HTTP 403: deployments.apps is forbidden")

    home.store.inside = True
    home.store.fetch_operator = forbidden  # type: ignore[assignment]
    home.store.fetch_secret = forbidden  # type: ignore[assignment]
    home.store.denied = {"get pods/log", "list events", "list deployments", "get configmaps"}
    home.store.denied.add("get leases")  # but for its own one
    limit = tmp_path / "max-active-jobs"
    limit.write_text("3\n")
    monkeypatch.setenv("M0_AMQP_URL", "amqp://m0:right@inside/")
    monkeypatch.setenv("M0_PRIORITY_QUEUE", "requests")
    monkeypatch.setenv("M0_MAX_ACTIVE_JOBS_FILE", str(limit))
    del broker
    return home


def test_in_the_operators_pod_the_doctor_bears_what_it_may_not_see(
    inside: Home, capsys: Capture
) -> None:
    assert inside.run("doctor") == 0
    out = capsys.readouterr().out
    assert "FAILED" not in out
    assert "warn " not in out
    for words in (
        "?       your rights in namespace m0: you may not get pods/log (m0 logs), list events",
        "M0's own accounts need none of it",
        "?       operator: you may not look",
        "?       Secrets of the Jobs: you may not look",
        "ok      leader (Lease m0-operator)",
        "ok      broker amqp://inside:5672/: connected",
        "ok      queue requests: 7 waiting",
    ):
        assert words in out, words
    assert "get leases" not in out
    assert "All is well, as far as can be told from here" in out


def test_in_the_operators_pod_a_wrong_password_is_the_releases(
    inside: Home, broker: Broker, capsys: Capture
) -> None:
    broker.password = "new"
    assert inside.run("doctor") == 1
    out = capsys.readouterr().out
    assert "FAILED  broker amqp://inside:5672/: refuses user or password" in out
    assert "correct the release's broker URL" in out
    assert "--amqp-url" not in out


def test_in_the_operators_pod_the_queue_knows_its_limit(inside: Home, capsys: Capture) -> None:
    inside.store.put(build_video(101, phase="Running"))
    assert inside.run("queue") == 0
    out = capsys.readouterr().out
    assert "1 of 3 taken" in out
    assert "7" in out.splitlines()[0]


def test_in_a_pod_the_broker_may_be_named_by_a_clouds_secret(
    inside: Home, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("M0_AMQP_URL")

    def load() -> None:
        monkeypatch.setenv("M0_AMQP_URL", "amqp://m0:right@vault/")

    monkeypatch.setattr("m0_operator.cli.cluster.load_secrets", load)
    assert inside.run("doctor") == 0
    assert "ok      broker amqp://vault:5672/: connected" in capsys.readouterr().out

    def refuse() -> None:
        raise SecretsUnavailableError("AWS Secrets Manager, m0: no answer")

    monkeypatch.delenv("M0_AMQP_URL")
    monkeypatch.setattr("m0_operator.cli.cluster.load_secrets", refuse)
    assert inside.run("doctor") == 0
    assert "?       broker: AWS Secrets Manager, m0: no answer" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "found"), [("", "films"), ("other", "other")])
async def test_in_a_pod_the_namespace_is_the_pods(
    given: str, found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "namespace"
    file.write_text("films\n")
    monkeypatch.setattr("m0_operator.adapters.terminal._POD_NAMESPACE", file)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert KubernetesTerminal(given).namespace == found
    assert KubernetesTerminal(given).inside


def test_a_cluster_that_is_away_is_all_that_is_said(home: Home, capsys: Capture) -> None:
    home.store.error = ClusterUnavailableError("Kubernetes API: refused")
    assert home.run("doctor") == 1
    assert capsys.readouterr().out.count("FAILED") == 1


def test_through_the_gateway(capsys: Capture) -> None:
    home = Home(through_gateway=True)
    assert home.run("doctor") == 0
    home.queue.error = BrokerUnavailableError("away")
    assert home.run("doctor") == 1
    assert "FAILED  gateway's rabbitmq: unavailable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raw", "state", "words"),
    [
        (None, "failed", "there is none"),
        ({"spec": {}}, "failed", "nobody holds it"),
        ({"spec": {"holderIdentity": "a"}}, "unknown", "a"),
        (
            {"spec": {"holderIdentity": "a", "renewTime": "2026-01-01T11:50:00Z"}},
            "failed",
            "last heard of 10m ago",
        ),
        (
            {"spec": {"holderIdentity": "a", "renewTime": "2026-01-01T11:59:58Z"}},
            "ok",
            "renewed 2s ago",
        ),
    ],
    ids=["none", "released", "without a time", "silent", "alive"],
)
def test_the_lease(raw: dict[str, Any] | None, state: str, words: str) -> None:
    finding = judge_lease(raw, NOW)
    assert finding.state == state
    assert words in finding.detail


def test_why_a_pod_is_not_ready() -> None:
    def pod(**status: Any) -> dict[str, Any]:
        return {"metadata": {"name": "p"}, "status": status}

    waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}
    assert pod_trouble(pod(containerStatuses=[waiting])) == "p: ErrImagePull no"
    assert "not ready" in pod_trouble(pod(containerStatuses=[{"ready": False, "state": {}}]))
    assert pod_trouble(pod(containerStatuses=[{"ready": True}])) == ""
    no_node = {"type": "PodScheduled", "status": "False", "message": "no node"}
    assert pod_trouble(pod(conditions=[no_node])) == "p: no node"


def test_a_log_line_that_warns() -> None:
    line = '{"time": "t", "level": "WARNING", "message": "Broker", "reason": "refused"}'
    assert read_warning(line) == ("t", "Broker: refused")
    assert read_warning('{"level": "INFO", "message": "x"}') == ("", "")
    assert read_warning("no json") == ("", "")


def test_the_secrets_that_jobs_name() -> None:
    template = {
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "b"}}}, {"name": "C"}],
        "envFrom": [{"secretRef": {"name": "a"}}],
    }
    assert read_job_secrets(json.dumps(template)) == ["a", "b"]
    assert read_job_secrets("{") == []


def test_what_videos_tell_of_the_stores() -> None:
    def ended(minutes: int, **status: Any) -> dict[str, Any]:
        moment = (NOW - timedelta(minutes=minutes)).isoformat()
        return build_video(minutes, **status, finishedAt=moment)

    good, bad = ended(10, **final()), ended(5, **final("DESTINATION_FORBIDDEN"))
    (stores, *_) = judge([good, bad], NOW)
    assert stores.state == "failed"
    assert "right to write the destination" in stores.fix
    (stores, *_) = judge([bad, ended(1, **final())], NOW)
    assert (stores.state, stores.detail) == ("ok", "a video went through 60s ago")
    (stores,) = judge([], NOW)
    assert stores.state == "unknown"
    stuck = {"type": "BackendReported", "status": "False", "message": "401"}
    (backend, *_) = judge([build_video(1, conditions=[stuck])], NOW)
    assert backend.state == "failed"
    assert "401" in backend.detail


def test_the_release_is_read_from_its_deployment() -> None:
    release = read_release(DEPLOYMENT, {"M0_DEADLETTER_QUEUE": "mine"})
    assert release.secrets == {"M0_AMQP_URL": ("broker", "url")}
    assert release.queue("M0_PRIORITY_QUEUE") == "requests"
    assert release.queue("M0_DEADLETTER_QUEUE") == "mine"
    assert release.queue("M0_RESULTS_QUEUE") == "M0_RESULTS_QUEUE"
    assert read_limit(release, None) == 3
    assert read_limit(release, {"data": {"max-active-jobs": " 8\n"}}) == 8
    assert read_limit(read_release(None, {}), None) is None
