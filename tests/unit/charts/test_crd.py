"""The custom resource's schema against the models that read and write it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from m0_contract.request import VideoPreprocessing, parse_request
from m0_contract.resource import GROUP, KIND, PLURAL, VERSION, VideoChunkJobSpec, build_spec
from unit.charts.rendering import ROOT

Schema = dict[str, Any]

CRD = yaml.safe_load((ROOT / "crds" / "videochunkjobs.yaml").read_text())
SERVED = CRD["spec"]["versions"][0]
ROOT_SCHEMA: Schema = SERVED["schema"]["openAPIV3Schema"]
SPEC: Schema = ROOT_SCHEMA["properties"]["spec"]
MUTABLE = {"suspend", "stop", "retryToken"}


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
        yield from fields(child.get("items", {}), f"{path}.{name}[]")


def test_the_charts_copy_is_up_to_date() -> None:
    copy = ROOT / "charts" / "m0-operator" / "files" / "videochunkjobs.yaml"
    assert copy.read_text() == (ROOT / "crds" / "videochunkjobs.yaml").read_text()


def test_it_is_named_as_the_programs_name_it() -> None:
    assert CRD["metadata"]["name"] == f"{PLURAL}.{GROUP}"
    assert CRD["spec"]["group"] == GROUP
    assert CRD["spec"]["names"]["kind"] == KIND
    assert SERVED["name"] == VERSION
    assert SERVED["subresources"] == {"status": {}}


def test_every_field_is_described() -> None:
    bare = [path for path, schema in fields(ROOT_SCHEMA) if "description" not in schema]
    assert bare == [".apiVersion", ".kind", ".metadata"]


def test_it_has_the_models_fields_and_no_others() -> None:
    aliases = {field.alias for field in VideoChunkJobSpec.model_fields.values()}
    assert SPEC["properties"].keys() == aliases
    preprocessing = SPEC["properties"]["videoPreprocessing"]["properties"]
    assert len(preprocessing) == len(VideoPreprocessing.model_fields)


@pytest.mark.parametrize("name", sorted(SPEC["properties"].keys() - MUTABLE))
def test_the_request_is_immutable(name: str) -> None:
    """`self == oldSelf` alone is not asked when a field is added or removed: hence has()."""
    here = SPEC["properties"][name].get("x-kubernetes-validations", [])
    whole = [r for r in SPEC["x-kubernetes-validations"] if r.get("fieldPath") == f".{name}"]
    if name in SPEC["required"] or "default" in SPEC["properties"][name]:
        assert any(rule["rule"] == "self == oldSelf" for rule in here)
    else:
        (rule,) = whole
        assert f"has(self.{name}) == has(oldSelf.{name})" in rule["rule"]
        assert f"self.{name} == oldSelf.{name}" in rule["rule"]


@pytest.mark.parametrize("name", sorted(MUTABLE))
def test_the_switches_are_not(name: str) -> None:
    assert "oldSelf" not in json.dumps(SPEC["properties"][name])
    assert f"self.{name}" not in json.dumps(SPEC["x-kubernetes-validations"])


def test_what_a_person_sees_first() -> None:
    columns = SERVED["additionalPrinterColumns"]
    assert [c["name"] for c in columns if not c.get("priority")] == [
        "Phase",
        "Progress",
        "Chunks",
        "Mode",
        "Priority",
        "Attempts",
        "Age",
    ]
    assert [c["name"] for c in columns if c.get("priority")] == ["Source", "Job", "Node", "Reason"]


def test_the_examples_are_the_contracts_worked_example() -> None:
    request = parse_request((ROOT / "examples" / "request.json").read_bytes())
    applied = yaml.safe_load((ROOT / "examples" / "videochunkjob.yaml").read_text())
    same = build_spec(request, None) | {
        "processId": 102,
        "destinationPrefix": "processed/102/",
    }
    assert applied["spec"] == same
    assert VideoChunkJobSpec.model_validate(applied["spec"]).to_request().process_id == 102
