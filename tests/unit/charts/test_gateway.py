"""The gateway as the chart renders it: who may use it, what it may do, how many there are."""

import base64
from typing import Any

import pytest
from m0_operator.gateway.auth import MIN_TOKEN
from unit.charts.rendering import OPERATOR, Manifest, find, render

DIGEST = f"sha256:{'0' * 64}"
BROKER = ("--set", "rabbitmq.existingSecret=broker")


def rendered(*settings: str) -> list[Manifest]:
    return render(OPERATOR, *BROKER, *(part for item in settings for part in ("--set", item)))


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    spec: dict[str, Any] = find(manifests, "Deployment", "m0-gateway")["spec"]["template"]["spec"]
    return spec


def environment(manifests: list[Manifest]) -> dict[str, str]:
    env = pod(manifests)["containers"][0]["env"]
    return {entry["name"]: entry["value"] for entry in env if "value" in entry}


def kinds(manifests: list[Manifest], name: str = "m0-gateway") -> set[str]:
    return {m["kind"] for m in manifests if m["metadata"]["name"] == name}


def test_without_a_word_it_wants_a_token_that_nobody_can_guess() -> None:
    found = rendered()
    assert environment(found)["M0_GATEWAY_AUTH"] == "token"
    assert environment(found)["M0_GATEWAY_HOST"] == "0.0.0.0"
    (token,) = find(found, "Secret", "m0-gateway-tokens")["data"].values()
    again = find(rendered(), "Secret", "m0-gateway-tokens")["data"].values()
    assert len(base64.b64decode(token)) >= 40 > MIN_TOKEN
    assert token not in again
    (volume,) = [item for item in pod(found)["volumes"] if item["name"] == "tokens"]
    assert volume["secret"] == {"secretName": "m0-gateway-tokens"}


def test_a_secret_of_ones_own() -> None:
    found = rendered("gateway.auth.existingSecret=mine")
    assert not [m for m in found if m["kind"] == "Secret"]
    (volume,) = [item for item in pod(found)["volumes"] if item["name"] == "tokens"]
    assert volume["secret"] == {"secretName": "mine"}


def test_open_to_everybody_only_when_it_is_said() -> None:
    found = rendered("gateway.auth.enabled=false")
    assert environment(found)["M0_GATEWAY_AUTH"] == "none"
    assert "M0_GATEWAY_TOKENS_FILE" not in environment(found)
    assert [volume["name"] for volume in pod(found)["volumes"]] == ["tmp"]
    assert not [m for m in found if m["kind"] == "Secret"]


def test_it_may_look_at_videos_and_patch_them_and_nothing_else() -> None:
    role = find(rendered(), "Role", "m0-gateway")
    assert role["rules"] == [
        {
            "apiGroups": ["m0.sightapi.io"],
            "resources": ["videochunkjobs"],
            "verbs": ["get", "list", "watch", "patch"],
        }
    ]


def test_the_jobs_logs_take_two_rights_more_and_only_when_wanted() -> None:
    found = rendered("gateway.logs.enabled=true")
    assert find(found, "Role", "m0-gateway")["rules"][1:] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    assert environment(found)["M0_GATEWAY_LOGS"] == "true"
    assert environment(rendered())["M0_GATEWAY_LOGS"] == "false"
    off = rendered("gateway.logs.enabled=true", "gateway.jobs.enabled=false")
    assert "Role" not in kinds(off)


@pytest.mark.parametrize(
    ("settings", "image", "policy"),
    [
        ([], "m0-operator:0.1.0", "IfNotPresent"),
        (["image.tag=v2", "image.pullPolicy=Always"], "m0-operator:v2", "Always"),
        ([f"image.digest={DIGEST}"], f"m0-operator@{DIGEST}", "IfNotPresent"),
        (["gateway.image.repository=r/door"], "r/door:0.1.0", "IfNotPresent"),
        (["gateway.image.repository=r/door", "image.tag=v2"], "r/door:v2", "IfNotPresent"),
        (
            ["gateway.image.repository=r/door", f"image.digest={DIGEST}", "image.tag=v2"],
            "r/door:v2",
            "IfNotPresent",
        ),
        (
            [f"gateway.image.digest={DIGEST}", "gateway.image.pullPolicy=Never", "image.tag=v2"],
            f"m0-operator@{DIGEST}",
            "Never",
        ),
        (["gateway.image.tag=v3", "image.tag=v2"], "m0-operator:v3", "IfNotPresent"),
    ],
)
def test_its_image_is_the_operators_unless_it_has_its_own(
    settings: list[str], image: str, policy: str
) -> None:
    found = rendered(*settings)
    container = pod(found)["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == (image, policy)
    operator = find(found, "Deployment", "m0-operator")["spec"]["template"]["spec"]
    assert operator["containers"][0]["image"].startswith("m0-operator")


@pytest.mark.parametrize(
    ("setting", "token", "rights"),
    [
        ("gateway.jobs.enabled=false", False, set()),
        ("rbac.create=false", True, set()),
        ("gateway.jobs.enabled=true", True, {"Role", "RoleBinding"}),
    ],
)
def test_no_more_rights_than_it_needs(setting: str, token: bool, rights: set[str]) -> None:
    found = rendered(setting)
    assert pod(found)["automountServiceAccountToken"] is token
    assert kinds(found) & {"Role", "RoleBinding"} == rights


def test_several_that_scale_only_when_wanted() -> None:
    found = rendered()
    assert find(found, "Deployment", "m0-gateway")["spec"]["replicas"] == 2
    assert "HorizontalPodAutoscaler" not in kinds(found)
    found = rendered("gateway.autoscaling.enabled=true", "gateway.autoscaling.maxReplicas=9")
    assert "replicas" not in find(found, "Deployment", "m0-gateway")["spec"]
    scaler = find(found, "HorizontalPodAutoscaler", "m0-gateway")
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 9)


def test_it_ends_before_kubernetes_makes_it_end() -> None:
    found = rendered("gateway.drainSeconds=15")
    needed = float(environment(found)["M0_GATEWAY_DRAIN_S"]) + 10  # uvicorn's own patience
    assert needed < pod(found)["terminationGracePeriodSeconds"]
    strategy = find(found, "Deployment", "m0-gateway")["spec"]["strategy"]
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0


def test_off_there_is_nothing_of_it() -> None:
    found = rendered("gateway.enabled=false")
    assert kinds(found) <= {"ServiceAccount"}
    assert kinds(found, "m0-gateway-tokens") == set()
