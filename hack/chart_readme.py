"""README.md of a chart, from a head that somebody wrote and the values.yaml's comments."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chart_types import Schema
from chart_values import Entry, read_values

HEADER = "| key | type | default | |\n|---|---|---|---|\n"


def build_readme(values: Path, head: Path) -> str:
    """The README's text: the head, one table of simple values, and one for each group."""
    entries = read_values(values)
    simple = [entry for entry in entries if not entry.children]
    parts = [head.read_text(), "\n## Values\n\n", HEADER, *map(_row, simple)]
    for entry in entries:
        if entry.children:
            parts.append(f"\n### {entry.key}\n\n")
            parts += [f"{entry.comment}\n\n"] if entry.comment else []
            parts += [HEADER, *map(_row, _leaves(entry))]
    return "".join(parts)


def _leaves(entry: Entry) -> Iterator[Entry]:
    for child in entry.children:
        if not child.children:
            yield child
            continue
        if child.comment:
            yield Entry(child.path, child.comment, {}, ...)
        yield from _leaves(child)


def _row(entry: Entry) -> str:
    cells = (f"`{entry.path}`", _kind(entry.schema), _default(entry.default), entry.comment)
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def _kind(schema: Schema) -> str:
    """One word or two on what may stand there."""
    if "enum" in schema:
        return "one of " + ", ".join(f"`{_bare(value)}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    kinds = schema.get("type", [])
    words = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join("list" if word == "array" else word for word in words)


def _default(value: Any) -> str:
    return "" if value is ... else f"`{_bare(value)}`"


def _bare(value: Any) -> str:
    """As one would write it in YAML on one line."""
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
