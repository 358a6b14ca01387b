"""The dashboard over a real Prometheus, a trace from end to end, and that nobody says a secret."""

import json
import math
import re
import signal
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from devstack import ROOT, DevStack, wait_for
from fakes.collector import collecting
from own import OwnStack, own_stack
from prometheus import Prometheus, prometheus

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnStack]:
    with own_stack(tmp_path) as stack:
        yield stack


def dashboard() -> list[tuple[str, str]]:
    """(panel, query) of the chart's dashboard."""
    board = json.loads((ROOT / "charts/m0-operator/files/dashboard.json").read_text())
    return [
        (panel["title"], target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def test_each_query_of_the_dashboard_returns_data(
    own: OwnStack, tmp_path: Path, new_id: NewId, request_for: Request
) -> None:
    leader = own.start_leader()
    follower = own.start()
    wait_for("the second to stand by", lambda: follower.said("Standing by"))
    labels = {"namespace": own.namespace, "service": "m0-operator-metrics"}
    with prometheus(tmp_path, [leader.port, follower.port], labels) as server:
        wait_for("both to be scraped", lambda: len(server.ask("m0_leader")) == 2)
        ids = [new_id() for _ in range(2)]
        for process_id in ids:
            own.publish(request_for(process_id), queue=own.requests)
        own.publish(request_for(new_id(), destination_prefix=...), queue=own.requests)
        for process_id in ids:
            own.wait_phase(f"video-{process_id}", "Succeeded")
        empty = wait_until_full(server, own.namespace)
        assert empty == []
        (leads,) = server.ask(f'sum(m0_leader{{namespace="{own.namespace}"}})')
        assert leads["value"][1] == "1"
        # What was counted is seen at the next scrape.
        wait_for("two videos", lambda: server.ask('m0_videos_total{phase="Succeeded"} == 2'))
        wait_for("ten chunks", lambda: server.ask("m0_chunks_total == 10"))
        receipt = (own.resource(f"video-{ids[0]}") or {})["status"]["receipt"]
        assert receipt["cpu_s"] > 0
        assert receipt["bytes_out"] > 0
        assert (receipt["uploads"], receipt["rows"]) == (10, 5)
        assert receipt["retries"] == 0
        assert {"waited_s", "run_s", "bytes_read", "peak_rss_bytes"} <= receipt.keys()


def wait_until_full(server: Prometheus, namespace: str) -> list[str]:
    """The panels' queries that have no data, once there is nothing more to wait for."""

    def empty() -> list[str]:
        without = []
        for title, query in dashboard():
            text = query.replace("$namespace", namespace)
            text = text.replace("$__rate_interval", "5m").replace("$__range", "10m")
            values = [float(sample["value"][1]) for sample in server.ask(text)]
            if not values or all(math.isnan(value) for value in values):
                without.append(f"{title}: {text}")
        return without

    until = time.monotonic() + 60
    while (found := empty()) and time.monotonic() < until:
        time.sleep(1)
    return found


def test_a_trace_goes_from_the_request_to_the_chunks_messages(
    own: OwnStack, new_id: NewId, request_for: Request
) -> None:
    operator = own.start_leader()
    process_id = new_id()
    own.publish(request_for(process_id), queue=own.requests, headers={"traceparent": TRACE})
    resource = own.wait_phase(f"video-{process_id}", "Succeeded")
    assert resource["spec"]["origin"]["headers"]["traceparent"] == TRACE
    messages = own.messages(own.results, lambda m: m.process_id == process_id)
    assert {message.headers.get("traceparent") for message in messages} == {TRACE}
    wait_for("the end to be said", lambda: operator.said("Video ended"))
    about = [line for line in operator.log if line.get("process_id") == process_id]
    assert {line.get("trace_id") for line in about} == {TRACE.split("-")[1]}
    assert {"Request taken", "Video ended"} <= {line["message"] for line in about}
    (pod,) = json.loads(own.kubectl("get", "pods", "-o", "json"))["items"]
    lines = own.kubectl("logs", pod["metadata"]["name"]).splitlines()
    told = [json.loads(line) for line in lines]
    assert {line["trace_id"] for line in told} == {TRACE.split("-")[1]}
    assert {(line["process_id"], line["attempt"]) for line in told} == {(process_id, 1)}
    assert [line["chunk_id"] for line in told if line["message"] == "chunk announced"] == [
        1, 2, 3, 4, 5,
    ]  # fmt: skip


def test_operator_and_pods_record_one_trace(
    own: OwnStack, new_id: NewId, request_for: Request
) -> None:
    process_id = new_id()
    with collecting(own.address_for_pods()) as collector:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        operator = own.start_leader(own.template_with(endpoint), **endpoint)
        headers = {"traceparent": TRACE, "tracestate": "vendor=1"}
        own.publish(request_for(process_id), queue=own.requests, headers=headers)
        own.wait_phase(f"video-{process_id}", "Succeeded")
        wait_for("the video's span", lambda: collector.of("video"))
        operator.send(signal.SIGTERM)
        operator.wait()
    _, trace, caller, _ = TRACE.split("-")
    collector.assert_one_trace(trace, caller)
    publish = f"publish {own.results}"
    steps = ("cut", "upload persistent", "upload cache", "row", publish)
    assert Counter(collector.tree()) == {
        "video": 1, f"  process {own.requests}": 1, "  job": 1, "    run": 1, "      chunk": 5,
        **{f"        {step}": 5 for step in steps},
    }  # fmt: skip
    messages = own.messages(own.results, lambda m: m.process_id == process_id)
    named = [m.headers["traceparent"] for m in messages]
    assert sorted(named) == sorted(span.traceparent for span in collector.of(publish))
    assert {m.headers["tracestate"] for m in messages} == {"vendor=1"}


PATTERNS = re.compile(
    r"[?&]sig=|X-Amz-Signature|X-Amz-Credential|Authorization\W|AccountKey=|Bearer [A-Za-z0-9]",
    re.IGNORECASE,
)


def credentials(stack: DevStack) -> set[str]:
    """Every secret of the development stack, and how it looks encoded."""
    env = stack.env
    plain = {
        env["AWS_SECRET_ACCESS_KEY"],
        unquote(urlsplit(env["M0_AMQP_URL"]).password or ""),
        unquote(urlsplit(env["M0_DATABASE_URL"]).password or ""),
        *re.findall("AccountKey=([^;]+)", env["AZURE_STORAGE_CONNECTION_STRING"]),
    }
    assert all(len(secret) >= 6 for secret in plain), "too short to be looked for"
    return plain | {b64encode(secret.encode()).decode().rstrip("=") for secret in plain}


def find_secrets(text: str, secrets: set[str]) -> list[str]:
    """What must not be in it, each with a little around it but without itself."""
    found = [f"a secret after {text[max(0, text.find(s) - 60) : text.find(s)]!r}"
             for s in secrets if s in text]  # fmt: skip
    return found + [
        text[max(0, match.start() - 60) : match.start() + 20] for match in PATTERNS.finditer(text)
    ]


def test_the_scan_finds_what_it_looks_for(stack: DevStack) -> None:
    secrets = credentials(stack)
    for secret in secrets:
        assert find_secrets(f'{{"reason": "x{secret}y"}}', secrets)
    for text in ("https://a/b?sv=1&sig=x", "X-Amz-Signature=0", '"Authorization": "x"'):
        assert find_secrets(text, secrets), text
    assert find_secrets('{"message": "Video ended", "signature": "none"}', secrets) == []


ENDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Succeeded", {}),
    ("Failed", {"cloud_stream_path": "s3://spectra-forbidden/film.mp4"}),
    (
        "Failed",
        {"cloud_stream_path": "az://spectra-videos/none.mp4", "destination_prefix": "az://none/"},
    ),
    ("Failed", {"destination_prefix": ...}),
)


def provoke(own: OwnStack, new_id: NewId, request_for: Request) -> dict[str, str]:
    """A success, failures of all sorts, a broker that refuses; what the operators said."""
    operator = own.start_leader(M0_LOG_LEVEL="DEBUG")
    wrong = own.start(M0_AMQP_URL=own.env["M0_AMQP_URL"].replace("@", "x@", 1))
    names = []
    for phase, changes in ENDS:
        process_id = new_id()
        own.publish(request_for(process_id, **changes), queue=own.requests)
        names.append((f"video-{process_id}", phase))
    for name, phase in names:
        found = own.wait_phase(name, "Succeeded", "Failed")
        assert found["status"]["phase"] == phase, found["status"]
    wait_for("the dead letters", lambda: len(own.messages(own.letters, lambda _: True)) == 3)
    operator.send(signal.SIGTERM)
    operator.wait()
    wait_for("the second to lead and to be refused", lambda: wrong.said("Intake paused"))
    wrong.send(signal.SIGTERM)
    wrong.wait()
    return {f"operator {one.port}": one.log_file.read_text() for one in (operator, wrong)}


# The development servers beside them have their passwords in their manifests.
M0S = re.compile("m0-(operator|gateway|sweeper|check)|video-")


def collect(stack: DevStack, namespace: str) -> dict[str, str]:
    """All that M0 shows in a namespace, but for Secrets."""
    said = {}
    for kind in ("vcj", "jobs", "pods", "events", "configmaps", "deployments"):
        text = stack.kubectl("-n", namespace, "get", kind, "-o", "json")
        for item in json.loads(text)["items"]:
            name = item["metadata"]["name"]
            if M0S.match(name):
                said[f"{kind}/{name} of {namespace}"] = json.dumps(item)
            if M0S.match(name) and kind == "pods":
                log = stack.kubectl("-n", namespace, "logs", name, "--all-containers", check=False)
                said[f"log of {name} of {namespace}"] = log
    return said


def test_nobody_says_a_secret(
    own: OwnStack, stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    said = provoke(own, new_id, request_for)
    said |= collect(stack, own.namespace) | collect(stack, stack.namespace)
    for queue in (own.results, own.letters):
        for message in own.messages(queue, lambda _: True):
            said[f"{queue} {message.message_id}"] = f"{message.body!r} {message.headers!r}"
    assert len(said) > 20
    secrets = credentials(stack)
    found_in = {name: find_secrets(text, secrets) for name, text in said.items()}
    assert {name: found for name, found in found_in.items() if found} == {}
