"""What the charts render: safe pods, least rights, settings that the programs know."""

import json
from pathlib import Path

import pytest
import yaml
from m0_chunker.settings import Settings as ChunkerSettings
from m0_operator.domain.job_template import JobTemplate
from m0_operator.settings import GatewaySettings, OperatorSettings
from m0_wire.secrets import VARIABLES as SECRETS_VARIABLES
from pydantic import BaseModel
from unit.charts.rendering import (
    DEV_STACK,
    DEV_VALUES,
    OPERATOR,
    ROOT,
    Manifest,
    find,
    pods,
    render,
    run_helm,
)

DEV = ("-f", DEV_VALUES)
MUTATION = "createBatchChunk.graphql"


def job_template(manifests: list[Manifest]) -> Manifest:
    config = find(manifests, "ConfigMap", "m0-operator")
    document: Manifest = json.loads(config["data"]["job.json"])
    return document


def chunker_settings(template: Manifest) -> ChunkerSettings:
    """What the chunker reads of the template's plain variables."""
    return ChunkerSettings.from_environment(
        {entry["name"]: entry["value"] for entry in template["env"] if "value" in entry}
    )


@pytest.mark.parametrize(
    ("chart", "arguments"), [(OPERATOR, DEV), (DEV_STACK, ())], ids=["operator", "dev-stack"]
)
def test_helm_lint_finds_nothing(chart: Path, arguments: tuple[str, ...]) -> None:
    result = run_helm("lint", "--strict", chart, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stdout


@pytest.mark.parametrize("fixture", ["dev", "full", "least", "stack"])
def test_every_pod_meets_pod_security_restricted(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    manifests: list[Manifest] = request.getfixturevalue(fixture)
    found = pods(manifests)
    assert found
    for name, pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        # Services named m0-… would otherwise become variables named M0_…, which are settings.
        assert pod["enableServiceLinks"] is False, name
        for volume in pod["volumes"]:
            assert not volume.keys() & {"hostPath", "nfs"}, name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
            assert ("readinessProbe" in container) == (name not in {"m0-sweeper", "m0-check"})


def test_only_operator_and_gateway_have_a_token_and_rights(dev: list[Manifest]) -> None:
    tokens = {name: pod["automountServiceAccountToken"] for name, pod in pods(dev)}
    assert tokens == {
        "m0-operator": True,
        "m0-check": True,
        "m0-gateway": True,
        "m0-sweeper": False,
    }
    assert not [m for m in dev if m["kind"] in {"ClusterRole", "ClusterRoleBinding"}]
    for name in ("m0-operator", "m0-gateway"):
        binding = find(dev, "RoleBinding", name)
        assert [subject["name"] for subject in binding["subjects"]] == [name]
        for rule in find(dev, "Role", name)["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert not {"secrets", "configmaps", "pods/exec"} & set(rule["resources"])
    assert len([m for m in dev if m["kind"] in {"Role", "RoleBinding"}]) == 4


@pytest.mark.parametrize("fixture", ["dev", "full"])
def test_the_operator_takes_the_job_template(fixture: str, request: pytest.FixtureRequest) -> None:
    document = job_template(request.getfixturevalue(fixture))
    template = JobTemplate.model_validate(document)
    assert template.image.startswith("m0-chunker")
    assert template.service_account_name == "m0-chunker"


def test_the_jobs_get_everything_that_was_given(full: list[Manifest]) -> None:
    template = job_template(full)
    assert template["affinity"] == {"nodeAffinity": {}}
    assert template["podLabels"]["kueue.x-k8s.io/queue-name"] == "videos"
    assert {mount["mountPath"] for mount in template["extraVolumeMounts"]} == {
        "/ca",
        "/etc/m0/graphql",
    }
    env = {entry["name"]: entry for entry in template["env"]}
    assert env["M0_X264_PRESET"]["value"] == "slow"
    settings = chunker_settings(template)
    assert (settings.uploads, settings.tail_fraction, settings.salvage) == (5, 0.25, True)
    assert (settings.max_duration_hours, settings.max_chunks) == (1.5, 2_000_000)
    assert (settings.max_pixels, settings.max_streams, settings.stall_s) == (33_177_600, 7, 45)
    assert env["M0_AMQP_URL"]["valueFrom"]["secretKeyRef"] == {
        "name": "m0-broker",
        "key": "amqp-url",
    }
    assert find(full, "ConfigMap", "m0-graphql")["data"] == {MUTATION: "mutation { x }"}


def test_what_is_not_given_is_as_the_chunker_has_it(dev: list[Manifest]) -> None:
    template = job_template(dev)
    given, own = chunker_settings(template), ChunkerSettings()
    names = {entry["name"] for entry in template["env"]}
    cutting = ("uploads", "tail_fraction", "salvage", "stall_s")
    limits = tuple(name for name in ChunkerSettings.model_fields if name.startswith("max_"))
    assert len(limits) == 4
    for name in (*cutting, *limits):
        assert f"M0_{name.upper()}" in names
        assert getattr(given, name) == getattr(own, name), name


def test_jobs_and_sweeper_reach_the_stores_alike(full: list[Manifest]) -> None:
    (container,) = dict(pods(full))["m0-sweeper"]["containers"]
    template = job_template(full)
    wanted = {
        "M0_S3_ENDPOINT_URL": "https://s3",
        "M0_S3_ADDRESSING_STYLE": "virtual",
        "M0_S3_SSE": "aws:kms",
        "M0_S3_SSE_KMS_KEY_ID": "key",
        "M0_S3_REQUESTER_PAYS": "true",
        "M0_CACHE_TAGGING": "false",
        "M0_CACHE_TTL_HOURS": "24",
        "AZURE_STORAGE_ACCOUNT": "films",
    }
    for place in (container, template):
        env = {entry["name"]: entry.get("value") for entry in place["env"]}
        assert wanted.items() <= env.items()
        assert {"secretRef": {"name": "stores"}} in place["envFrom"]
        assert "/ca" in {
            mount["mountPath"]
            for mount in (*place.get("volumeMounts", []), *place.get("extraVolumeMounts", []))
        }


def test_the_sweeper_has_no_token_and_sweeps_what_is_named(full: list[Manifest]) -> None:
    pod = dict(pods(full))["m0-sweeper"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "m0-chunker"
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"] == ["m0-chunker"]
    assert container["args"] == ["sweep", "--lifecycle", "s3://cache", "az://cache"]
    assert "M0_AMQP_URL" not in {entry["name"] for entry in container["env"]}
    cron = find(full, "CronJob")
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    labels = cron["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert labels["azure.workload.identity/use"] == "true"


def test_the_sweeper_is_off_until_it_is_asked_for() -> None:
    broker = ("--set", "rabbitmq.existingSecret=broker")
    manifests = render(OPERATOR, *broker)
    assert not [manifest for manifest in manifests if manifest["kind"] == "CronJob"]
    result = run_helm("template", "m0", OPERATOR, *broker, "--set", "cache.sweeper.enabled=true")
    assert "cache.sweeper.containers={s3://BUCKET}" in result.stderr


def names(model: type[BaseModel]) -> set[str]:
    return {f"M0_{field.upper()}" for field in model.model_fields}


@pytest.mark.parametrize("fixture", ["dev", "full"])
def test_every_variable_is_a_setting_of_its_program(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    manifests = request.getfixturevalue(fixture)
    programs = dict(pods(manifests))
    everywhere = set(SECRETS_VARIABLES)
    environments: list[tuple[list[Manifest], type[BaseModel]]] = [
        (programs["m0-operator"]["containers"][0]["env"], OperatorSettings),
        (programs["m0-check"]["containers"][0]["env"], OperatorSettings),
        (programs["m0-gateway"]["containers"][0]["env"], GatewaySettings),
        (job_template(manifests)["env"], ChunkerSettings),
    ]
    if fixture == "full":
        environments.append((programs["m0-sweeper"]["containers"][0]["env"], ChunkerSettings))
    for env, model in environments:
        given = {e["name"] for e in env if e["name"].startswith("M0_")}
        # The last one is only heard by the images' target for tests.
        unknown = given - names(model) - everywhere - {"M0_CRASH_URL"}
        assert not unknown, f"{model.__module__} has no setting for {unknown}"


def test_secrets_are_only_referred_to(dev: list[Manifest]) -> None:
    assert not [manifest for manifest in dev if manifest["kind"] == "Secret"]
    assert "m0-dev-password" not in json.dumps(dev)


def test_a_changed_job_template_rolls_the_operator() -> None:
    def checksum(*arguments: str) -> str:
        deployment = find(render(OPERATOR, *DEV, *arguments), "Deployment", "m0-operator")
        text: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return text

    assert checksum() == checksum()
    assert checksum() != checksum("--set", "chunker.backoffLimit=7")


def test_without_a_broker_it_says_what_to_give() -> None:
    result = run_helm("template", "m0", OPERATOR)
    assert result.returncode != 0
    assert "--set rabbitmq.existingSecret=NAME" in result.stderr


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("maxActivJobs=3", "maxActivJobs"),
        ("chunker.memory=3", "memory"),
        ("chunker.limits.hours=3", "hours"),
        ("chunker.limits.chunks=0", "limits/chunks"),
        ("chunker.tailFraction=1", "tailFraction"),
        ("chunker.uploads=17", "uploads"),
        ("chunker.salvage=perhaps", "salvage"),
        ("chunker.stallSeconds=0", "stallSeconds"),
        ("maxActiveJobs=0", "maxActiveJobs"),
        ("handedOverStatus=DONE", "handedOverStatus"),
        ("cache.sweeper.containers={s3://a/b}", "containers"),
        ("s3.sse=rot13", "sse"),
        ("graphql.url=backend:8400", "graphql/url"),
        ("graphql.documents.createChunk=x", "createChunk"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting: str, complaint: str) -> None:
    result = run_helm("template", "m0", OPERATOR, *DEV, "--set", setting)
    assert result.returncode != 0
    assert complaint in result.stderr


def test_upgrading_brings_the_definition_and_uninstalling_keeps_it(dev: list[Manifest]) -> None:
    rendered = find(dev, "CustomResourceDefinition")
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    source = yaml.safe_load((ROOT / "crds" / "videochunkjobs.yaml").read_text())
    assert rendered["spec"] == source["spec"]
    without = render(OPERATOR, *DEV, "--set", "crds.install=false")
    assert not [m for m in without if m["kind"] == "CustomResourceDefinition"]


def test_names_do_not_repeat_the_word_operator() -> None:
    result = run_helm("template", "m0-operator", OPERATOR, *DEV)
    found = [m for m in yaml.safe_load_all(result.stdout) if m]
    assert {m["metadata"]["name"] for m in found if m["kind"] == "Deployment"} == {
        "m0-operator",
        "m0-gateway",
    }


def test_the_dev_stack_keeps_to_its_fixed_names_and_ports(stack: list[Manifest]) -> None:
    services = {
        manifest["metadata"]["name"]: {
            port["port"]: port["nodePort"] for port in manifest["spec"]["ports"]
        }
        for manifest in stack
        if manifest["kind"] == "Service"
    }
    assert services == {
        "m0-rabbitmq": {5672: 30672, 15672: 30156},
        "m0-s3": {8333: 30833},
        "m0-azurite": {10000: 30100},
        "m0-postgres": {5432: 30432},
        "m0-backend": {8400: 30400},
    }


def test_the_dev_stack_has_the_contracts_queues_and_no_others(stack: list[Manifest]) -> None:
    secret = find(stack, "Secret", "m0-dev-rabbitmq")
    queues = json.loads(secret["stringData"]["definitions.json"])["queues"]
    assert {queue["name"]: queue["arguments"] for queue in queues} == {
        "M0_PRIORITY_QUEUE": {"x-max-priority": 10},
        "M0_RESULTS_QUEUE": {},
        "M0_DEADLETTER_QUEUE": {},
    }
    assert all(queue["durable"] for queue in queues)


def test_the_stores_secret_holds_only_names_of_variables(stack: list[Manifest]) -> None:
    assert find(stack, "Secret", "m0-dev-stores")["stringData"].keys() == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "AZURE_STORAGE_CONNECTION_STRING",
    }
