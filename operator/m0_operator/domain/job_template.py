"""What a deployment says about its Jobs: read from the file that the chart renders."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class JobTemplate(BaseModel):
    """The deployment's part of every Job; unknown keys are an error, so that typos show.

    Attributes:
        scratch_size_limit: a Kubernetes quantity; the pod is evicted above it.
        backoff_limit: how many transient failures of a pod are tried again.
        active_deadline_seconds: bound on a batch Job's life; live ones have none.
        ttl_seconds_after_finished: how long a Job stays after its end is recorded.
        env: Kubernetes EnvVar objects.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    image: str = Field(min_length=1)
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[dict[str, Any], ...] = ()
    resources: dict[str, Any] = Field(default_factory=dict)
    scratch_size_limit: str = "2Gi"
    backoff_limit: int = Field(default=3, ge=0)
    active_deadline_seconds: int | None = Field(default=None, gt=0)
    ttl_seconds_after_finished: int = Field(default=600, ge=0)
    env: tuple[dict[str, Any], ...] = ()
    env_from: tuple[dict[str, Any], ...] = ()
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] | None = None
    priority_class_name: str | None = None
    service_account_name: str | None = None
    pod_labels: dict[str, str] = Field(default_factory=dict)
    pod_annotations: dict[str, str] = Field(default_factory=dict)
    extra_volumes: tuple[dict[str, Any], ...] = ()
    extra_volume_mounts: tuple[dict[str, Any], ...] = ()


def read_job_template(path: Path) -> JobTemplate:
    """Read the template.

    Raises:
        OSError: the file can't be read.
        pydantic.ValidationError: it is no template; names each bad key.
    """
    return JobTemplate.model_validate_json(path.read_bytes())
