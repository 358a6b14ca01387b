"""values.schema.json of a chart, from its values.yaml: closed, with descriptions and defaults."""

import json
from pathlib import Path

from chart_types import Schema
from chart_values import Entry, read_values

GLOBAL = "global"
"""Helm's own key: there in every subchart, whatever the chart makes of it."""


def build_schema(values: Path, title: str, required: list[str]) -> str:
    """The schema's text.

    Raises:
        chart_values.ValuesError: values.yaml does not say enough.
    """
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": {
            GLOBAL: {"type": "object", "description": "Helm's own; not looked at."},
            **{entry.key: _property(entry) for entry in read_values(values)},
        },
        "required": required,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _property(entry: Entry) -> Schema:
    described = {"description": entry.comment} if entry.comment else {}
    if not entry.children:
        return {**described, **entry.schema, "default": entry.default}
    return {
        **described,
        "type": "object",
        "additionalProperties": False,
        "properties": {child.key: _property(child) for child in entry.children},
        **entry.schema,
    }
