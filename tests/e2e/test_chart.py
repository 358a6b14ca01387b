"""The chart on the real cluster: taken, checked by `helm test`, upgraded under a running Job."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from devstack import ROOT, wait_for
from release import CHART, NAME, Release, own_release, split_image

DATA = ROOT / "tests" / "data" / "charts"
PREVIOUS = DATA / "m0-operator-0.1.0.tgz"

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with own_release(tmp_path_factory.mktemp("release")) as release:
        yield release


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Release]:
    with own_release(tmp_path) as release:
        yield release


@pytest.mark.parametrize(
    "values",
    [
        ROOT / "hack/cluster/values-dev.yaml",
        DATA / "values-everything.yaml",
        DATA / "values-least.yaml",
    ],
    ids=["development", "everything", "least"],
)
def test_the_api_server_takes_every_rendering(release: Release, values: Path) -> None:
    """Monitors apart: nobody brings their definition here."""
    # That port is the deployed one's.
    free = ("--set", "gateway.service.nodePort=null")
    text = release.helm("template", NAME, CHART, "-f", values, *free).stdout
    # Of kinds that only a cluster with the Prometheus operator knows.
    strange = {"ServiceMonitor", "PrometheusRule"}
    shown = [m for m in yaml.safe_load_all(text) if m and m["kind"] not in strange]
    assert len(shown) >= 2
    for manifest in shown:
        if manifest["kind"] == "Pod":
            # A pod, unlike what makes pods, is refused when these are only in the same rendering.
            manifest["spec"] |= {"serviceAccountName": "default", "priorityClassName": ""}
    manifests = {"apiVersion": "v1", "kind": "List", "items": shown}
    flags = ("--server-side", "--force-conflicts", "--field-manager=m0-test", "--dry-run=server")
    said = release.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(manifests))
    assert len(said.splitlines()) == len(shown)


def renamed_chart(directory: Path, name: str) -> Path:
    """The chart with a definition of another name: the real one is the deployed release's."""
    chart = directory / "chart"
    shutil.copytree(CHART, chart)
    file = chart / "files" / "videochunkjobs.yaml"
    definition = yaml.safe_load(file.read_text())
    group = definition["spec"]["group"] = f"{name}.test"
    definition["metadata"]["name"] = f"{name}s.{group}"
    kind = name.capitalize()
    definition["spec"]["names"] = {
        "kind": kind, "listKind": f"{kind}List", "plural": f"{name}s", "singular": name,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(definition))
    return chart


def test_an_upgrade_brings_a_changed_definition_and_uninstalling_keeps_it(
    second: Release, tmp_path: Path
) -> None:
    name = f"film{time.time_ns()}"
    chart = renamed_chart(tmp_path, name)
    file = chart / "files" / "videochunkjobs.yaml"
    definition = yaml.safe_load(file.read_text())
    full_name = definition["metadata"]["name"]
    least = "crds.install=true,rabbitmq.existingSecret=b,operator.replicas=0"
    off = ("--set", f"{least},gateway.enabled=false,tests.enabled=false")

    def columns() -> list[str]:
        shown = json.loads(second.kubectl("get", "crd", full_name, "-o", "json"))
        return [c["name"] for c in shown["spec"]["versions"][0]["additionalPrinterColumns"]]

    def wait_served() -> None:
        second.kubectl("wait", "--for=condition=Established", f"crd/{full_name}", "--timeout=60s")

    try:
        second.helm("install", NAME, chart, *off)
        wait_served()
        assert "Test" not in columns()
        example = yaml.safe_load((ROOT / "examples" / "videochunkjob.yaml").read_text())
        example |= {"apiVersion": f"{name}.test/v1", "kind": name.capitalize()}
        wait_for(
            "the new kind to be taken",
            lambda: second.kubectl("apply", "-f", "-", stdin=json.dumps(example), check=False),
        )
        column = {"name": "Test", "type": "string", "jsonPath": ".metadata.name"}
        definition["spec"]["versions"][0]["additionalPrinterColumns"].append(column)
        file.write_text(yaml.safe_dump(definition))
        second.helm("upgrade", NAME, chart, *off)
        assert "Test" in columns()
        second.helm("uninstall", NAME)
        assert "Test" in columns()
        assert second.kubectl("get", f"{name}s.{name}.test", "-o", "name").strip()
        # What was kept is taken up again,
        second.helm("install", NAME, chart, *off)
        # by another release only when it is told so.
        said = second.helm("install", "other", chart, *off, check=False).stderr
        assert f"belongs to the release {NAME} in the namespace {second.namespace}" in said
        second.helm("uninstall", NAME)
        for line in said.splitlines():
            if line.startswith("  kubectl "):
                second.kubectl(*line.split()[1:])
        second.helm("install", "other", chart, *off)
    finally:
        second.kubectl("delete", "crd", full_name, "--ignore-not-found", "--wait=false")


def check(release: Release) -> tuple[int, list[str]]:
    """`helm test`: its exit code, and what the pod says."""
    done = release.helm("test", NAME, "--logs", "--timeout", "3m", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, [line for line in lines if line.startswith(("ok", "FAILED"))]


def test_helm_test_says_what_is_reached(release: Release) -> None:
    notes = release.install()
    assert f"helm -n {release.namespace} test" in notes
    code, lines = check(release)
    assert code == 0, lines
    assert [line.split()[1].rstrip(":") for line in lines] == [
        "job", "broker", *["queue"] * 4, "backend", "videochunkjobs.m0.sightapi.io",
    ]  # fmt: skip


def test_helm_test_says_what_is_not(release: Release) -> None:
    release.install(
        declareQueues=False,
        queues={"results": "nobody.made.this"},
        graphql={"url": "http://m0-backend:8401/graphql"},
        tests={"enabled": True},
    )
    code, lines = check(release)
    assert code != 0
    failed = [line for line in lines if line.startswith("FAILED")]
    assert len(failed) == 2, lines
    assert "queue nobody.made.this: is not there; create it, or set declareQueues" in failed[0]
    assert failed[1].startswith("FAILED  backend http://m0-backend:8401/graphql: ")


def test_only_the_operator_has_rights_and_only_these(release: Release) -> None:
    release.install()
    own = release.may("m0-operator")
    nobody = release.may("default")
    assert release.may("m0-chunker") == nobody
    door = release.may("m0-gateway")
    assert {name: verbs for name, verbs in door.items() if name not in nobody} == {
        "videochunkjobs.m0.sightapi.io": {"get", "list", "watch", "patch"},
    }
    release.install(gateway={"logs": {"enabled": True}})
    further = {k: v for k, v in release.may("m0-gateway").items() if k not in door}
    assert further == {"pods": {"list"}, "pods/log": {"get"}}
    assert {name: verbs for name, verbs in own.items() if name not in nobody} == {
        "videochunkjobs.m0.sightapi.io": {"get", "list", "watch", "create", "patch", "delete"},
        "videochunkjobs.m0.sightapi.io/status": {"patch"},
        "videochunkjobs.m0.sightapi.io/finalizers": {"update"},
        "jobs.batch": {"get", "list", "watch", "create", "patch", "delete"},
        "pods": {"get", "list", "watch"},
        "leases.coordination.k8s.io": {"create", "get", "update"},
        "events": {"create"},
        "events.events.k8s.io": {"create"},
    }  # fmt: skip


def send(release: Release, request: dict[str, Any]) -> str:
    release.publish(request, queue=release.requests)
    return f"video-{request['process_id']}"


def test_jobs_have_what_the_overlay_adds_and_do_their_work(
    release: Release, new_id: NewId, request_for: Request
) -> None:
    image = release.values()["chunker"]["image"]
    release.install(
        commonLabels={"team": "video"},
        networkPolicy={"enabled": True},
        chunker={
            "podOverlay": {
                "initContainers": [
                    {
                        "name": "first",
                        "image": f"{image['repository']}:{image['tag']}",
                        "command": ["true"],
                    }
                ],
                "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["nowhere"]}],
            }
        },
    )
    name = send(release, request_for(new_id()))
    release.wait_phase(name, "Succeeded")
    (pod,) = release.items("pods", "app.kubernetes.io/component=chunker,team=video")
    (first,) = pod["status"]["initContainerStatuses"]
    assert first["state"]["terminated"]["exitCode"] == 0
    assert pod["spec"]["initContainers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["hostAliases"]
    assert len(release.items("networkpolicies", "team=video")) == 3


def test_an_upgrade_from_the_previous_chart_leaves_a_running_job_alone(
    second: Release, new_id: NewId, request_for: Request, long_source: tuple[str, int]
) -> None:
    chunks = long_source[1] // 2
    # Today's gateway would not start under the previous chart, which says nothing of tokens.
    second.install(
        PREVIOUS,
        without=("operator",),
        image=split_image(second.deployed_image("operator")),
        gateway={"enabled": False},
    )
    request = request_for(
        new_id(), cloud_stream_path=long_source[0], video_preprocessing={"chunk_duration": 2}
    )
    name = send(second, request)
    wait_for("the first chunk", lambda: second.rows(request["process_id"]))
    (before,) = second.items("jobs", "app.kubernetes.io/component=chunker")
    second.install()
    (after,) = second.items("jobs", "app.kubernetes.io/component=chunker")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    ended = second.wait_phase(name, "Succeeded", "Failed")
    assert ended["status"]["attempts"] == 1
    assert ended["status"]["progress"]["chunks"] == chunks
    assert len(second.messages(second.results, lambda _: True)) == chunks
    shown = json.loads(second.helm("list", "-o", "json").stdout)
    assert [(r["chart"], r["revision"]) for r in shown] == [("m0-operator-0.2.0", "2")]
