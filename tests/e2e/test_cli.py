"""The command `m0` against a real cluster and broker: submit, describe, retry, replay, doctor."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from devstack import DevStack, wait_for
from door import TOKEN, own_door
from own import OwnStack, own_stack

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]
BUCKET = "spectra-videos"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStack]:
    """An operator that nobody else uses."""
    with own_stack(tmp_path_factory.mktemp("own")) as stack:
        path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        stack.start_leader(None, **path)
        yield stack


class Terminal:
    """Runs `m0` as a process of its own."""

    def __init__(self, stack: DevStack, **environment: str) -> None:
        self._env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("M0_")},
            "KUBECONFIG": stack.env["KUBECONFIG"],
            "M0_NAMESPACE": stack.namespace,
            "M0_AMQP_URL": stack.env["M0_AMQP_URL"],
            "M0_GRAPHQL_URL": stack.env["M0_GRAPHQL_URL"],
            **environment,
        }

    def run(
        self, *arguments: object, code: int = 0, stdin: str | None = None, **environment: str
    ) -> str:
        """Its standard output; asserts the exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "m0_operator.cli", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            env=self._env | environment,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stdout + done.stderr, "colours without a terminal"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def on_a_terminal(self, *arguments: object) -> tuple[int, str]:
        """The exit code, and all that a person sees."""
        here, there = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "m0_operator.cli", *map(str, arguments)],
            stdin=there,
            stdout=there,
            stderr=there,
            env=self._env | {"TERM": "xterm", "COLUMNS": "150"},
        )
        os.close(there)
        seen = b""
        while True:
            try:
                part = os.read(here, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
        os.close(here)
        return process.wait(timeout=60), seen.decode(errors="replace")


@pytest.fixture(scope="module")
def m0(own: OwnStack) -> Terminal:
    return Terminal(own, M0_PRIORITY_QUEUE=own.requests, M0_DEADLETTER_QUEUE=own.letters)


@pytest.fixture(scope="module")
def late(own: OwnStack, film: Path) -> Iterator[Callable[[], str]]:
    """Puts the film where a request has looked for it in vain."""
    key = f"e2e/{int(time.time())}/late.mp4"

    def upload() -> str:
        own.s3.upload_file(str(film), BUCKET, key)
        return key

    yield upload
    own.s3.delete_object(Bucket=BUCKET, Key=key)


def flags(process_id: int, source: str) -> tuple[object, ...]:
    cache = ("--cache", "spectra-cache", "--chunk-duration", 4)
    return ("submit", "--id", process_id, "--source", source, *cache)


def test_a_film_is_followed_to_its_end_and_told_of(
    own: OwnStack, m0: Terminal, new_id: NewId, source: str
) -> None:
    process_id = new_id()
    out = m0.run(*flags(process_id, source), "--priority", 8, "--watch", "--timeout", 120)
    assert out.splitlines()[-1].startswith(f"video-{process_id} Succeeded 100% 5 chunks")
    assert (own.resource(f"video-{process_id}") or {})["spec"]["origin"]["priority"] == 8
    view = json.loads(m0.run("get", process_id, "-o", "json"))
    assert (view["phase"], view["progress"]["chunks"]) == ("Succeeded", 5)
    told = m0.run("describe", process_id)
    for words in ("every one is there once", "Receipt", "Timeline", "JobCreated", "copy"):
        assert words in told, words
    assert m0.run("logs", process_id).strip(), "the pod is kept for ten minutes"
    assert f"video-{process_id}" in m0.run("get")
    m0.run("stop", process_id, code=5)


def test_a_terminal_gets_a_bar_and_colours(m0: Terminal, new_id: NewId, source: str) -> None:
    process_id = new_id()
    code, seen = m0.on_a_terminal(*flags(process_id, source), "--watch", "--timeout", 120)
    assert code == 0, seen
    assert "━" in seen
    assert "100%" in seen
    assert "\x1b[32mSucceeded" in m0.on_a_terminal("get", process_id)[1]


def test_one_made_directly_needs_no_queue(
    own: OwnStack, m0: Terminal, new_id: NewId, source: str
) -> None:
    process_id = new_id()
    m0.run(*flags(process_id, source), "--direct", "-w", "--timeout", 120, M0_AMQP_URL="")
    assert "origin" not in (own.resource(f"video-{process_id}") or {})["spec"]


def test_one_that_failed_is_described_and_tried_again(
    m0: Terminal, new_id: NewId, late: Callable[[], str], own: OwnStack
) -> None:
    process_id = new_id()
    missing = f"s3://{BUCKET}/e2e/{process_id}.mp4"
    said = m0.run(*flags(process_id, missing), "--watch", "--timeout", 120, code=1)
    assert "SOURCE_NOT_FOUND" in said
    told = m0.run("describe", process_id)
    for words in ("failed in the stage source", "Check cloud_stream_path", "m0 retry"):
        assert words in told, words

    own.s3.copy_object(
        Bucket=BUCKET, Key=f"e2e/{process_id}.mp4", CopySource={"Bucket": BUCKET, "Key": late()}
    )
    assert "Succeeded" in m0.run("retry", process_id, "--watch", "--timeout", 120)
    m0.run("retry", process_id, code=5)
    lineage = json.loads(m0.run("get", process_id, "-o", "json"))["lineage"]
    assert len(lineage) == 1


def test_a_dead_letter_is_shown_corrected_replayed_and_purged(
    own: OwnStack, m0: Terminal, new_id: NewId, source: str, tmp_path: Path
) -> None:
    process_id = new_id()
    missing = f"s3://{BUCKET}/e2e/{process_id}.mp4"
    m0.run(*flags(process_id, missing), "--watch", "--timeout", 120, code=1)
    letter = m0.run("dlq", "list", "--process-id", process_id, "-o", "name").strip()
    assert "SOURCE_NOT_FOUND" in m0.run("dlq", "show", letter)
    body = json.loads(m0.run("dlq", "show", letter, "--body"))
    fixed = tmp_path / "fixed.json"
    fixed.write_text(json.dumps(body | {"cloud_stream_path": source}))
    assert letter in m0.run("dlq", "replay", letter, "-f", fixed)
    wait_for(
        "the replay to succeed",
        lambda: (
            (own.resource(f"video-{process_id}") or {}).get("status", {}).get("phase")
            == "Succeeded"
        ),
    )
    m0.run("dlq", "replay", letter, code=3)

    own.publish(b"{not json", queue=own.requests)
    wait_for("its letter", lambda: own.depth(own.letters) == 1)
    m0.run("dlq", "purge", "--all", code=2, stdin="")
    m0.run("dlq", "purge", "--code", "INVALID_JSON", "--yes")
    assert own.depth(own.letters) == 0


def test_stopped_in_the_middle(
    m0: Terminal, new_id: NewId, long_source: tuple[str, int], own: OwnStack
) -> None:
    process_id = new_id()
    m0.run(*flags(process_id, long_source[0]))
    wait_for("the resource", lambda: own.resource(f"video-{process_id}"))
    m0.run("suspend", process_id)
    m0.run("resume", process_id)
    m0.run("stop", process_id)
    assert "STOPPED" in m0.run("watch", process_id, "--timeout", 120, code=1)


def test_the_doctor_finds_nothing_and_then_a_wrong_password(stack: DevStack) -> None:
    m0 = Terminal(stack)
    url = stack.env["M0_AMQP_URL"]
    wrong = url.replace(":m0-dev-password@", ":not-this-one@")
    assert wrong != url
    out = m0.run("doctor", code=1, M0_AMQP_URL=wrong)
    line = next(text for text in out.splitlines() if text.startswith("FAILED  broker"))
    assert "refuses user or password" in line
    assert "correct --amqp-url" in out
    assert "is let in" in out, "the operator's own password is right"
    assert "not-this-one" not in out

    said = json.loads(m0.run("doctor", "-o", "json"))["findings"] if _well(stack) else []
    assert [item for item in said if item["state"] == "failed"] == []


def _well(stack: DevStack) -> bool:
    """Whether nobody plays with the deployed operator at this moment."""
    found = json.loads(stack.kubectl("get", "deployment", "m0-operator", "-o", "json"))
    status = found["status"]
    return bool(status.get("readyReplicas") == found["spec"]["replicas"])


def test_the_doctor_where_there_is_no_operator(own: OwnStack, m0: Terminal) -> None:
    out = m0.run("doctor", code=1)
    assert f"FAILED  operator: no Deployment of it in namespace {own.namespace}" in out
    assert "ok      leader" in out, "there is one, without a Deployment"
    assert f"queue {own.requests}: 0 waiting" in out


@pytest.fixture
def deployment(own: OwnStack) -> Iterator[None]:
    """A release whose Secret has another password than the broker; it runs no pods."""
    labels = {"app.kubernetes.io/name": "m0-operator", "app.kubernetes.io/component": "operator"}
    meta = {"name": "m0-operator", "namespace": own.namespace, "labels": labels}
    reference = {"secretKeyRef": {"name": "broken", "key": "amqp-url"}}
    container = {
        "name": "operator",
        "image": "none",
        "env": [{"name": "M0_AMQP_URL", "valueFrom": reference}],
    }
    items: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "broken", "namespace": own.namespace},
            "stringData": {"amqp-url": "amqp://m0:out-of-date@m0-rabbitmq:5672/"},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container]},
                },
            },
        },
    ]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    own.kubectl("apply", "-f", "-", stdin=document)
    yield
    own.kubectl("delete", "deployment/m0-operator", "secret/broken")


@pytest.mark.usefixtures("deployment")
def test_the_doctor_tells_that_the_operators_own_password_is_wrong(
    own: OwnStack, m0: Terminal
) -> None:
    out = m0.run("doctor", code=1)
    assert "FAILED  operator m0-operator: is scaled to nothing" in out
    own_user = "the operator's own user at the broker (Secret broken)"
    assert f"FAILED  {own_user}: is refused: wrong user or password" in out
    restart = f"kubectl -n {own.namespace} rollout restart deployment/m0-operator"
    assert f"correct amqp-url in the Secret broken, then {restart}" in out
    assert "out-of-date" not in out
    said = m0.run("dlq", "list", code=4, M0_AMQP_URL="")
    assert "give --amqp-url" in said, "the release's own host is of the cluster"


def test_somebody_who_may_only_look_at_one(
    own: OwnStack, m0: Terminal, tmp_path: Path, new_id: NewId
) -> None:
    account = f"system:serviceaccount:{own.namespace}:looker"
    own.kubectl("create", "serviceaccount", "looker")
    own.kubectl("create", "role", "looker", "--verb=get", "--resource=videochunkjobs")
    own.kubectl("create", "rolebinding", "looker", "--role=looker", f"--user={account}")
    config = json.loads(own.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    token = own.kubectl("create", "token", "looker").strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    assert "does not let you" in m0.run("get", "--kubeconfig", file, code=5)
    m0.run("get", new_id(), "--kubeconfig", file, code=3)
    out = m0.run("doctor", "--kubeconfig", file, code=1)
    assert "FAILED  your rights" in out
    assert "list videochunkjobs (m0 get)" in out
    assert "?       operator: you may not look" in out


@pytest.fixture
def gateway(own: OwnStack, tmp_path: Path) -> Iterator[str]:
    """The URL of a gateway of this code, which wants a token."""
    with own_door(own, tmp_path / "gateway.log", M0_GATEWAY_DRAIN_S="0") as door:
        yield door.url


def test_all_of_it_through_the_gateway(
    own: OwnStack, gateway: str, new_id: NewId, source: str
) -> None:
    m0 = Terminal(own, M0_GATEWAY_URL=gateway, KUBECONFIG="/none", M0_AMQP_URL="")
    assert "M0_TOKEN" in m0.run("get", code=5)
    process_id, other = new_id(), new_id()
    signed = Terminal(own, M0_GATEWAY_URL=gateway, KUBECONFIG="/none", M0_TOKEN=TOKEN)
    watch = ("--watch", "--timeout", 120)
    out = signed.run(*flags(process_id, source), "--priority", 7, *watch)
    assert out.splitlines()[-1].startswith(f"video-{process_id} Succeeded 100% 5 chunks")
    assert f"video-{process_id}" in signed.run("get", "-o", "name")
    missing = f"s3://{BUCKET}/e2e/{other}.mp4"
    signed.run(*flags(other, missing), *watch, code=1)
    assert "SOURCE_NOT_FOUND" in signed.run("describe", f"video-{other}")
    signed.run("retry", other, *watch, code=1)
    assert "SOURCE_NOT_FOUND" in signed.run("dlq", "list")


def test_control_and_logs_through_the_gateway(
    own: OwnStack, gateway: str, new_id: NewId, long_source: tuple[str, int]
) -> None:
    m0 = Terminal(own, M0_GATEWAY_URL=gateway, KUBECONFIG="/none", M0_AMQP_URL="", M0_TOKEN=TOKEN)
    process_id = new_id()
    m0.run("doctor")
    m0.run(*flags(process_id, long_source[0]))
    wait_for("the resource", lambda: own.resource(f"video-{process_id}"))
    m0.run("suspend", process_id)
    assert (own.resource(f"video-{process_id}") or {})["spec"]["suspend"] is True
    m0.run("resume", process_id)
    lines = m0.run("logs", "-f", process_id).splitlines()
    assert json.loads(lines[-1])["message"], "a log of ours is JSON"
    assert lines[-3:] == m0.run("logs", process_id, "--tail", 3).splitlines()

    own.publish(b"{not json", queue=own.requests)
    wait_for("its letter", lambda: "INVALID_JSON" in m0.run("dlq", "list"))
    m0.run("dlq", "purge", "--all", code=2, stdin="")
    m0.run("dlq", "purge", "--code", "INVALID_JSON", "--yes")
    assert "INVALID_JSON" not in m0.run("dlq", "list")


def test_the_deployed_gateway_may_read_a_log(stack: DevStack, new_id: NewId, source: str) -> None:
    url = stack.env["M0_GATEWAY_URL"]
    m0 = Terminal(stack, M0_GATEWAY_URL=url, KUBECONFIG="/none", M0_AMQP_URL="")
    process_id = new_id()
    m0.run(*flags(process_id, source), "--watch", "--timeout", 120)
    assert m0.run("logs", process_id).strip()


def test_in_the_operators_own_pod(stack: DevStack) -> None:
    """With the few rights of its account."""
    wait_for("the operator", lambda: _well(stack))
    inside = ("exec", "deployment/m0-operator", "--", "m0")
    out = stack.kubectl(*inside, "doctor", check=False)
    for words in (
        "ok      custom resource",
        "ok      leader",
        "ok      broker",
        f"?       your rights in namespace {stack.namespace}: you may not get pods/log",
        "?       operator: you may not look",
        "ok      queue M0_PRIORITY_QUEUE",
    ):
        assert words in out, out
    assert "NAME" in stack.kubectl(*inside, "get") or not stack.kubectl("get", "vcj", "-o", "name")
    assert "Slots" in stack.kubectl(*inside, "queue")


def test_how_much_there_is_to_do(m0: Terminal) -> None:
    state = json.loads(m0.run("queue", "-o", "json"))
    assert state["waiting"] == 0
    assert state["kind"].startswith("classic")


def test_what_can_not_be_reached(m0: Terminal) -> None:
    assert "can't be reached" in m0.run("get", "--gateway", "http://127.0.0.1:1", code=4)
    assert "there is no file" in m0.run("get", code=4, KUBECONFIG="/none")
    assert "nothing" not in m0.run("dlq", "list", code=4, M0_AMQP_URL="amqp://127.0.0.1:1/")
