"""values.yaml → values.schema.json and README.md: what the generator reads and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chart_readme import build_readme
from chart_schema import build_schema
from chart_values import Entry, ValuesError, read_values
from unit.charts.rendering import DEV_VALUES, GOLDEN, OPERATOR, run_helm

VALUES = """\
# About the file, and about nothing in it.

# How many.
# @schema {minimum: 1}
count: 4

# For how long; null: for ever.
# @schema {type: [number, "null"]}
hours: null

broker:
  # Its | queue.
  # @schema queue
  queue: A
  open: true
  nodeSelector: {}
  # One of two.
  # @schema {enum: [a, b]}
  kind: a
"""


def written(tmp_path: Path, text: str = VALUES) -> Path:
    path = tmp_path / "values.yaml"
    path.write_text(text)
    return path


def schema(tmp_path: Path, text: str = VALUES) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(build_schema(written(tmp_path, text), "t", ["count"]))
    return document["properties"]  # type: ignore[no-any-return]


def test_types_come_from_defaults_names_and_annotations(tmp_path: Path) -> None:
    found = schema(tmp_path)
    assert found["count"] == {
        "description": "How many.", "type": "integer", "minimum": 1, "default": 4,
    }  # fmt: skip
    assert found["hours"]["type"] == ["number", "null"]
    broker = found["broker"]
    assert broker["additionalProperties"] is False
    inner = broker["properties"]
    assert inner["queue"]["maxLength"] == 255
    assert inner["open"]["type"] == "boolean"
    assert inner["nodeSelector"]["additionalProperties"] == {"type": "string"}
    assert inner["kind"]["enum"] == ["a", "b"]
    assert "type" not in inner["kind"]


def test_a_comment_that_a_blank_line_follows_is_about_the_file(tmp_path: Path) -> None:
    assert "About the file" not in json.dumps(schema(tmp_path))


@pytest.mark.parametrize("default", ["{}", "[]", "null", '[{"a": 1}]'])
def test_a_default_that_tells_no_type_needs_an_annotation(tmp_path: Path, default: str) -> None:
    with pytest.raises(ValuesError, match=r"values.yaml:2: a: .*@schema"):
        schema(tmp_path, f"\na: {default}\n")


def test_the_table_has_each_key_and_survives_a_bar(tmp_path: Path) -> None:
    head = tmp_path / "head.md"
    head.write_text("# Head\n")
    text = build_readme(written(tmp_path), head)
    assert text.startswith("# Head\n")
    assert "| `count` | integer | `4` | How many. |" in text
    assert "| `broker.queue` | string | `A` | Its \\| queue. |" in text
    assert "| `broker.kind` | one of `a`, `b` | `a` | One of two. |" in text


def leaves(entries: list[Entry]) -> list[Entry]:
    return [leaf for entry in entries for leaf in (leaves(entry.children) or [entry])]


def test_every_value_of_the_chart_is_read_somewhere() -> None:
    texts = "\n".join(
        path.read_text() for path in (OPERATOR / "templates").rglob("*") if path.is_file()
    )
    used = set(re.findall(r"[A-Za-z0-9]+", texts))
    unread = [leaf.path for leaf in leaves(read_values(OPERATOR / "values.yaml"))
              if leaf.key not in used]  # fmt: skip
    assert unread == []


@pytest.mark.parametrize(
    "file", [DEV_VALUES, GOLDEN / "values-everything.yaml", GOLDEN / "values-least.yaml"],
    ids=lambda path: path.stem,
)  # fmt: skip
def test_the_values_that_we_use_are_taken(file: Path) -> None:
    assert run_helm("lint", "--strict", OPERATOR, "-f", file).returncode == 0


def open_ones(schema: dict[str, Any], path: str = "") -> list[str]:
    """Paths of objects that take any key."""
    here = (
        [] if schema.get("additionalProperties") is False or "properties" not in schema else [path]
    )
    return here + [
        entry
        for name, child in schema.get("properties", {}).items()
        for entry in open_ones(child, f"{path}.{name}")
    ]


def test_no_object_with_keys_of_its_own_takes_others() -> None:
    assert open_ones(json.loads((OPERATOR / "values.schema.json").read_text())) == []
