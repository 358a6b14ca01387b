"""Credentials from AWS Secrets Manager: the programs against an emulator of it, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from m0_wire.errors import SecretsError, SecretsUnavailableError
from m0_wire.secrets import load_secrets
from moto.server import ThreadedMotoServer
from programs import run_program

SECRET = "m0/test"
KEYS = {"AWS_ACCESS_KEY_ID": "pod", "AWS_SECRET_ACCESS_KEY": "pod"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    client = botocore.session.get_session().create_client(
        "secretsmanager", region_name="eu-central-1", endpoint_url=endpoint
    )
    yield client
    client.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)


def environment(endpoint: str, **more: str) -> dict[str, str]:
    return {
        "M0_SECRETS_SOURCE": "aws",
        "M0_SECRETS_AWS_SECRET_ID": SECRET,
        "M0_SECRETS_AWS_REGION": "eu-central-1",
        "M0_SECRETS_AWS_ENDPOINT_URL": endpoint,
        **more,
    }


def test_its_values_become_the_environment_but_replace_nothing(endpoint: str, client) -> None:
    values = {"M0_AMQP_URL": "amqp://a", "M0_RESOURCE": "another", "AWS_REGION": "x"}
    client.create_secret(Name=SECRET, SecretString=json.dumps(values))
    env = environment(endpoint, M0_RESOURCE="ours", AWS_REGION="")
    assert load_secrets(env) == ["AWS_REGION", "M0_AMQP_URL"]
    assert env["M0_AMQP_URL"] == "amqp://a"
    assert env["M0_RESOURCE"] == "ours"


def test_a_rotated_secret_is_read_by_the_next_one(endpoint: str, client) -> None:
    client.create_secret(Name=SECRET, SecretString='{"M0_GRAPHQL_TOKEN": "old"}')
    first, second = environment(endpoint), environment(endpoint)
    load_secrets(first)
    client.put_secret_value(SecretId=SECRET, SecretString='{"M0_GRAPHQL_TOKEN": "new"}')
    load_secrets(second)
    assert (first["M0_GRAPHQL_TOKEN"], second["M0_GRAPHQL_TOKEN"]) == ("old", "new")


@pytest.mark.parametrize("binary", [False, True], ids=["no such secret", "a binary one"])
def test_what_can_not_be_is_said(endpoint: str, client, binary: bool) -> None:
    name = SECRET if binary else "another"
    client.create_secret(Name=SECRET, SecretBinary=b"\x00")
    with pytest.raises(SecretsError) as caught:
        load_secrets(environment(endpoint, M0_SECRETS_AWS_SECRET_ID=name))
    assert not isinstance(caught.value, SecretsUnavailableError)
    assert name in str(caught.value)


def run_chunker(directory: Path, env: dict[str, str]) -> tuple[int, dict, str]:
    """The chunker's exit code, outcome and log."""
    request, log = directory / "request.json", directory / "termination-log"
    request.write_text("{}")
    own = {**KEYS, "M0_TERMINATION_LOG": str(log), **env}
    done = run_program("m0_chunker.start", "--request", request, **own)
    return done.returncode, json.loads(log.read_text())["failure"], done.stderr


def test_the_chunker_starts_with_it(endpoint: str, client, tmp_path: Path) -> None:
    # A setting that can't be: the message shows that it came from there, and not what it was.
    client.create_secret(Name=SECRET, SecretString='{"M0_RESULTS_QUEUE": "q", "M0_UPLOADS": "99"}')
    env = environment(endpoint, **KEYS)
    done = run_program("m0_chunker.start", "--request", tmp_path, **env)
    assert done.returncode == 64
    assert "M0_UPLOADS" in done.stderr
    assert "99" not in done.stderr


def test_the_chunkers_outcome_says_that_there_is_none(
    endpoint: str, client, tmp_path: Path
) -> None:
    client.create_secret(Name=SECRET, SecretString="hush")
    code, failure, log = run_chunker(tmp_path, environment(endpoint))
    assert (code, failure["code"]) == (65, "BAD_CONFIGURATION")
    assert "no JSON" in failure["message"]
    assert "hush" not in log


def test_the_chunker_is_tried_again_when_the_service_is_away(tmp_path: Path) -> None:
    code, failure, _ = run_chunker(tmp_path, environment("http://127.0.0.1:9"))
    assert (code, failure["code"]) == (75, "SECRETS_UNREACHABLE")


@pytest.mark.parametrize("program", ["m0_operator.app", "m0_operator.gateway.serve"])
def test_operator_and_gateway_end_with_a_reason(endpoint: str, program: str) -> None:
    done = run_program(program, **environment(endpoint, **KEYS))
    assert done.returncode == 1
    assert "AWS Secrets Manager, m0/test: ResourceNotFoundException" in done.stderr
    assert "Traceback" not in done.stderr
