"""What the installed release says of itself: its broker, its queues, its limit. Pure."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from m0_contract.chunk import DEADLETTER_QUEUE, PRIORITY_QUEUE, PROGRESS_QUEUE, RESULTS_QUEUE


@dataclass(frozen=True, slots=True)
class Release:
    """The operator's environment, as its Deployment has it.

    Attributes:
        name: the Deployment's; empty when none is known.
        values: variables with a value.
        secrets: variables that a Secret has: (Secret, key).
        instance: the label that all of the release have.
    """

    name: str
    values: Mapping[str, str]
    secrets: Mapping[str, tuple[str, str]]
    instance: str = ""

    @property
    def restart(self) -> str:
        """What makes its pods read the Secrets again: operator and gateway, for `kubectl`."""
        if not self.instance:
            return f"rollout restart deployment/{self.name}"
        return f"rollout restart deployment -l {INSTANCE}={self.instance},{PART}"

    def queue(self, variable: str) -> str:
        """A queue's name."""
        return self.values.get(variable) or _QUEUES[variable]


_QUEUES = {
    "M0_PRIORITY_QUEUE": PRIORITY_QUEUE,
    "M0_RESULTS_QUEUE": RESULTS_QUEUE,
    "M0_DEADLETTER_QUEUE": DEADLETTER_QUEUE,
    "M0_PROGRESS_QUEUE": PROGRESS_QUEUE,
}
_OTHERS = ("M0_DECLARE_QUEUES", "M0_MAX_ACTIVE_JOBS")
INSTANCE, PART = "app.kubernetes.io/instance", "app.kubernetes.io/name=m0-operator"
UNKNOWN = Release("", {}, {})


def read_release(deployment: Mapping[str, Any] | None, environment: Mapping[str, str]) -> Release:
    """The release behind a Deployment; the caller's own environment names queues before it.

    Without a Deployment that environment is all there is: in M0's own pods it is the release's.
    """
    own = {name: environment[name] for name in _QUEUES if environment.get(name)}
    if deployment is None:
        others = {name: environment[name] for name in _OTHERS if environment.get(name)}
        return Release("", others | own, {})
    values, secrets = dict[str, str](), dict[str, tuple[str, str]]()
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for item in container.get("env") or ():
            reference = (item.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                secrets[item["name"]] = (reference["name"], reference["key"])
            elif "value" in item:
                values[item["name"]] = item["value"]
    meta = deployment["metadata"]
    instance = (meta.get("labels") or {}).get(INSTANCE, "")
    return Release(meta["name"], values | own, secrets, instance)


def read_limit(release: Release, config: Mapping[str, Any] | None) -> int | None:
    """How many videos may be active; None where nothing says so."""
    live = ((config or {}).get("data") or {}).get("max-active-jobs", "")
    text = str(live or release.values.get("M0_MAX_ACTIVE_JOBS", "")).strip()
    return int(text) if text.isdecimal() else None


def read_secret(secret: Mapping[str, Any] | None, key: str) -> str | None:
    """A Secret's value as text; None where it has none."""
    data = ((secret or {}).get("data") or {}).get(key)
    try:
        return base64.b64decode(data, validate=True).decode().strip() if data else None
    except (binascii.Error, UnicodeDecodeError):
        return None
