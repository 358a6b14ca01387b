"""The gateway as the chart renders it: who may use it, what it may do, how many there are."""

import base64
from typing import Any

import pytest
from m0_operator.gateway.auth import MIN_TOKEN
from unit.charts.rendering import OPERATOR, Manifest, find, render

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
