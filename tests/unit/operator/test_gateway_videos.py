"""The REST door's view of the videos."""

import httpx
import pytest
from fakes.videos import FakeVideoStore, build_video, final
from m0_operator.errors import ClusterUnavailableError
from m0_wire.errors import BrokerUnavailableError

from .conftest import request_body
from .doors import Door, FakeProbe

JOBS = "/api/v1/jobs"


@pytest.fixture
def door() -> Door:
    return Door(
        store=FakeVideoStore(
            build_video(101, phase="Running"),
            build_video(102, **final("SOURCE_NOT_FOUND")),
            build_video(103, **final()),
            build_video("a/b %2F?", phase="Running"),
        )
    )


@pytest.fixture
def client(door: Door) -> httpx.AsyncClient:
    return door.client()


async def test_a_list_by_phase_and_code_in_pages(client: httpx.AsyncClient) -> None:
    answer = await client.get(JOBS, params={"phase": ["Failed", "Succeeded"], "limit": 1})
    assert answer.status_code == 200
    assert [item["process_id"] for item in answer.json()["items"]] == [102]
    token = answer.json()["continue"]
    answer = await client.get(
        JOBS, params={"phase": ["Failed", "Succeeded"], "limit": 1, "continue": token}
    )
    assert [item["process_id"] for item in answer.json()["items"]] == [103]
    answer = await client.get(JOBS, params={"code": "SOURCE_NOT_FOUND"})
    assert [item["failure_code"] for item in answer.json()["items"]] == ["SOURCE_NOT_FOUND"]
    assert answer.json()["continue"] is None
    answer = await client.get(JOBS, params={"since": "2027-01-01T00:00:00"})
    assert answer.json()["items"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phase", "Lost"),
        ("modality", "film"),
        ("code", "NO_SUCH"),
        ("limit", "0"),
        ("limit", "many"),
        ("since", "yesterday"),
        ("continue", "nonsense"),
    ],
)
async def test_a_bad_parameter_is_named(client: httpx.AsyncClient, name: str, value: str) -> None:
    answer = await client.get(JOBS, params={name: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].split(".")[0] == name
    assert answer.json()["errors"][0]["message"]


async def test_a_token_that_is_too_old(client: httpx.AsyncClient, door: Door) -> None:
    token = (await client.get(JOBS, params={"limit": 1})).json()["continue"]
    door.store.forget()
    answer = await client.get(JOBS, params={"limit": 1, "continue": token})
    assert (answer.status_code, answer.json()["code"]) == (410, "EXPIRED")


async def test_one_in_full(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{JOBS}/102")
    assert answer.json()["failure"]["remedy"] == "do this"
    assert answer.json()["lineage"] == ["letter-1"]
    assert answer.headers["cache-control"] == "no-store"


async def test_any_id_can_be_named_in_a_path(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{JOBS}/a%2Fb%20%252F%3F")
    assert answer.json()["process_id"] == "a/b %2F?"
    assert (await client.get(f"{JOBS}/%22101%22")).status_code == 404
    answer = await client.patch(f"{JOBS}/a%2Fb%20%252F%3F", json={"suspend": True})
    assert answer.status_code == 200
    assert (await client.delete(f"{JOBS}/a%2Fb%20%252F%3F")).status_code == 202


@pytest.mark.parametrize("path", ["999", "x%00y", "%FF", "x" * 3000, "%", "101/"])
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"{JOBS}/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "NOT_FOUND"


async def test_stopping_is_accepted_again_and_again(client: httpx.AsyncClient, door: Door) -> None:
    for _ in range(2):
        answer = await client.delete(f"{JOBS}/101")
        assert (answer.status_code, answer.json()["status"]) == (202, "STOPPING")
        assert "not deleted" in answer.json()["message"]
    assert door.store.patches == [("video-101", {"stop": True})]
    door.store.set_status("video-101", **final("STOPPED"))
    assert (await client.delete(f"{JOBS}/101")).json()["status"] == "STOPPED"
    assert (await client.get(f"{JOBS}/101")).json()["phase"] == "Stopped"


async def test_held_back_and_let_go_on(client: httpx.AsyncClient, door: Door) -> None:
    for wish in (True, True, False):
        answer = await client.patch(f"{JOBS}/101", json={"suspend": wish})
        assert (answer.status_code, answer.json()["suspended"]) == (200, wish)
        assert (await client.get(f"{JOBS}/101")).json() == answer.json()
    assert door.store.patches == [
        ("video-101", {"suspend": True}),
        ("video-101", {"suspend": True}),
        ("video-101", {"suspend": False}),
    ]
    answer = await client.patch(f"{JOBS}/102", json={"suspend": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "ENDED")
    assert (await client.patch(f"{JOBS}/7", json={"suspend": True})).status_code == 404


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "INVALID_JSON", ""),
        (b"{]", "INVALID_JSON", ""),
        (b"[]", "INVALID_REQUEST", ""),
        (b"{}", "INVALID_REQUEST", "suspend"),
        (b'{"suspend": "yes"}', "INVALID_REQUEST", "suspend"),
        (b'{"suspend": null}', "INVALID_REQUEST", "suspend"),
        (b'{"suspend": true, "stop": true}', "INVALID_REQUEST", "stop"),
    ],
)
async def test_a_wish_that_is_none_changes_nothing(
    client: httpx.AsyncClient, door: Door, body: bytes, code: str, field: str
) -> None:
    answer = await client.patch(f"{JOBS}/101", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [item["field"] for item in answer.json()["errors"]] == [field]
    assert (await client.patch(f"{JOBS}/101", content=b" " * 300_000)).status_code == 413
    assert door.store.patches == []


@pytest.mark.parametrize("number", [102, 103])
async def test_what_has_ended_cant_be_stopped(client: httpx.AsyncClient, number: int) -> None:
    answer = await client.delete(f"{JOBS}/{number}")
    assert (answer.status_code, answer.json()["code"]) == (409, "ENDED")


@pytest.mark.parametrize("path", ["", "/101", "/101/events"])
async def test_a_cluster_that_is_away_keeps_nobody_from_queueing(
    client: httpx.AsyncClient, door: Door, path: str
) -> None:
    door.store.error = ClusterUnavailableError("https://10.0.0.1:6443 is away")
    answer = await client.get(JOBS + path)
    assert (answer.status_code, answer.json()["code"]) == (503, "KUBERNETES_UNREACHABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert "10.0.0.1" not in answer.text
    assert (await client.delete(f"{JOBS}/101")).status_code == 503
    assert (await client.post("/api/v1/process_video", content=request_body())).status_code == 200


async def test_a_broker_that_is_away_keeps_nobody_from_looking(
    client: httpx.AsyncClient, door: Door
) -> None:
    door.queue.error = BrokerUnavailableError("away")
    assert (await client.get(JOBS)).status_code == 200


async def test_health_tells_of_the_cluster_and_readiness_does_not() -> None:
    client = Door(probe=FakeProbe()).client()
    health = (await client.get("/health")).json()
    assert health["dependencies"] == {"rabbitmq": "ok", "queue": "ok", "kubernetes": "unavailable"}
    assert health["status"] == "degraded"
    assert (await client.get("/readyz")).status_code == 200


async def test_a_bug_is_a_problem_without_its_innards(
    client: httpx.AsyncClient, door: Door
) -> None:
    door.store.error = ZeroDivisionError("innards")
    answer = await client.get(JOBS)
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
    assert "innards" not in answer.text


async def test_unknown_paths_and_methods_are_problems_too(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    answer = await client.put("/api/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET"


async def test_pages_of_other_sites_may_not_look_unless_they_are_named() -> None:
    asking = {"origin": "https://ui.example", "access-control-request-method": "DELETE"}
    answer = await Door().client().options(f"{JOBS}/1", headers=asking)
    assert "access-control-allow-origin" not in answer.headers
    settings = {"gateway_tokens": "0123456789abcdef"}
    door = Door(origins=("https://ui.example",), settings=settings)
    answer = await door.client().options(f"{JOBS}/1", headers=asking)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://ui.example"
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    other = {**asking, "origin": "https://evil.example"}
    answer = await door.client().options(f"{JOBS}/1", headers=other)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "header", ["Authorization", "Content-Type", "Last-Event-ID", "traceparent", "tracestate"]
)
async def test_a_page_may_send_all_that_is_read(header: str) -> None:
    asking = {
        "origin": "https://ui.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": header,
    }
    client = Door(origins=("https://ui.example",)).client()
    assert (await client.options("/api/v1/process_video", headers=asking)).status_code == 200
    asking["access-control-request-headers"] = f"{header}, x-other"
    assert (await client.options("/api/v1/process_video", headers=asking)).status_code == 400


async def test_a_page_may_read_all_that_is_answered() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"origin": "https://ui.example", "traceparent": trace}
    door = Door(origins=("https://ui.example",), settings={"gateway_tokens": "0123456789abcdef"})
    client = door.client(headers={**headers, "authorization": "Bearer 0123456789abcdef"})
    answer = await client.post("/api/v1/process_video", content=request_body())
    assert answer.headers["traceparent"] == trace
    answers = [answer, await client.put(JOBS), await door.client(headers=headers).get(JOBS)]
    door.queue.error = BrokerUnavailableError("away")
    answers.append(await client.post("/api/v1/process_video", content=request_body()))
    # What a browser shows without being told to; the last two are its own business.
    shown = {"cache-control", "content-length", "content-type", "vary", "x-content-type-options"}
    for answer in answers:
        told = answer.headers["access-control-expose-headers"].lower().split(", ")
        sent = {name for name in answer.headers if not name.startswith("access-control-")}
        assert sent - shown <= set(told), answer.status_code
    assert {"traceparent", "allow", "www-authenticate", "retry-after"} <= {
        name for answer in answers for name in answer.headers
    }
