"""What a deployment says about its Jobs: read from the file that the chart renders."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from m0_operator.domain.memory import parse_memory
from m0_operator.domain.observed import CONTAINER
from m0_operator.domain.restricted import container_complaints, volume_complaints

_STRICT = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class PodOverlay(BaseModel):
    """What else the pod spec is to have; nothing of it can weaken what we set ourselves.

    Attributes:
        init_containers: Kubernetes Containers; with `restartPolicy: Always` they are sidecars.
    """

    model_config = _STRICT

    dns_config: dict[str, Any] | None = None
    # Not ClusterFirstWithHostNet: no pod of ours is on the host's network.
    dns_policy: Literal["ClusterFirst", "Default", "None"] | None = None
    host_aliases: tuple[dict[str, Any], ...] = ()
    init_containers: tuple[dict[str, Any], ...] = ()
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    topology_spread_constraints: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _check_containers(self) -> Self:
        names = [container.get("name") for container in self.init_containers]
        if CONTAINER in names:
            raise ValueError(f"initContainers: {CONTAINER} is the name of our own container")
        _refuse(
            text for container in self.init_containers for text in container_complaints(container)
        )
        return self


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
        pod_overlay: what else the pods are to have.
    """

    model_config = _STRICT

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
    pod_overlay: PodOverlay = Field(default_factory=PodOverlay)

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

    @model_validator(mode="after")
    def _check_volumes(self) -> Self:
        _refuse(text for volume in self.extra_volumes for text in volume_complaints(volume))
        return self


def _refuse(complaints: Iterable[str]) -> None:
    said = list(complaints)
    if said:
        raise ValueError(f"less than Pod Security 'restricted': {'; '.join(said)}")


def read_job_template(path: Path) -> JobTemplate:
    """Read the template.

    Raises:
        OSError: the file can't be read.
        pydantic.ValidationError: it is no template; names each bad key.
    """
    return JobTemplate.model_validate_json(path.read_bytes())
