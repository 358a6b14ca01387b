"""`m0` and videos, beside the cluster and through the gateway."""

import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fakes.letters import Message
from fakes.videos import build_video, final
from m0_operator.cli.errors import CliError
from m0_operator.cli.gateway import GatewayRoom
from m0_operator.cli.where import Where
from m0_operator.domain.views import build_view
from m0_operator.errors import ClusterForbiddenError, ClusterUnavailableError
from m0_operator.services.jobs import Change
from m0_operator.services.pod_logs import LogPart
from m0_wire.errors import BrokerUnavailableError

from .conftest import request_body
from .rooms import Home

Capture = pytest.CaptureFixture[str]
FLAGS = ("--id", 101, "--source", "s3://films/film.mp4", "--cache", "c", "--chunk-duration", 60)
META = {"name": "video-101", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}


@pytest.fixture(params=[False, True], ids=["cluster", "gateway"])
def home(request: pytest.FixtureRequest) -> Home:
    return Home(through_gateway=request.param)


@pytest.fixture
def near() -> Home:
    return Home()


def test_the_table_has_what_kubectl_shows_and_no_colour_when_piped(
    home: Home, capsys: Capture
) -> None:
    home.store.put(build_video(101, phase="Running", progress={"percent": "40%", "chunks": 2}))
    home.store.put(build_video(102, **final("SOURCE_NOT_FOUND")))
    assert home.run("get") == 0
    out = capsys.readouterr().out
    first, running, failed = (line.split() for line in out.splitlines())
    assert first[:4] == ["NAME", "PHASE", "PROGRESS", "CHUNKS"]
    assert running[:6] == ["video-101", "Running", "40%", "2", "batch", "5"]
    assert failed[:2] == ["video-102", "Failed"]
    assert "\x1b" not in out
    assert home.run("get", "-o", "wide") == 0
    assert "SOURCE_NOT_FOUND" in capsys.readouterr().out


def test_each_form_of_one_and_of_many(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, phase="Running"))
    home.store.put(build_video(102, phase="Running"))
    assert home.run("get", "101", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["process_id"] == 101
    assert home.run("get", "-o", "yaml") == 0
    items = yaml.safe_load(capsys.readouterr().out)["items"]
    assert [item["name"] for item in items] == ["video-101", "video-102"]
    assert home.run("get", "-o", "name") == 0
    names = capsys.readouterr().out.split()
    assert names[0] == "videochunkjobs.m0.sightapi.io/video-101"
    assert home.run("get", names[0], "-o", "name") == 0, "a name is taken as it is given"


def test_a_text_as_process_id_is_found_by_its_text_and_by_its_name(
    near: Home, capsys: Capture
) -> None:
    video = build_video("a b", phase="Running")
    near.store.put(video)
    assert near.run("get", "a b", "-o", "name") == 0
    assert near.run("get", video["metadata"]["name"], "-o", "name") == 0
    assert len(set(capsys.readouterr().out.split())) == 1


def test_a_filter_leaves_out_and_says_when_nothing_is_left(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, **final("KILLED")))
    home.store.put(build_video(102, **final()))
    assert home.run("get", "--phase", "Failed", "--code", "killed", "-o", "name") == 0
    assert capsys.readouterr().out.split() == ["videochunkjobs.m0.sightapi.io/video-101"]
    assert home.run("get", "--since", "1s") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "no videos like that\n")
    assert home.run("get", "--since", "soon") == 2


def test_one_that_is_not_there(home: Home, capsys: Capture) -> None:
    for command in ("get", "describe", "watch", "stop", "retry"):
        assert home.run(command, "4711") == 3, command
        assert "there is no video 4711" in capsys.readouterr().err


def test_a_cluster_that_is_away_or_forbids(home: Home, capsys: Capture) -> None:
    home.store.error = ClusterUnavailableError("Kubernetes API: refused")
    assert home.run("get") == 4
    assert "Traceback" not in capsys.readouterr().err
    if not home.through_gateway:
        home.store.error = ClusterForbiddenError("HTTP 403: no")
        assert home.run("get") == 5
        assert "does not let you" in capsys.readouterr().err


def test_flags_become_a_request_and_defaults_fill_it(home: Home, capsys: Capture) -> None:
    assert home.run("submit", *FLAGS, "--priority", 7, "--width", 640) == 0
    (body, priority) = home.queue.published[0]
    assert priority == 7
    sent = json.loads(body)
    assert "priority" not in sent
    assert sent["destination_prefix"] == "processed/101/"
    assert sent["inference_modality"] == "batch"
    assert b'"chunk_duration":60,' in body
    assert sent["video_preprocessing"] == {"chunk_duration": 60, "width": 640}
    assert "priority 7" in capsys.readouterr().out


def test_a_file_goes_out_byte_for_byte(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(request_body(101))
    assert home.run("submit", "-f", file) == 0
    assert home.queue.published == [(request_body(101), 0)]


@pytest.mark.parametrize("kind", ["request", "resource"])
def test_yaml_and_a_resource_are_taken_too(home: Home, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "request.yaml"
    examples = Path(__file__).parents[3] / "examples"
    if kind == "request":
        file.write_text(yaml.safe_dump(json.loads(request_body(101))))
    else:
        file.write_text((examples / "videochunkjob.yaml").read_text())
    assert home.run("submit", "-f", file, "--id", "103") == 0
    assert json.loads(home.queue.published[0][0])["process_id"] == 103


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{]", "neither JSON nor YAML"),
        (b"[1]", "holds no request"),
        (b"\x81\x82", "neither JSON nor YAML"),
        (b"{}", "process_id"),
        (b'{"kind": "VideoChunkJob", "spec": {}}', "spec.processId"),
        (b'{"kind": "VideoChunkJob"}', "spec"),
        (b"x" * 300_000, "at most"),
    ],
    ids=["broken", "array", "bytes", "empty", "bad resource", "no spec", "large"],
)
def test_a_bad_file_is_told_in_words(
    near: Home, tmp_path: Path, capsys: Capture, content: bytes, words: str
) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(content)
    assert near.run("submit", "-f", file) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "bug" not in err
    assert near.run("submit", "-f", tmp_path / "none.json") == 2
    assert "No such file" in capsys.readouterr().err


def test_a_missing_field_names_its_flag(near: Home, capsys: Capture) -> None:
    assert near.run("submit", "--id", "101", "--source", "s3://films/film.mp4") == 2
    err = capsys.readouterr().err
    assert "--cache" in err
    assert "--chunk-duration" in err


def test_a_broker_that_is_away(home: Home, capsys: Capture) -> None:
    home.queue.error = BrokerUnavailableError("nobody there")
    assert home.run("submit", *FLAGS) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_a_dry_run_sends_nothing(near: Home, capsys: Capture) -> None:
    assert near.run("submit", *FLAGS, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["process_id"] == 101
    assert near.queue.published == []


def test_direct_makes_the_resource_once(near: Home, capsys: Capture) -> None:
    assert near.run("submit", *FLAGS, "--direct") == 0
    spec = near.store.resources["video-101"]["spec"]
    assert spec["processId"] == 101
    assert "origin" not in spec
    assert near.queue.published == []
    assert near.run("submit", *FLAGS, "--direct") == 5
    assert "there is one already" in capsys.readouterr().err
    assert near.run("submit", *FLAGS, "--direct", "--priority", 3) == 2


def test_a_watch_says_each_change_once_and_ends_as_the_video_does(
    home: Home, capsys: Capture
) -> None:
    home.store.put(build_video(101, phase="Queued"))
    home.store.script = [
        ("video-101", {"phase": "Running", "progress": {"percent": "50%", "chunks": 1}}),
        ("video-101", {"phase": "Running", "attempts": 1}),
        ("video-101", final()),
    ]
    assert home.run("watch", "101") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "video-101 Queued",
        "video-101 Running 50% 1 chunks",
        "video-101 Succeeded 50% 1 chunks",
    ]


def test_a_watch_bears_that_the_cluster_is_away_for_a_while(
    near: Home, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m0_operator.cli.watching.RETRY_S", 0)
    near.store.put(build_video(101, phase="Running"))
    near.store.script = [("video-101", {"attempts": 1}), ("video-101", final())]
    watch, asked = near.store.watch, []

    async def broken(name: str, version: str) -> AsyncGenerator[Change, None]:
        asked.append(version)
        if len(asked) == 2:
            raise ClusterUnavailableError("gone")
        async for change in watch(name, version):
            yield change

    near.store.watch = broken  # type: ignore[method-assign]
    assert near.run("watch", "101") == 0
    said = capsys.readouterr()
    assert said.err.count("trying again") == 1
    assert said.out.splitlines()[-1] == "video-101 Succeeded"


async def test_a_stream_that_breaks_off_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("m0_operator.cli.gateway.RECONNECT_S", 0)
    views = [
        build_view({**build_video(101, **status), "metadata": META | {"resourceVersion": version}})
        for version, status in (("5", {"phase": "Running"}), ("6", final()))
    ]
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, text=views[0].model_dump_json())
        last = request.headers.get("last-event-id")
        seen.append(last)
        view = views[1] if last else views[0]
        text = f"id: {view.resource_version}\nevent: status\ndata: {view.model_dump_json()}\n\n"
        return httpx.Response(200, text=text + ("event: end\ndata: {}\n\n" if last else ""))

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://g") as client:
        room = GatewayRoom(client, Where(gateway="http://g"))
        phases = [update.view.phase async for update in room.follow("101")]
    assert phases == ["Running", "Succeeded"]
    assert seen == [None, "5"]


def test_submit_and_watch_of_one_that_fails(home: Home, capsys: Capture) -> None:
    async def publish(body: bytes, **more: Any) -> None:
        del body, more
        home.store.put(build_video(101, phase="Queued"))
        home.store.script = [("video-101", final("NOT_MEDIA"))]

    home.queue.publish = publish  # type: ignore[method-assign]
    assert home.run("submit", *FLAGS, "--watch") == 1
    assert "video-101 Failed NOT_MEDIA: why" in capsys.readouterr().out


def test_without_rich_a_terminal_gets_lines(
    near: Home, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M0's own image goes without it."""
    monkeypatch.setattr("m0_operator.cli.watching.is_terminal", lambda: True)
    monkeypatch.setitem(sys.modules, "rich", None)
    near.store.put(build_video(101, **final()))
    assert near.run("watch", "101") == 0
    assert capsys.readouterr().out == "video-101 Succeeded\n"


def test_a_watch_gives_up_when_time_is_up(near: Home, capsys: Capture) -> None:
    assert near.run("submit", *FLAGS, "--watch", "--timeout", 0.2) == 6
    assert "it goes on all the same" in capsys.readouterr().err


def test_a_watch_in_json_is_a_line_for_each_change(near: Home, capsys: Capture) -> None:
    near.store.put(build_video(101, **final()))
    assert near.run("watch", "101", "-o", "json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["phase"] == "Succeeded"


def test_a_process_id_of_another_film_is_not_sent(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, **final()))
    flags = ("--id", 101, "--source", "s3://films/b.mp4", "--cache", "c", "--chunk-duration", 60)
    assert home.run("submit", *flags, "--watch") == 5
    assert "another video" in capsys.readouterr().err
    assert home.queue.published == []


def test_describe_says_what_why_and_what_to_do(home: Home, capsys: Capture) -> None:
    home.store.put(
        build_video(
            101,
            **final("SOURCE_NOT_FOUND"),
            jobRef={"name": "job-1"},
            startedAt="2026-01-01T00:00:05Z",
            acceptedAt="2026-01-01T00:00:01Z",
            integrity={
                "packets_in": 3,
                "packets_out": 3,
                "bytes_out": 2048,
                "notes": ["odd"],
                "streams": [{"kind": "video", "in": 3, "out": 3}],
            },
            receipt={"cpu_s": 0.5},
        )
    )
    home.store.events = [
        {
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
            "involvedObject": {"kind": "Job", "name": "job-1"},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": "no room",
            "count": 3,
        }
    ]
    assert home.run("describe", "101") == 0
    out = capsys.readouterr().out
    for words in (
        "failed in the stage source",
        "SOURCE_NOT_FOUND: why",
        "What to do:    do this",
        "m0 retry 101",
        "DeadLettered",
        "packets: 3 in, 3 out: every one is there once",
        "video: 3 in, 3 out",
        "bytes_out: 2.0 KiB",
        "note: odd",
        "cpu_s: 0.5",
        "letter-1",
        "started   2026-01-01T00:00:05Z  +4s",
    ):
        assert words in out, words
    assert "\x1b" not in out
    if not home.through_gateway:
        assert "FailedCreate Job/job-1: no room (x3)" in out
    assert home.run("describe", "101", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["failure"]["remedy"] == "do this"


def test_describe_reads_whatever_the_cluster_lets_in(near: Home) -> None:
    near.store.put(build_video(101))
    assert near.run("describe", "101") == 0


# ── Control ───────────────────────────────────────────────────────────────────


def test_stop_and_one_that_has_ended(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, phase="Running"))
    home.store.put(build_video(102, **final()))
    assert home.run("stop", "101", "102") == 5, "the worst of them"
    said = capsys.readouterr()
    assert said.out == "video-101 is being stopped\n"
    assert "102" in said.err
    assert home.store.patches == [("video-101", {"stop": True})]


def test_suspend_and_resume(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, phase="Running"))
    home.store.put(build_video(102, **final()))
    assert home.run("suspend", "video-101") == 0
    assert home.run("resume", "101", "-o", "name") == 0
    assert [spec for _, spec in home.store.patches] == [{"suspend": True}, {"suspend": False}]
    assert capsys.readouterr().out.splitlines()[0] == "video-101 is suspended"
    assert home.run("suspend", "102") == 5
    assert home.run("resume", "999") == 3


def test_what_the_gateway_does_not_do_says_so(capsys: Capture) -> None:
    home = Home(through_gateway=True)
    assert home.run("submit", *FLAGS, "--direct") == 2
    assert "needs a kubeconfig" in capsys.readouterr().err


def test_retry_replays_the_dead_letter(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, **final("KILLED")))
    home.letters.letters.append(Message(request_body(101), {}, 4, "m0-failed-uid-101"))
    assert home.run("retry", "101") == 0
    assert "is replayed" in capsys.readouterr().out
    (sent,) = home.letters.requests
    assert (sent.body, sent.priority, sent.message_id) == (
        request_body(101),
        4,
        "m0-failed-uid-101",
    )


def test_retry_without_a_letter_sends_the_request_again(near: Home, capsys: Capture) -> None:
    import base64  # noqa: PLC0415

    video = build_video(101, **final("KILLED"))
    video["spec"]["origin"] = {
        "body": base64.b64encode(request_body(101)).decode(),
        "headers": {},
        "priority": 6,
    }
    near.store.put(video)
    assert near.run("retry", "101") == 0
    assert "its dead letter is gone" in capsys.readouterr().out
    assert near.queue.published == [(request_body(101), 6)]


def test_only_what_has_failed_is_run_again(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, phase="Running"))
    home.store.put(build_video(102, **final()))
    home.store.put(build_video(103, phase="Failed", failure={"code": "KILLED"}))
    for number, words in ((101, "Running"), (102, "succeeded"), (103, "not all were told")):
        assert home.run("retry", number) == 5
        assert words in capsys.readouterr().err


def test_retry_and_watch_means_the_next_one_not_the_old(near: Home, capsys: Capture) -> None:
    near.store.put(build_video(101, **final("KILLED")))
    near.letters.letters.append(Message(request_body(101), {}, 4, "m0-failed-uid-101"))
    fetch, looks = near.store.fetch_resource, []

    async def replaced(name: str) -> dict[str, Any] | None:
        """The operator takes a while: after the replay the old one is there for two looks."""
        looks.extend(near.letters.requests)
        if len(looks) == 3:
            new = build_video(101, **final())
            new["metadata"]["uid"] = "uid-2"
            near.store.put(new)
        return await fetch(name)

    near.store.fetch_resource = replaced  # type: ignore[method-assign]
    assert near.run("retry", "101", "--watch", "--timeout", 5) == 0
    assert capsys.readouterr().out == "video-101 Succeeded\n"


def test_logs_of_the_pods(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, phase="Succeeded", jobRef={"name": "job-1"}))
    assert home.run("logs", "101") == 3
    said = capsys.readouterr().err
    assert "no pod any more" in said
    assert "`m0 describe`" in said
    home.store.write("pod-1", "one", "", "three", phase="Failed")
    home.store.write("pod-2", "── not ours", phase="Succeeded")
    assert home.run("logs", "101", "--tail", 2) == 0
    said = capsys.readouterr()
    assert [line.strip() for line in said.out.splitlines()] == ["", "three", "── not ours"]
    assert said.err.splitlines() == ["── pod-1", "── pod-2"]
    assert home.run("logs", "101", "-f") == 0
    assert capsys.readouterr().out.startswith("one\n\nthree\n")


def test_logs_that_may_not_be_read(home: Home, capsys: Capture) -> None:
    home.store.put(build_video(101, phase="Running"))
    home.store.put(build_video(102, phase="Running", jobRef={"name": "job-1"}))
    assert home.run("logs", "101") == 3
    assert "no pod yet" in capsys.readouterr().err
    home.store.log_error = ClusterForbiddenError("pods is forbidden")
    assert home.run("logs", "102") == 5
    said = capsys.readouterr().err
    assert ("gateway.logs.enabled" in said) is home.through_gateway


async def test_a_log_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    text = '── pod-1\n{"a": 1}\ntwo\n── ended here, after 64 MiB: ask for the tail\n'

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["tail"] == "5"
        return httpx.Response(200, text=text)

    view = build_view({**build_video(101, phase="Running"), "metadata": META})
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://g") as client:
        room = GatewayRoom(client, Where(gateway="http://g"))
        parts = room.logs(view, follow=False, tail=5)
        assert await anext(parts) == LogPart("pod-1", ('{"a": 1}', "two"))
        with pytest.raises(CliError, match="the log ended here, after 64 MiB"):
            await anext(parts)
