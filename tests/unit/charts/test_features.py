"""Features of the chart that a deployment turns on: what each renders, and what it must not."""

import json
from typing import Any

import pytest
import yaml
from m0_operator.domain.job_template import JobTemplate
from unit.charts.rendering import OPERATOR, Manifest, find, pods, render, run_helm

BROKER = ("--set", "rabbitmq.existingSecret=broker")
METADATA = {"169.254.169.254/32", "fd00:ec2::254/128"}


def rendered(*settings: str) -> list[Manifest]:
    return render(OPERATOR, *BROKER, *(part for text in settings for part in ("--set", text)))


def kinds(manifests: list[Manifest]) -> list[str]:
    return [manifest["kind"] for manifest in manifests]


def refused(*arguments: str) -> str:
    result = run_helm("template", "m0", OPERATOR, *arguments)
    assert result.returncode != 0
    return result.stderr


# --- everything carries what it is to carry ------------------------------------------------------


def metadata(manifest: Manifest) -> list[dict[str, Any]]:
    found = [manifest["metadata"]]
    spec = manifest.get("spec", {})
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if manifest["kind"] in {"Deployment", "CronJob"}:
        found.append(spec["template"]["metadata"])
    return found


def test_common_labels_and_annotations_are_on_everything(full: list[Manifest]) -> None:
    for manifest in full:
        for found in metadata(manifest):
            name = (manifest["kind"], found.get("name"))
            assert found["labels"]["team"] == "video", name
            assert found["annotations"]["example.com/owner"] == "video", name
    template = json.loads(find(full, "ConfigMap", "m0-operator")["data"]["job.json"])
    assert template["podLabels"]["team"] == "video"
    assert template["podAnnotations"]["example.com/owner"] == "video"


def test_common_labels_are_in_no_selector(full: list[Manifest]) -> None:
    """A selector can't be changed: the next upgrade would be refused."""
    for manifest in full:
        selector = manifest.get("spec", {}).get("selector", {})
        assert "team" not in json.dumps(selector)


def test_common_labels_replace_none_of_the_charts_own() -> None:
    manifests = rendered(r"commonLabels.app\.kubernetes\.io/name=x", "operator.podLabels.a=b")
    labels = find(manifests, "Deployment", "m0-operator")["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "m0-operator"
    assert labels["a"] == "b"


def test_a_digest_names_the_image_with_or_without_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"

    def image(*settings: str) -> str:
        found = dict(pods(rendered(*settings)))["m0-operator"]["containers"][0]["image"]
        return str(found)

    assert image() == "m0-operator:0.1.0"
    assert image(f"image.digest={digest}") == f"m0-operator@{digest}"
    assert image(f"image.digest={digest}", "image.tag=v9") == f"m0-operator:v9@{digest}"
    assert "digest" in refused(*BROKER, "--set", "image.digest=sha256:1")


# --- accounts and rights -------------------------------------------------------------------------


def test_accounts_of_somebody_else_are_used_and_not_made(least: list[Manifest]) -> None:
    assert not {"ServiceAccount", "Role", "RoleBinding"} & set(kinds(least))
    assert dict(pods(least))["m0-operator"]["serviceAccountName"] == "theirs"
    template = json.loads(find(least, "ConfigMap", "m0-operator")["data"]["job.json"])
    assert template["serviceAccountName"] == "default"


def test_the_binding_is_for_the_account_that_the_operator_has(full: list[Manifest]) -> None:
    (subject,) = find(full, "RoleBinding", "m0-operator")["subjects"]
    assert subject["name"] == dict(pods(full))["m0-operator"]["serviceAccountName"] == "m0-prod"


def test_azures_workload_identity_needs_only_the_accounts_annotation(full: list[Manifest]) -> None:
    use = "azure.workload.identity/use"
    template = json.loads(find(full, "ConfigMap", "m0-operator")["data"]["job.json"])
    assert template["podLabels"][use] == "true"
    cron = find(full, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]
    operator = find(full, "Deployment", "m0-operator")["spec"]["template"]["metadata"]
    gateway = find(full, "Deployment", "m0-gateway")["spec"]["template"]["metadata"]
    assert cron["labels"][use] == operator["labels"][use] == "true"
    assert use not in gateway["labels"]


# --- credentials ---------------------------------------------------------------------------------


def environment(manifests: list[Manifest], name: str) -> dict[str, Any]:
    env = dict(pods(manifests))[name]["containers"][0]["env"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in env}


@pytest.mark.parametrize("name", ["m0-operator", "m0-gateway", "m0-check", "m0-sweeper"])
def test_with_another_source_no_secret_of_kubernetes_is_needed(name: str) -> None:
    manifests = render(
        OPERATOR, "--set", "secrets.source=azure,secrets.azure.secretName=m0",
        "--set", "secrets.azure.vaultUrl=https://films.vault.azure.net",
        "--set", "cache.sweeper.enabled=true,cache.sweeper.containers={az://c}",
    )  # fmt: skip
    env = environment(manifests, name)
    assert "M0_AMQP_URL" not in env
    assert env["M0_SECRETS_SOURCE"] == "azure"
    assert env["M0_SECRETS_AZURE_VAULT_URL"] == "https://films.vault.azure.net"
    template = json.loads(find(manifests, "ConfigMap", "m0-operator")["data"]["job.json"])
    assert {"name": "M0_SECRETS_SOURCE", "value": "azure"} in template["env"]


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ("secrets.source=aws", "secrets.aws.secretId=NAME-OR-ARN"),
        ("secrets.source=azure", "secrets.azure.vaultUrl=https://"),
        ("secrets.source=azure,secrets.azure.vaultUrl=https://v", "secrets.azure.secretName=NAME"),
        ("azure.existingSecret=x,azure.kind=sasToken", "azure.account=NAME"),
        ("secrets.source=vault", "secrets/source"),
        ("secrets.azure.vaultUrl=http://v", "secrets/azure/vaultUrl"),
    ],
)
def test_what_is_missing_is_named(settings: str, remedy: str) -> None:
    assert remedy in refused(*BROKER, "--set", settings)


def test_each_store_may_have_a_secret_of_its_own(full: list[Manifest]) -> None:
    template = json.loads(find(full, "ConfigMap", "m0-operator")["data"]["job.json"])
    env = {entry["name"]: entry.get("valueFrom", {}) for entry in template["env"]}
    for name, secret, key in (
        ("AWS_ACCESS_KEY_ID", "minio", "user"),
        ("AWS_SECRET_ACCESS_KEY", "minio", "password"),
        ("AWS_SESSION_TOKEN", "minio", "session"),
        ("AZURE_STORAGE_KEY", "blob", "account-key"),
    ):
        assert env[name]["secretKeyRef"] == {"name": secret, "key": key}


# --- network -------------------------------------------------------------------------------------


def policies(*settings: str) -> dict[str, Manifest]:
    found = rendered("networkPolicy.enabled=true", *settings)
    return {
        manifest["metadata"]["name"]: manifest["spec"]
        for manifest in found
        if manifest["kind"] == "NetworkPolicy"
    }


def test_there_are_none_unless_asked_for() -> None:
    assert "NetworkPolicy" not in kinds(rendered())


def ports(policy: Manifest) -> set[int]:
    return {port["port"] for rule in policy["egress"] for port in rule["ports"]}


def test_each_may_speak_to_what_it_needs_and_to_no_more() -> None:
    found = policies("graphql.url=http://backend/graphql", "s3.endpointUrl=http://s3:8333")
    assert found.keys() == {"m0-operator", "m0-gateway", "m0-jobs"}
    assert ports(found["m0-operator"]) == {53, 443, 6443, 5671, 5672, 80}
    assert ports(found["m0-gateway"]) == {53, 443, 6443, 5671, 5672}
    assert ports(found["m0-jobs"]) == {53, 443, 5671, 5672, 8333, 80}


def test_a_brokers_own_port_replaces_the_usual_ones() -> None:
    manifests = render(
        OPERATOR, "--set", "rabbitmq.url=amqps://u:p@b:5679/v,networkPolicy.enabled=true"
    )
    found = find(manifests, "NetworkPolicy", "m0-gateway")["spec"]
    assert ports(found) == {53, 443, 6443, 5679}


def reached(policy: Manifest) -> set[str]:
    """Addresses that a rule names, and those that a rule to anywhere does not except."""
    found: set[str] = set()
    for rule in policy["egress"]:
        blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
        excepted = {address for block in blocks for address in block.get("except", ())}
        if any(block["cidr"] in {"0.0.0.0/0", "::/0"} for block in blocks):
            found |= METADATA - excepted
        found |= {block["cidr"] for block in blocks}
    return found


def test_nobody_reaches_a_metadata_service() -> None:
    for name, policy in policies("secrets.source=aws,secrets.aws.secretId=x").items():
        assert not METADATA & reached(policy), name


def test_unless_their_identity_comes_from_it() -> None:
    assert reached(policies("networkPolicy.allowMetadata=true")["m0-jobs"]) >= METADATA


def test_the_policies_select_the_pods(full: list[Manifest]) -> None:
    template = json.loads(find(full, "ConfigMap", "m0-operator")["data"]["job.json"])
    components = {
        "m0-operator": find(full, "Deployment", "m0-operator")["spec"]["template"]["metadata"],
        "m0-gateway": find(full, "Deployment", "m0-gateway")["spec"]["template"]["metadata"],
        "m0-jobs": {"labels": template["podLabels"]},
    }
    for name, pod in components.items():
        selector = find(full, "NetworkPolicy", name)["spec"]["podSelector"]
        assert selector["matchLabels"].items() <= pod["labels"].items()
        for expression in selector.get("matchExpressions", ()):
            assert pod["labels"][expression["key"]] in expression["values"]


def test_nobody_calls_a_job() -> None:
    policy = policies()["m0-jobs"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy


# --- disruptions, spread, metrics, test ----------------------------------------------------------


def test_a_budget_is_there_where_there_is_something_to_spare() -> None:
    def budgets(*settings: str) -> set[str]:
        found = rendered(*settings)
        return {m["metadata"]["name"] for m in found if m["kind"] == "PodDisruptionBudget"}

    assert budgets() == {"m0-operator", "m0-gateway"}
    assert budgets("gateway.replicas=1") == {"m0-operator"}
    assert budgets("gateway.replicas=1", "gateway.autoscaling.enabled=true") == {
        "m0-operator",
        "m0-gateway",
    }
    assert budgets("gateway.replicas=2", "operator.replicas=1") == {"m0-gateway"}
    assert budgets("gateway.replicas=2", "gateway.enabled=false") == {"m0-operator"}
    assert budgets("operator.podDisruptionBudget.enabled=false") == {"m0-gateway"}


def test_a_spread_counts_the_components_own_pods(full: list[Manifest]) -> None:
    deployment = find(full, "Deployment", "m0-gateway")["spec"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == deployment["selector"]
    assert spread["topologyKey"] == "zone"


def test_a_spread_with_a_selector_keeps_it() -> None:
    one = "{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}"
    (spread,) = dict(
        pods(render(OPERATOR, *BROKER, "--set-json", json_setting(one)))
    )["m0-operator"]["topologySpreadConstraints"]  # fmt: skip
    assert spread["topologyKey"] == "a"


def json_setting(constraint: str) -> str:
    value = json.dumps([yaml.safe_load(constraint)])
    return f"operator.topologySpreadConstraints={value}"


def test_the_monitor_finds_the_service_and_the_service_the_pods(full: list[Manifest]) -> None:
    monitor = find(full, "ServiceMonitor")["spec"]
    service = find(full, "Service", "m0-operator-metrics")
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"] == "metrics"
    pod = find(full, "Deployment", "m0-operator")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] in {p["name"] for p in container["ports"]}
    assert find(full, "ServiceMonitor")["metadata"]["labels"]["release"] == "prometheus"


def test_the_check_sees_what_the_operator_sees(full: list[Manifest]) -> None:
    check, operator = (dict(pods(full))[name] for name in ("m0-check", "m0-operator"))
    own, its = environment(full, "m0-check"), environment(full, "m0-operator")
    assert its.keys() - own.keys() == {"M0_HEALTH_PORT"}
    assert {name: its[name] for name in own} == own
    assert check["volumes"] == operator["volumes"]
    assert check["serviceAccountName"] == operator["serviceAccountName"]
    assert check["containers"][0]["image"] == operator["containers"][0]["image"]


def test_the_operator_takes_the_overlay(full: list[Manifest]) -> None:
    document = json.loads(find(full, "ConfigMap", "m0-operator")["data"]["job.json"])
    template = JobTemplate.model_validate(document)
    assert [c["name"] for c in template.pod_overlay.init_containers] == ["warm"]


@pytest.mark.parametrize("key", ["hostNetwork", "containers", "securityContext"])
def test_an_overlay_that_reaches_further_is_refused_by_name(key: str) -> None:
    assert key in refused(*BROKER, "--set", f"chunker.podOverlay.{key}=true")


# --- notes ---------------------------------------------------------------------------------------


def notes(*settings: str) -> str:
    arguments = [part for text in settings for part in ("--set", text)]
    result = run_helm("install", "m0", OPERATOR, "--dry-run=client", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("NOTES:")[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["rabbitmq.existingSecret=b"], "MISSING  graphql.url"),
        (["rabbitmq.existingSecret=b"], "MISSING  credentials of the stores"),
        (["rabbitmq.url=amqp://u:hush@b/"], "WARNING  rabbitmq.url"),
        (["rabbitmq.existingSecret=b", "gateway.auth.enabled=false"], "WARNING  gateway.auth"),
        (["rabbitmq.existingSecret=b"], "get secret m0-gateway-tokens -o go-template='{{range"),
        (["rabbitmq.existingSecret=b", "operator.replicas=0"], "nothing takes requests"),
        (["secrets.source=aws", "secrets.aws.secretId=x"], "MISSING  operator.serviceAccount"),
    ],
)
def test_the_notes_name_what_is_missing(settings: list[str], said: str) -> None:
    text = notes(*settings)
    assert said in text
    assert "hush" not in text


def test_the_notes_complain_of_nothing_when_all_is_there() -> None:
    text = notes(
        "rabbitmq.existingSecret=b", "graphql.url=http://b", "stores.existingSecret=s",
        "cache.sweeper.enabled=true", "cache.sweeper.containers={s3://c}",
    )  # fmt: skip
    assert "helm -n default test m0 --logs" in text
    assert not [word for word in ("MISSING", "WARNING", "NOTE ") if word in text]
