"""Types of chart values that a default can't show, by the name that `# @schema` gives them.

A key that has its usual name needs no annotation: see `BY_NAME` and `BY_ENDING`.
"""

from typing import Any

Schema = dict[str, Any]

TYPES: dict[str, Schema] = {
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "object or null": {"type": ["object", "null"]},
    "objects": {"type": "array", "items": {"type": "object"}},
    "addresses": {
        "type": "array",
        "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]+$"},
    },
    "ports": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "name": {"type": "string", "minLength": 1},
    "url": {"type": "string", "pattern": "^(https?://.+)?$"},
    "queue": {"type": "string", "minLength": 1, "maxLength": 255},
    "tag": {"type": ["string", "null"]},
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "requests": {"type": ["object", "null"]},
            "limits": {"type": ["object", "null"]},
            "claims": {"type": "array", "items": {"type": "object"}},
        },
    },
    "count or percentage": {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": "^[0-9]{1,3}%$"},
        ]
    },
    "podOverlay": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "dnsConfig": {"type": "object"},
            "dnsPolicy": {"enum": ["ClusterFirst", "Default", "None"]},
            "hostAliases": {"type": "array", "items": {"type": "object"}},
            "initContainers": {
                "type": "array",
                "items": {"type": "object", "required": ["name", "image"]},
            },
            "runtimeClassName": {"type": "string", "minLength": 1},
            "schedulerName": {"type": "string", "minLength": 1},
            "topologySpreadConstraints": {"type": "array", "items": {"type": "object"}},
        },
    },
}
"""`# @schema NAME` → what such a value may be."""

BY_NAME: dict[str, str] = {
    "affinity": "object or null",
    "digest": "digest",
    "extraEnv": "objects",
    "extraEnvFrom": "objects",
    "extraVolumeMounts": "objects",
    "extraVolumes": "objects",
    "imagePullSecrets": "objects",
    "labels": "strings",
    "annotations": "strings",
    "maxUnavailable": "count or percentage",
    "nodeSelector": "strings",
    "port": "port",
    "repository": "name",
    "resources": "resources",
    "tag": "tag",
    "tolerations": "objects",
    "topologySpreadConstraints": "objects",
}
"""A key's usual name → its type."""

BY_ENDING: dict[str, str] = {"Labels": "strings", "Annotations": "strings"}

BOUNDS: dict[str, Schema] = {
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "replicas": {"type": "integer", "minimum": 0},
}
"""The same, where nothing else has that type."""


def usual_type(key: str) -> Schema | None:
    """What a key with this name always is; None: its default tells."""
    if key in BOUNDS:
        return BOUNDS[key]
    if key in BY_NAME:
        return TYPES[BY_NAME[key]]
    return next((TYPES[name] for ending, name in BY_ENDING.items() if key.endswith(ending)), None)
