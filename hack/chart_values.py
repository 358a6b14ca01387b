"""Reads a chart's commented values.yaml: keys, defaults, comments and `# @schema` lines.

The comment above a key is its description. A line `# @schema …` in it says what the default
can't: the name of a type (`hack/chart_types.py`), or JSON Schema in YAML's flow style, which is
added to what was found otherwise, and may begin with such a name: `{type: queue, …}`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from chart_types import TYPES, Schema, usual_type

MARK = "@schema "
PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string"}


class ValuesError(Exception):
    """values.yaml does not say enough; the message names line and key."""


@dataclass(frozen=True)
class Entry:
    """One key.

    Attributes:
        path: from the root, as `--set` wants it.
        comment: the description; empty where there is none.
        schema: of a leaf: all of it; of a map with keys of its own: what is added.
        default: what the file gives.
        children: of a map with keys of its own; empty for a leaf.
    """

    path: str
    comment: str
    schema: Schema
    default: Any
    children: list["Entry"] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def read_values(path: Path) -> list[Entry]:
    """The file's keys, as they stand there.

    Raises:
        ValuesError: a type can't be told.
    """
    text = path.read_text()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return _Reader(text.splitlines()).entries(root, "")


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def entries(self, node: yaml.MappingNode, prefix: str) -> list[Entry]:
        return [self._entry(key, value, prefix) for key, value in node.value]

    def _entry(self, key: yaml.ScalarNode, value: yaml.Node, prefix: str) -> Entry:
        comment, annotation = self._above(key.start_mark.line)
        path = prefix + key.value
        default = yaml.SafeLoader("").construct_object(value, deep=True)
        known = annotation if annotation.keys() & {"type", "anyOf"} else usual_type(key.value)
        if known is None and isinstance(value, yaml.MappingNode) and value.value:
            children = self.entries(value, f"{path}.")
            return Entry(path, comment, annotation, default, children)
        if known is None and "enum" not in annotation:
            known = self._guess(path, default, key.start_mark.line + 1)
        return Entry(path, comment, {**(known or {}), **annotation}, default)

    def _above(self, line: int) -> tuple[str, Schema]:
        """The comment that ends above this line: (description, annotation)."""
        block: list[str] = []
        while line and self._lines[line - 1].strip().startswith("#"):
            line -= 1
            block.insert(0, self._lines[line].strip().removeprefix("#").strip())
        annotation: Schema = {}
        for text in block:
            if text.startswith(MARK):
                annotation |= _parse(text.removeprefix(MARK))
        prose = " ".join(text for text in block if text and not text.startswith(MARK))
        return prose, annotation

    def _guess(self, path: str, default: Any, line: int) -> Schema:
        kind = PLAIN.get(type(default))
        if kind is None:
            shown = yaml.safe_dump(default).split("\n")[0]
            raise ValuesError(
                f"values.yaml:{line}: {path}: {shown} does not tell its type; write a line "
                f"`# {MARK}TYPE` above it, one of {', '.join(TYPES)}, or JSON Schema: {{…}}"
            )
        return {"type": kind}


def _parse(text: str) -> Schema:
    said = yaml.safe_load(text)
    if isinstance(said, str):
        return dict(TYPES[said])
    assert isinstance(said, dict), text
    named = said.get("type")
    if isinstance(named, str) and named in TYPES:
        return {**TYPES[named], **{name: value for name, value in said.items() if name != "type"}}
    return said
