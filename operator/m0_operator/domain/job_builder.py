"""The Job for one attempt at a video. Pure: the same arguments give the same manifest."""

import copy
import hashlib
from typing import Any

from m0_contract.outcome import PERMANENT_EXIT_CODES, ExitCode
from m0_contract.request import VideoRequest
from m0_contract.resource import (
    GROUP,
    KIND,
    LABEL_ATTEMPT,
    LABEL_RESOURCE,
    REQUEST_ANNOTATION,
    VERSION,
)
from m0_contract.trace import HEADER, STATE_HEADER, STATE_VARIABLE, VARIABLE, read_trace

from m0_operator.domain.job_template import JobTemplate
from m0_operator.domain.observed import CONTAINER, Resource
from m0_operator.domain.restricted import CONTAINER_SECURITY
from m0_operator.domain.spans import locate_job

USER = 10001
SCRATCH = "/scratch"
REQUEST_DIR = "/etc/m0"
GRACE_S = 30
SIGKILLED = 137
"""Exit code of a container that was killed, for its memory or by somebody."""


def job_name(resource_name: str, uid: str, attempt: int) -> str:
    """One name for each attempt at each resource, at most 63 characters."""
    suffix = f"-{uid[:8]}-{attempt}"
    return _fit(resource_name, 63 - len(suffix)) + suffix


def label_value(resource_name: str) -> str:
    """The resource's name as a label value, which takes at most 63 characters."""
    return _fit(resource_name, 63)


def _fit(name: str, limit: int) -> str:
    name = name.replace(".", "-")
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: limit - 9].rstrip('-')}-{digest}"


def build_job(
    resource: Resource,
    request: VideoRequest,
    attempt: int,
    template: JobTemplate,
    memory: str | None = None,
    *,
    trace_ratio: float | None = None,
) -> dict[str, Any]:
    """The manifest of attempt number `attempt`, counted from 1.

    Args:
        memory: the limit, where it is to be another than the template's.
        trace_ratio: see `Policy`.
    """
    trace = _trace(resource, attempt, trace_ratio)
    labels = {LABEL_RESOURCE: label_value(resource.name), LABEL_ATTEMPT: str(attempt)}
    origin = resource.spec.origin
    # The body as it came: parsing and writing it again could change inference_config.
    text = origin.body_bytes.decode() if origin else request.to_json()
    spec: dict[str, Any] = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": template.backoff_limit,
        "podFailurePolicy": _failure_policy(),
        "template": {
            "metadata": {
                "labels": {**template.pod_labels, **labels},
                "annotations": {**template.pod_annotations, REQUEST_ANNOTATION: text},
            },
            "spec": _pod_spec(resource, attempt, template, memory, trace),
        },
    }
    if template.active_deadline_seconds is not None and request.inference_modality == "batch":
        spec["activeDeadlineSeconds"] = template.active_deadline_seconds
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(resource.name, resource.uid, attempt),
            "namespace": resource.namespace,
            "labels": {**template.pod_labels, **labels},
            "ownerReferences": [_owner(resource)],
        },
        "spec": spec,
    }


def _owner(resource: Resource) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": resource.name,
        "uid": resource.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _failure_policy() -> dict[str, Any]:
    # The first rule that fits wins: a disruption is never the video's fault, nor is it when
    # somebody tells the pod to end and Kubernetes does not call it a disruption.
    return {
        "rules": [
            {
                "action": "Ignore",
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
            },
            {
                "action": "Ignore",
                "onExitCodes": {
                    "containerName": CONTAINER,
                    "operator": "In",
                    "values": [int(ExitCode.DISRUPTED)],
                },
            },
            {
                "action": "FailJob",
                "onExitCodes": {
                    "containerName": CONTAINER,
                    "operator": "In",
                    # Killed: another pod of this Job would have as little memory. See retries.py.
                    "values": [*(int(code) for code in PERMANENT_EXIT_CODES), SIGKILLED],
                },
            },
        ]
    }


def _trace(resource: Resource, attempt: int, ratio: float | None) -> dict[str, str]:
    """What the pod is told of the trace: the Job's own place, or what the request brought."""
    origin = resource.spec.origin
    came = read_trace(origin.headers) if origin else {}
    headers = came if ratio is None else locate_job(resource, attempt, ratio).to_headers()
    names = {HEADER: VARIABLE, STATE_HEADER: STATE_VARIABLE}
    return {names[name]: value for name, value in headers.items()}


def _pod_spec(
    resource: Resource,
    attempt: int,
    template: JobTemplate,
    memory: str | None,
    trace: dict[str, str],
) -> dict[str, Any]:
    optional: dict[str, Any] = {
        "imagePullSecrets": list(template.image_pull_secrets),
        "nodeSelector": template.node_selector,
        "tolerations": list(template.tolerations),
        "affinity": template.affinity,
        "priorityClassName": template.priority_class_name,
        "serviceAccountName": template.service_account_name,
    }
    return {
        # Ours comes last, and wins.
        **_overlay(template),
        **{key: copy.deepcopy(value) for key, value in optional.items() if value},
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(resource, attempt, template, memory, trace)],
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": template.scratch_size_limit}},
            {"name": "request", "downwardAPI": {"items": [_request_item()]}},
            *copy.deepcopy(template.extra_volumes),
        ],
    }


def _overlay(template: JobTemplate) -> dict[str, Any]:
    overlay = template.pod_overlay.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for container in overlay.get("initContainers", ()):
        own = container.get("securityContext") or {}
        container["securityContext"] = {**copy.deepcopy(CONTAINER_SECURITY), **own}
    return overlay


def _resources(template: JobTemplate, memory: str | None) -> dict[str, Any]:
    resources = copy.deepcopy(template.resources)
    if memory is not None:
        # What is only asked for is not had when the node is full: the next run is to be sure of it.
        for kind in ("requests", "limits"):
            resources[kind] = {**(resources.get(kind) or {}), "memory": memory}
    return resources


def _request_item() -> dict[str, Any]:
    field = f"metadata.annotations['{REQUEST_ANNOTATION}']"
    return {"path": "request.json", "fieldRef": {"fieldPath": field}}


def _container(
    resource: Resource,
    attempt: int,
    template: JobTemplate,
    memory: str | None,
    trace: dict[str, str],
) -> dict[str, Any]:
    own = {
        "M0_RESOURCE": resource.name,
        "M0_ATTEMPT": str(attempt),
        # What a pod announced need not be announced again by its successor, but by that of
        # a resource that was made anew.
        "M0_RUN": resource.uid,
        "M0_SCRATCH_DIR": SCRATCH,
        "M0_TERMINATION_LOG": "/dev/termination-log",
        "TMPDIR": SCRATCH,
        **trace,
    }
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": template.image,
        "imagePullPolicy": template.image_pull_policy,
        "args": ["--request", f"{REQUEST_DIR}/request.json"],
        # Last one wins: what the chunker relies on can't be overridden by a template.
        "env": [
            *copy.deepcopy(template.env),
            *({"name": name, "value": value} for name, value in own.items()),
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": copy.deepcopy(CONTAINER_SECURITY),
        "volumeMounts": [
            {"name": "scratch", "mountPath": SCRATCH},
            {"name": "request", "mountPath": REQUEST_DIR, "readOnly": True},
            *copy.deepcopy(template.extra_volume_mounts),
        ],
    }
    if template.resources:
        container["resources"] = _resources(template, memory)
    if template.env_from:
        container["envFrom"] = list(copy.deepcopy(template.env_from))
    return container
