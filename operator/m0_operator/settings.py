"""The deployment's settings, read once from the environment at the entry point."""

import sys
from pathlib import Path
from typing import Literal, TypeVar

from m0_contract.chunk import DEADLETTER_QUEUE, PRIORITY_QUEUE, PROGRESS_QUEUE, RESULTS_QUEUE
from m0_wire.errors import SecretsError
from m0_wire.secrets import load_secrets
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class QueueSettings(BaseSettings):
    """What operator and gateway have in common.

    Attributes:
        amqp_url: the broker, with credentials.
        priority_queue: requests come in here.
        declare_queues: create the platform's queues where they are missing; off by
            default, since a queue's arguments are its owner's and can't be changed later.
        otlp_endpoint: where spans go, from OTEL_EXPORTER_OTLP_ENDPOINT; empty: none are made.
        trace_ratio: of requests that bring no trace, the part that is recorded.
        log_level: DEBUG, INFO, WARNING or ERROR.
        log_format: `json` for machines, `text` for a terminal.
    """

    model_config = SettingsConfigDict(
        env_prefix="M0_", frozen=True, extra="ignore", populate_by_name=True
    )

    amqp_url: SecretStr
    priority_queue: str = PRIORITY_QUEUE
    declare_queues: bool = False
    otlp_endpoint: str = Field(default="", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    trace_ratio: float = Field(default=1.0, ge=0, le=1)
    log_level: str = "INFO"
    log_format: Literal["json", "text"] = "json"


class OperatorSettings(QueueSettings):
    """The operator's settings.

    Attributes:
        namespace: the one namespace this operator serves.
        results_queue: chunk messages; the operator only declares it.
        deadletter_queue: failed requests go out here.
        progress_queue: the operator's own, written by the Jobs.
        graphql_url: the backend; empty for none.
        graphql_token: sent as a bearer token.
        graphql_documents: directory whose `<mutation>.graphql` files replace ours.
        max_active_jobs: how many videos may be in the cluster unfinished; the queue holds
            the rest, so that priority stays with the broker and the backlog out of etcd.
        max_active_jobs_file: a file with that number, read again and again: it wins.
        finished_ttl_hours: how long a finished resource is kept; None for ever.
        handed_over_status: what the backend is told when all chunks are out.
        job_template_file: JSON of `JobTemplate`, rendered by the chart.
        resync_s: seconds between looks at everything, in case an event was missed.
        health_port: `/livez` and `/readyz`.
    """

    namespace: str = "default"
    results_queue: str = RESULTS_QUEUE
    deadletter_queue: str = DEADLETTER_QUEUE
    progress_queue: str = PROGRESS_QUEUE
    graphql_url: str = ""
    graphql_token: SecretStr | None = None
    graphql_documents: Path | None = None
    max_active_jobs: int = Field(default=4, ge=1)
    max_active_jobs_file: Path | None = None
    finished_ttl_hours: float | None = Field(default=None, ge=0)
    handed_over_status: Literal["PROCESSING", "COMPLETED"] = "PROCESSING"
    job_template_file: Path
    resync_s: float = Field(default=60, gt=0)
    health_port: int = 8080


class GatewaySettings(QueueSettings):
    """The gateway's settings.

    Attributes:
        gateway_host: address to listen on. A pod listens on all; by itself it is open to this
            machine only.
        gateway_port: fixed by the contract.
        publish_timeout_s: bound on the broker's confirmation, seconds.
        gateway_auth: `token` wants a bearer token with each request, `none` wants none, `auto` is
            `token` where there are tokens and `none` on a loopback address.
        gateway_tokens: tokens, separated by blanks or lines; each may do everything.
        gateway_read_tokens: tokens that may only look.
        gateway_tokens_file: a file with tokens, or a directory of such files, as a Secret is
            mounted; tokens of a file whose name begins with `read` may only look. It is read
            again and again: tokens can be rotated without a restart.
        gateway_cors_origins: web pages from these origins may use it, separated by commas.
        gateway_jobs: serve the videos' endpoints, which read the Kubernetes API.
        gateway_logs: serve the logs of the videos' pods, which takes further rights.
        gateway_streams: event streams, and logs that are read, at once.
        gateway_drain_s: goes on serving for so long after it was told to end, seconds, since
            others learn late that it does.
        gateway_dead_letters: serve the dead letters' endpoints.
        namespace: the videos'.
        deadletter_queue: failed requests are there.
    """

    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=9000, ge=0, le=65535)
    publish_timeout_s: float = Field(default=5, gt=0)
    gateway_auth: Literal["auto", "token", "none"] = "auto"
    gateway_tokens: SecretStr = SecretStr("")
    gateway_read_tokens: SecretStr = SecretStr("")
    gateway_tokens_file: Path | None = None
    gateway_cors_origins: str = ""
    gateway_jobs: bool = True
    gateway_logs: bool = True
    gateway_streams: int = Field(default=100, ge=1)
    gateway_drain_s: float = Field(default=5, ge=0)
    gateway_dead_letters: bool = True
    namespace: str = "default"
    deadletter_queue: str = DEADLETTER_QUEUE


Loaded = TypeVar("Loaded", bound=QueueSettings)


def load_settings(program: str, model: type[Loaded]) -> Loaded:
    """Read secrets and environment at a program's start.

    Raises:
        SystemExit: says what is wrong, without any value.
    """
    try:
        load_secrets()
        # The environment gives what has no default; mypy knows only of arguments.
        return model()  # type: ignore[call-arg,unused-ignore]
    except SecretsError as error:
        sys.exit(f"{program}: {error}")
    except ValidationError as error:
        sys.exit(f"{program}: bad settings: {explain(error)}")


def explain(error: ValidationError) -> str:
    """What is wrong with the environment, without repeating any value: some are secret."""
    items = error.errors(include_input=False, include_url=False)
    return "; ".join(
        f"M0_{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in items
    )
