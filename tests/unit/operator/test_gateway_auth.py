"""Who may use the REST door."""

import logging
from pathlib import Path
from typing import Any

import pytest
from fakes.videos import FakeVideoStore, build_video
from m0_operator.gateway.auth import AuthSettingsError, Tokens, build_tokens
from m0_operator.settings import GatewaySettings

from .conftest import request_body
from .doors import Door

ONE, TWO, LOOK = "one-token-0123456", "two-token-0123456", "look-token-012345"


def settings(**given: Any) -> GatewaySettings:
    return GatewaySettings(amqp_url="amqp://h/", **given)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def door() -> Door:
    return Door(
        store=FakeVideoStore(build_video(101)),
        settings={"gateway_tokens": f"{ONE}\n {TWO}", "gateway_read_tokens": LOOK},
    )


@pytest.mark.parametrize("token", [ONE, TWO])
async def test_each_of_several_tokens_is_good(door: Door, token: str) -> None:
    client = door.client(headers=bearer(token))
    assert (await client.get("/api/v1/jobs")).status_code == 200
    assert (await client.post("/api/v1/process_video", content=request_body())).status_code == 200


STRANGERS = (
    "", "Bearer", "Bearer ", f"Basic {ONE}", ONE, f"Bearer {ONE[:-1]}", f"Bearer {ONE}x",
    f"Bearer {ONE} {TWO}", "Bearer ÿþ",
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/process_video"),
        ("GET", "/api/v1/jobs"),
        ("GET", "/api/v1/jobs/101"),
        ("DELETE", "/api/v1/jobs/101"),
        ("GET", "/api/v1/jobs/101/events"),
        ("GET", "/api/v1/dead-letters"),
        ("POST", "/api/v1/dead-letters/x/replay"),
        ("GET", "/health"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing"),
        ("GET", "/livez/"),
        ("OPTIONS", "/api/v1/jobs"),
    ],
)
async def test_nothing_is_done_or_told_without_one(door: Door, method: str, path: str) -> None:
    client = door.client()
    tries = [{}, *({"authorization": value.encode("latin-1")} for value in STRANGERS)]
    for headers in tries:
        answer = await client.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED"), headers
        assert answer.headers["www-authenticate"].startswith('Bearer realm="m0"')
    assert door.queue.published == []
    assert door.store.patches == []


async def test_kubernetes_needs_none(door: Door) -> None:
    for path in ("/livez", "/readyz"):
        assert (await door.client().get(path)).status_code == 200


async def test_who_may_look_may_not_do(door: Door) -> None:
    client = door.client(headers=bearer(LOOK))
    assert (await client.get("/api/v1/jobs/101")).status_code == 200
    for method, path in [
        ("POST", "/api/v1/process_video"),
        ("DELETE", "/api/v1/jobs/101"),
        ("POST", "/api/v1/dead-letters/x/replay"),
    ]:
        answer = await client.request(method, path, content=request_body())
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert door.queue.published == []
    assert door.store.patches == []


def test_tokens_are_changed_without_a_restart(tmp_path: Path) -> None:
    now = [0.0]
    file = tmp_path / "token"
    file.write_text(ONE + "\n")
    (tmp_path / "readers").write_text(LOOK)
    (tmp_path / "..data").write_text(TWO)
    tokens = Tokens(settings(gateway_tokens_file=tmp_path), clock=lambda: now[0])
    assert [tokens.right_of(item) for item in (ONE, LOOK, TWO)] == ["all", "read", None]
    file.write_text(f"{ONE} {TWO}")
    now[0] += 11
    assert tokens.right_of(TWO) == tokens.right_of(ONE) == "all"
    file.write_text(TWO)
    now[0] += 11
    assert tokens.right_of(ONE) is None


@pytest.mark.parametrize("damage", ["", "short", "gone"])
def test_a_change_that_makes_no_sense_locks_nobody_out(tmp_path: Path, damage: str) -> None:
    now = [0.0]
    file = tmp_path / "token"
    file.write_text(ONE)
    tokens = Tokens(settings(gateway_tokens_file=file), clock=lambda: now[0])
    if damage == "gone":
        file.unlink()
    else:
        file.write_text(damage)
    now[0] += 11
    assert tokens.right_of(ONE) == "all"
    assert tokens.right_of("") is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, None),
        ({"gateway_host": "::1"}, None),
        ({"gateway_host": "localhost"}, None),
        ({"gateway_host": "0.0.0.0"}, "M0_GATEWAY_AUTH=none"),
        ({"gateway_host": "::"}, "M0_GATEWAY_AUTH=none"),
        ({"gateway_host": "door.example"}, "M0_GATEWAY_AUTH=none"),
        ({"gateway_host": "0.0.0.0", "gateway_auth": "none"}, None),
        ({"gateway_auth": "token"}, "no token is given"),
        ({"gateway_auth": "none", "gateway_tokens": ONE}, "take one away"),
        ({"gateway_tokens": "short"}, "M0_GATEWAY_TOKENS"),
        ({"gateway_tokens_file": "/nowhere"}, "/nowhere"),
    ],
)
def test_open_only_where_it_is_meant_to_be(given: dict[str, Any], wanted: str | None) -> None:
    if wanted is None:
        assert build_tokens(settings(**given)) is None
        return
    with pytest.raises(AuthSettingsError) as caught:
        build_tokens(settings(**given))
    assert wanted in str(caught.value)
    assert "short" not in str(caught.value)


def test_tokens_are_asked_for_on_loopback_too_where_there_are_some() -> None:
    tokens = build_tokens(settings(gateway_tokens=ONE))
    assert tokens is not None
    assert tokens.right_of(ONE) == "all"


def test_open_to_the_network_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    build_tokens(settings(gateway_auth="none"))
    assert not caplog.records
    build_tokens(settings(gateway_auth="none", gateway_host="0.0.0.0"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
