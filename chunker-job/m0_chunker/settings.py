"""The deployment's settings of the chunker: one frozen object, built at the entry.

AWS credentials and region are not here: botocore reads its own AWS_* variables, shared
files and workload identity, and no value of theirs ever passes through M0's code.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from m0_contract.chunk import PROGRESS_QUEUE, RESULTS_QUEUE
from m0_contract.trace import (
    HEADER,
    STATE_HEADER,
    STATE_VARIABLE,
    VARIABLE,
    get_trace_id,
    read_trace,
    read_traceparent,
)
from pydantic import BaseModel, ConfigDict, Field, SecretStr


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return f"M0_{field.upper()}"


class Settings(BaseModel):
    """Environment variables, prefix `M0_`.

    Attributes:
        amqp_url: the broker; without it chunk messages go to standard output.
        results_queue: where chunk messages go.
        progress_queue: where the operator listens for progress.
        graphql_url: the backend; without it no row is written.
        graphql_token: sent as a bearer token.
        graphql_documents: directory of documents that replace the built-in ones.
        s3_endpoint_url: an S3 server other than AWS.
        s3_addressing_style: `auto` is `path` for an own endpoint, AWS's choice otherwise.
        s3_sse: server-side encryption asked for with each object; None leaves it to the bucket.
        s3_sse_kms_key_id: the key for `aws:kms`; None takes the account's own.
        s3_requester_pays: agree to pay for requests to buckets that ask for it.
        azure_storage_connection_string: from AZURE_STORAGE_CONNECTION_STRING, the usual
            name, as those below; it outranks them.
        azure_storage_account: the account's name, or the URL of its Blob endpoint.
        azure_storage_key: of the account; else the SAS token, else workload identity.
        azure_storage_sas_token: for the account.
        source_min_bytes_per_s: a connection slower than this is given up for a new one.
        source_window_s: measured over this time; also how long nothing at all may come; seconds.
        cache_ttl_hours: life of a cached chunk, hours.
        cache_tagging: tag cached objects, so that a lifecycle rule can find them; needs
            the right to tag (s3:PutObjectTagging).
        scratch_dir: for chunks too big for memory; None takes the system's.
        spool_bytes: a chunk up to this size stays in memory; bytes.
        uploads: chunks between the cutter and their announcement; bounds memory and scratch.
        tail_fraction: a last chunk shorter than this part of chunk_duration joins the one
            before, and no other chunk is shorter either.
        threads: for decoding and encoding; 0 takes the CPU limit of the container.
        x264_preset: speed against size when transcoding.
        x264_crf: quality when transcoding; lower is better and bigger.
        resource: name of the VideoChunkJob; set by the operator, so its presence also says
            that this is no terminal: `file://` places are then refused.
        attempt: of the Job, from 1.
        run: the resource's uid; set by the operator. Attempts of one run know that what
            the ones before announced need not be announced again.
        salvage: take a film that is cut off or damaged as far as it goes, instead of failing.
        max_duration_hours: a longer film is refused.
        max_chunks: a film that would become more is refused.
        max_pixels: a film with bigger pictures (width x height) is refused.
        max_streams: a film with more tracks is refused.
        stall_s: give a film up when for so long nothing comes of it; seconds.
        termination_log: file for the outcome, JSON.
        traceparent: the trace that the request belongs to, for its messages and the log.
        tracestate: what goes with it.
        otlp_endpoint: where spans go, from OTEL_EXPORTER_OTLP_ENDPOINT; without it none are made.
        trace_ratio: of runs that belong to no trace yet, the part that is recorded.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=variable, populate_by_name=True
    )

    amqp_url: SecretStr | None = None
    results_queue: str = RESULTS_QUEUE
    progress_queue: str = PROGRESS_QUEUE
    graphql_url: str | None = None
    graphql_token: SecretStr | None = None
    graphql_documents: Path | None = None
    s3_endpoint_url: str | None = None
    s3_addressing_style: Literal["auto", "path", "virtual"] = "auto"
    s3_sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    s3_sse_kms_key_id: str | None = None
    s3_requester_pays: bool = False
    azure_storage_connection_string: SecretStr | None = Field(
        default=None, validation_alias="AZURE_STORAGE_CONNECTION_STRING"
    )
    azure_storage_account: str | None = Field(
        default=None, validation_alias="AZURE_STORAGE_ACCOUNT"
    )
    azure_storage_key: SecretStr | None = Field(default=None, validation_alias="AZURE_STORAGE_KEY")
    azure_storage_sas_token: SecretStr | None = Field(
        default=None, validation_alias="AZURE_STORAGE_SAS_TOKEN"
    )
    source_min_bytes_per_s: int = Field(default=32 * 1024, ge=0)
    source_window_s: float = Field(default=10.0, gt=0)
    cache_ttl_hours: float = Field(default=24.0, gt=0)
    cache_tagging: bool = True
    scratch_dir: Path | None = None
    spool_bytes: int = Field(default=12 * 2**20, ge=0)
    uploads: int = Field(default=2, ge=1, le=16)
    tail_fraction: float = Field(default=0.5, gt=0, le=0.9)
    threads: int = Field(default=0, ge=0, le=64)
    x264_preset: str = "veryfast"
    x264_crf: int = Field(default=23, ge=0, le=51)
    resource: str | None = None
    attempt: int = 1
    run: str | None = None
    salvage: bool = False
    max_duration_hours: float = Field(default=48.0, gt=0)
    max_chunks: int = Field(default=100_000, ge=1)
    max_pixels: int = Field(default=8192 * 8192, ge=1)
    max_streams: int = Field(default=100, ge=1)
    stall_s: float = Field(default=120.0, gt=0)
    termination_log: Path | None = None
    traceparent: str | None = Field(default=None, validation_alias=VARIABLE)
    tracestate: str | None = Field(default=None, validation_alias=STATE_VARIABLE)
    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    trace_ratio: float = Field(default=1.0, ge=0, le=1)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables; one that is empty counts as absent.

        pydantic-settings would do this too, for 40 ms of CPU before every film.

        Raises:
            ValidationError: its locations are the variables' names.
        """
        fields = cls.model_fields.items()
        known = {str(field.validation_alias or variable(name)) for name, field in fields}
        values = {name.upper(): value for name, value in environment.items() if value}
        return cls.model_validate({name: values[name] for name in known & values.keys()})

    @property
    def local(self) -> bool:
        """Whether a person runs it at a terminal: no operator and no broker behind it.

        Only then may a request name `file://` places: one from the wire must never
        read or write the pod's own files.
        """
        return self.resource is None and self.amqp_url is None

    @property
    def trace(self) -> str | None:
        """`traceparent`, if it is one."""
        return read_traceparent(self.traceparent)

    @property
    def trace_headers(self) -> dict[str, str]:
        """What of the trace goes on with a message."""
        return read_trace({HEADER: self.traceparent, STATE_HEADER: self.tracestate})

    @property
    def trace_id(self) -> str | None:
        """What log lines about this video have in common with the operator's."""
        return get_trace_id(self.trace, self.run)

    @property
    def thread_count(self) -> int:
        """Threads for codecs: as set, else the container's CPU limit, else 1.

        Without a limit it is 1 and not the node's CPUs: libx264's output depends on the
        number, and a retry on another node must give the same bytes.
        """
        return self.threads or _cgroup_cpus() or 1


def _cgroup_cpus() -> int:
    """The CPU limit of this container, rounded up; 0 when there is none."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        cpus = -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 0
    return max(1, min(cpus, os.cpu_count() or 1))
