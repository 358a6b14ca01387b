"""What Pod Security's level "restricted" says of containers and volumes that somebody adds.

A namespace that enforces it would refuse each Job; one that doesn't would run it with less
security than ours. So it is said at the start, by name.
"""

from collections.abc import Callable, Iterator
from typing import Any

CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""Of every container that says nothing else; copy it before changing it."""

VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)

_PROFILES = ("RuntimeDefault", "Localhost")


def volume_complaints(volume: dict[str, Any]) -> Iterator[str]:
    """Why this Kubernetes Volume may not be."""
    for kind in volume.keys() - {"name"} - VOLUMES:
        yield f"volume {volume.get('name')}: {kind}"


_WEAK: dict[str, Callable[[Any], bool]] = {
    "privileged": bool,
    "allowPrivilegeEscalation": lambda value: value is not False,
    "runAsNonRoot": lambda value: value is False,
    "runAsUser": lambda value: value == 0,
    "procMount": lambda value: value not in {None, "Default"},
    "seLinuxOptions": bool,
    "windowsOptions": bool,
    "seccompProfile": lambda value: (value or {}).get("type") not in _PROFILES,
    "capabilities": lambda value: (
        (value or {}).get("drop") != ["ALL"] or bool((value or {}).get("add"))
    ),
}
"""Field of a container's securityContext → whether this value of it is less than "restricted"."""


def container_complaints(container: dict[str, Any]) -> Iterator[str]:
    """Why this Kubernetes Container may not be; what it leaves open is filled with ours."""
    name = container.get("name")
    for field, value in (container.get("securityContext") or {}).items():
        if field in _WEAK and _WEAK[field](value):
            yield f"container {name}: securityContext.{field}"
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield f"container {name}: hostPort"
