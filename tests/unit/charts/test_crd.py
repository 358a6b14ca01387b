"""The custom resource's schema against the models that read and write it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from m0_contract.request import RequestError, VideoPreprocessing, parse_request
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
    names = {name.replace("_d", "D") for name in VideoPreprocessing.model_fields}
    assert preprocessing.keys() == names


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


# --- a message that intake accepts is never refused -------------------------------------------

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,),
    "integer": (int,), "number": (int, float),
}  # fmt: skip


def complaints(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """What the API server would say of a value; its CEL rules apart."""
    kind = schema.get("type")
    if value is None:
        if not schema.get("nullable"):
            yield f"{path}: null"
    elif kind and not isinstance(value, TYPES[kind]):
        yield f"{path}: no {kind}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not one of {schema['enum']}"
    elif isinstance(value, int | float):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{path}: {value} is out of bounds"
    elif isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{path}: {len(value)} characters"
    elif isinstance(value, dict):
        yield from object_complaints(value, schema, path)


def object_complaints(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}.{name}: missing"
    for name, child in schema.get("properties", {}).items():
        if name in value:
            yield from complaints(value[name], child, f"{path}.{name}")


TEXTS = st.sampled_from([None, "v", "π" * 1024, "v" * 1025])
REQUESTS = st.fixed_dictionaries(
    {
        "process_id": st.sampled_from([0, 2**63 - 1, "a", "π" * 256]),
        "inference_modality": st.just("batch"),
        "cloud_stream_path": st.just("s3://b/k"),
        "destination_prefix": st.sampled_from(["p/", "s3://b/" + "x" * 1017]),
        "cache_container_name": st.just("c"),
        "video_preprocessing": st.fixed_dictionaries(
            {"chunk_duration": st.sampled_from([60, 86_400, 0.5, 0, "5"])},
            optional={
                "fps": st.sampled_from([None, 1e-300, 29.97, 1000, 1000.5]),
                "width": st.sampled_from([None, 1, 16_384, 0]),
                "height": st.sampled_from([None, 1, 640.0, 16_385]),
                "overlap": st.sampled_from([0, 0.25, 59.5, 86_399.5, -0.5, None]),
                "precision": st.sampled_from(["keyframe", "exact", "frame"]),
                "unknown": st.none() | st.just({"a": [None]}),
            },
        ),
    },
    optional={"cloud_stream_version_id": TEXTS, "unknown": st.none() | st.just(1)},
)


@given(REQUESTS)
def test_a_message_that_intake_accepts_is_never_refused(document: dict[str, Any]) -> None:
    try:
        request = parse_request(json.dumps(document).encode())
    except RequestError:
        return
    assert list(complaints(build_spec(request, None), SPEC, "spec")) == []


@pytest.mark.parametrize("name", ["precision", "overlap", "fps", "width"])
def test_the_schema_refuses_what_intake_refuses(name: str) -> None:
    wanted = {"chunkDuration": 5, name: {"precision": "frame", "overlap": -1}.get(name, 10**6)}
    (complaint,) = complaints({"processId": 1, "videoPreprocessing": wanted}, SPEC, "spec")
    assert complaint.startswith(f"spec.videoPreprocessing.{name}: ")


def test_the_schema_bounds_the_overlap_as_intake_does() -> None:
    (rule,) = SPEC["properties"]["videoPreprocessing"]["x-kubernetes-validations"]
    assert rule["rule"] == "!has(self.overlap) || self.overlap < self.chunkDuration"
    assert rule["fieldPath"] == ".overlap"


def test_the_examples_are_the_contracts_worked_example() -> None:
    request = parse_request((ROOT / "examples" / "request.json").read_bytes())
    applied = yaml.safe_load((ROOT / "examples" / "videochunkjob.yaml").read_text())
    same = build_spec(request, None) | {
        "processId": 102,
        "destinationPrefix": "processed/102/",
    }
    assert applied["spec"] == same
    assert VideoChunkJobSpec.model_validate(applied["spec"]).to_request().process_id == 102
