"""What a deployment says about its Jobs: read from the file that the chart renders."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from m0_operator.domain.memory import parse_memory


class JobTemplate(BaseModel):
    """The deployment's part of every Job; unknown keys are an error, so that typos show.

    Attributes:
        scratch_size_limit: a Kubernetes quantity; the pod is evicted above it.
        memory_cap: a quantity; a run that had too little memory is followed by one with
            twice as much, up to this. None: it fails.
        stuck_pod_seconds: a pod that was told to end and is still there after so long is on a
            node that is gone.
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
    memory_cap: str | None = None
    stuck_pod_seconds: int = Field(default=120, ge=0)
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

    @property
    def memory_limit(self) -> str | None:
        """The container's memory limit; None: the node's memory is."""
        limit = (self.resources.get("limits") or {}).get("memory")
        return None if limit is None else str(limit)

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        for quantity in (self.memory_cap, self.memory_limit):
            if quantity is not None:
                parse_memory(quantity)
        return self


def read_job_template(path: Path) -> JobTemplate:
    """Read the template.

    Raises:
        OSError: the file can't be read.
        pydantic.ValidationError: it is no template; names each bad key.
    """
    return JobTemplate.model_validate_json(path.read_bytes())
