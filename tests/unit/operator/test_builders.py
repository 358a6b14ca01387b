"""Golden manifests: `M0_UPDATE_GOLDEN=1 pytest …` rewrites them; the diff is the review."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from m0_contract.outcome import PERMANENT_EXIT_CODES, ExitCode
from m0_contract.request import parse_request
from m0_contract.resource import FINALIZER, build_spec
from m0_operator.domain.job_builder import build_job, job_name, label_value
from m0_operator.domain.job_template import JobTemplate
from m0_operator.domain.memory import more_memory
from m0_operator.domain.observed import parse_resource
from m0_operator.domain.resource_builder import build_origin
from pydantic import ValidationError

from .conftest import World, request_body

DATA = Path(__file__).parents[2] / "data" / "operator"

FULL = {
    "image": "registry.example/m0-chunker:1",
    "imagePullSecrets": [{"name": "pull"}],
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
    "activeDeadlineSeconds": 3600,
    "env": [{"name": "AWS_REGION", "value": "us-east-1"}],
    "envFrom": [{"secretRef": {"name": "store"}}],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "video", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "video",
    "serviceAccountName": "chunker",
    "podLabels": {"team": "video"},
    "podAnnotations": {"note": "x"},
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
}


def check_golden(name: str, manifest: dict[str, Any]) -> None:
    path = DATA / f"{name}.yaml"
    if os.environ.get("M0_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(manifest, sort_keys=True, allow_unicode=True))
    assert manifest == yaml.safe_load(path.read_text())


def resource(**changes: Any) -> Any:
    body = request_body(**changes)
    world = World()
    origin = build_origin(body, {}, 5, world.now)
    return parse_resource(
        {
            "metadata": {"name": "video-101", "namespace": "m0", "uid": "0123456789abcdef"},
            "spec": build_spec(parse_request(body), origin),
        }
    )


@pytest.mark.parametrize(
    ("name", "template", "changes"),
    [
        ("job-minimal", {"image": "m0-chunker:dev"}, {}),
        ("job-full", FULL, {}),
        (
            "job-live-has-no-deadline",
            FULL,
            {"inference_modality": "live", "cloud_stream_path": "rtsp://c/1",
             "destination_prefix": "s3://b/o"},
        ),
    ],
    ids=["minimal", "everything set", "live"],
)  # fmt: skip
def test_the_job_is_as_reviewed(
    name: str, template: dict[str, Any], changes: dict[str, Any]
) -> None:
    parsed = JobTemplate.model_validate(template)
    video = resource(**changes)
    before = copy.deepcopy(parsed)
    manifest = build_job(video, video.spec.to_request(), 2, parsed)
    assert parsed == before
    check_golden(name, manifest)


async def test_the_resource_is_as_reviewed(world: World) -> None:
    await world.send(request_body(), headers={"trace": "t1"}, priority=5)
    manifest = world.cluster.resources["video-101"]
    assert manifest["metadata"]["finalizers"] == [FINALIZER]
    check_golden("resource", manifest)


def test_the_pod_gets_the_request_byte_for_byte() -> None:
    video = resource()
    manifest = build_job(video, video.spec.to_request(), 1, JobTemplate(image="c"))
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    assert annotations["m0.sightapi.io/request"].encode() == request_body()


def test_the_failure_policy_follows_the_exit_code_table() -> None:
    video = resource()
    manifest = build_job(video, video.spec.to_request(), 1, JobTemplate(image="c"))
    ignore, told, fail = manifest["spec"]["podFailurePolicy"]["rules"]
    assert ignore["action"] == told["action"] == "Ignore"
    assert told["onExitCodes"]["values"] == [ExitCode.DISRUPTED]
    assert fail["onExitCodes"]["values"] == [*(int(code) for code in PERMANENT_EXIT_CODES), 137]


def test_a_run_with_more_memory_has_it_for_sure() -> None:
    video = resource()
    template = JobTemplate(
        image="c",
        resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    )
    manifest = build_job(video, video.spec.to_request(), 2, template, "4096Mi")
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "4096Mi"},
        "limits": {"memory": "4096Mi"},
    }
    assert template.memory_limit == "2Gi"


@pytest.mark.parametrize(
    ("limit", "cap", "more"),
    [
        ("1Gi", "3Gi", "2048Mi"),
        ("2Gi", "3Gi", "3072Mi"),
        ("3Gi", "3Gi", None),
        ("4Gi", "3Gi", None),
        ("500M", "8Gi", "953Mi"),
        ("1.5Gi", "8Gi", "3072Mi"),
        ("1073741824", "8G", "2048Mi"),
    ],
)
def test_more_memory(limit: str, cap: str, more: str | None) -> None:
    assert more_memory(limit, cap) == more


@pytest.mark.parametrize("quantity", ["", "much", "1GiB", "-1Gi", "1e9", "100m"])
def test_what_is_no_memory_is_an_error_at_start(quantity: str) -> None:
    with pytest.raises(ValidationError, match="no amount of memory"):
        JobTemplate(image="c", memory_cap=quantity)


@pytest.mark.parametrize("name", ["v", "x" * 63, "a.b" * 80], ids=["short", "label", "longest"])
def test_names_fit(name: str) -> None:
    built = job_name(name, "0123456789abcdef", 12)
    assert len(built) <= 63
    assert len(label_value(name)) <= 63
    assert built != job_name(name + "y", "0123456789abcdef", 12)
    assert built != job_name(name, "0123456789abcdef", 13)


def test_a_typo_in_the_template_is_an_error() -> None:
    with pytest.raises(ValueError, match="imagePulPolicy"):
        JobTemplate.model_validate_json(json.dumps({"image": "c", "imagePulPolicy": "Never"}))


# --- what a deployment adds to the pods ---------------------------------------------------------

OVERLAY = {
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
    "dnsPolicy": "ClusterFirst",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["store"]}],
    "initContainers": [
        {"name": "warm", "image": "warm:1"},
        {
            "name": "proxy",
            "image": "proxy:1",
            "restartPolicy": "Always",
            "securityContext": {"runAsUser": 1337, "readOnlyRootFilesystem": False},
        },
    ],
    "runtimeClassName": "gvisor",
    "schedulerName": "volcano",
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
}


def overlaid(**changes: Any) -> dict[str, Any]:
    template = JobTemplate.model_validate(FULL | {"podOverlay": OVERLAY | changes})
    found = resource()
    manifest = build_job(found, found.spec.to_request(), 1, template)
    return manifest["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def test_the_overlay_is_as_reviewed() -> None:
    check_golden("pod-overlay", overlaid())


def test_an_overlay_changes_nothing_that_we_set() -> None:
    found = resource()
    template = JobTemplate.model_validate(FULL)
    own = build_job(found, found.spec.to_request(), 1, template)["spec"]["template"]["spec"]
    with_overlay = overlaid()
    assert {name: with_overlay[name] for name in own} == own
    assert with_overlay.keys() - own.keys() == OVERLAY.keys()


def test_the_template_itself_is_left_alone() -> None:
    template = JobTemplate.model_validate(FULL | {"podOverlay": OVERLAY})
    found = resource()
    build_job(found, found.spec.to_request(), 1, template)
    assert template == JobTemplate.model_validate(FULL | {"podOverlay": OVERLAY})


@pytest.mark.parametrize(
    ("overlay", "complaint"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"serviceAccountName": "admin"}, "serviceAccountName"),
        ({"securityContext": {}}, "securityContext"),
        ({"containers": []}, "containers"),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, "dnsPolicy"),
        ({"initContainers": [{"name": "chunker"}]}, "our own container"),
        ({"initContainers": [{"name": "a", "ports": [{"hostPort": 1}]}]}, "container a: hostPort"),
    ],
)
def test_an_overlay_that_reaches_further_is_refused(
    overlay: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        JobTemplate.model_validate(FULL | {"podOverlay": overlay})


@pytest.mark.parametrize(
    "security",
    [
        {"privileged": True},
        {"allowPrivilegeEscalation": True},
        {"allowPrivilegeEscalation": None},
        {"runAsNonRoot": False},
        {"runAsUser": 0},
        {"procMount": "Unmasked"},
        {"seLinuxOptions": {"type": "spc_t"}},
        {"windowsOptions": {"hostProcess": True}},
        {"seccompProfile": {"type": "Unconfined"}},
        {"seccompProfile": None},
        {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
        {"capabilities": {"drop": ["NET_RAW"]}},
        {"capabilities": None},
    ],
    ids=str,
)
def test_an_init_container_with_less_security_is_refused(security: dict[str, Any]) -> None:
    container = {"name": "a", "image": "a", "securityContext": security}
    with pytest.raises(ValidationError, match=r"container a: securityContext\."):
        JobTemplate.model_validate(FULL | {"podOverlay": {"initContainers": [container]}})


@pytest.mark.parametrize("kind", ["hostPath", "nfs", "gitRepo"])
def test_a_volume_of_a_forbidden_kind_is_refused(kind: str) -> None:
    volume = {"name": "all", kind: {"path": "/"}}
    with pytest.raises(ValidationError, match=f"volume all: {kind}"):
        JobTemplate.model_validate(FULL | {"extraVolumes": [volume]})


def test_the_job_is_told_the_trace_of_its_request() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def variables(headers: dict[str, Any]) -> list[str]:
        body = request_body()
        origin = build_origin(body, headers, 5, World().now)
        manifest = {
            "metadata": {"name": "video-101", "namespace": "m0", "uid": "0123456789abcdef"},
            "spec": build_spec(parse_request(body), origin),
        }
        found = parse_resource(manifest)
        job = build_job(found, parse_request(body), 1, JobTemplate(image="c:1"))
        env = job["spec"]["template"]["spec"]["containers"][0]["env"]
        return [item["value"] for item in env if item["name"] == "TRACEPARENT"]

    assert variables({"traceparent": trace}) == [trace]
    assert variables({"traceparent": "none of that form"}) == []
    assert variables({}) == []
