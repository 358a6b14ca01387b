"""Which of a backend's answers are worth trying again, over real HTTP on loopback.

Both clients go through the same cases: programs that talk to one backend must agree.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from m0_wire import light_backend
from m0_wire.backend import Backend, load_documents
from m0_wire.errors import BackendRejectedError, BackendUnavailableError
from m0_wire.light_backend import LightBackend
from m0_wire.mutations import MUTATIONS, read_documents

CLIENTS = pytest.mark.parametrize("client", [Backend, LightBackend], ids=["gql", "light"])
Client = type[Backend] | type[LightBackend]

STATUS = {"process_id": 7, "status": "QUEUED", "error": None}
MUTATION = "updateBatchVideoProcessingStatus"


class Server(ThreadingHTTPServer):
    """Answers every POST with the same status and body, and keeps what it was sent."""

    answer: ClassVar[tuple[int, bytes]] = (200, b'{"data": {}}')
    seen: ClassVar[list[tuple[dict[str, str], dict[str, object]]]] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        Server.seen.append(({k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
        status, answer = Server.answer
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Handler)
    Server.seen.clear()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/graphql"
    server.shutdown()
    thread.join()
    server.server_close()


@CLIENTS
async def test_a_mutation_is_sent_with_its_variables_and_token(url: str, client: Client) -> None:
    Server.answer = (200, b'{"data": {"updateBatchVideoProcessingStatus": null}}')
    await client(url, token="secret").mutate(MUTATION, STATUS)
    headers, body = Server.seen[0]
    assert body["variables"] == STATUS
    assert MUTATION in str(body["query"])
    assert headers["authorization"] == "Bearer secret"


@CLIENTS
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, b'{"errors": [{"message": "no such video"}]}'), BackendRejectedError),
        ((400, b'{"errors": [{"message": "bad"}]}'), BackendRejectedError),
        ((200, b'{"errors": ["no object"]}'), BackendRejectedError),
        ((200, b'{"errors": "no list"}'), BackendRejectedError),
        ((302, b""), BackendRejectedError),
        ((401, b""), BackendRejectedError),
        ((404, b"not here"), BackendRejectedError),
        ((408, b""), BackendUnavailableError),
        ((429, b""), BackendUnavailableError),
        ((500, b"oops"), BackendUnavailableError),
        ((503, b'{"errors": [{"message": "starting"}]}'), BackendUnavailableError),
        (
            (200, b'{"errors": [{"message": "x", "extensions": {"code": "TIMEOUT"}}]}'),
            BackendUnavailableError,
        ),
        ((200, b"<html>a proxy's page"), BackendUnavailableError),
        ((200, b""), BackendUnavailableError),
        ((200, b"[]"), BackendUnavailableError),
        ((200, b"{}"), BackendUnavailableError),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_answer_is_a_rejection_or_worth_another_try(
    url: str, answer: tuple[int, bytes], error: type[Exception], client: Client
) -> None:
    Server.answer = answer
    with pytest.raises(error) as caught:
        await client(url, token="secret").mutate(MUTATION, STATUS)
    assert MUTATION in str(caught.value)
    assert "secret" not in str(caught.value)


@CLIENTS
@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:9/graphql", "http://a b/", "file:///etc/passwd", "nonsense"]
)
async def test_nobody_there_is_worth_another_try(where: str, client: Client) -> None:
    with pytest.raises(BackendUnavailableError, match=MUTATION):
        await client(where).mutate(MUTATION, STATUS)


@CLIENTS
async def test_a_backend_that_never_ends_its_answer_is_given_up(client: Client) -> None:
    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n")
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        where = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(BackendUnavailableError):
            await client(where, timeout_s=0.3).mutate(MUTATION, STATUS)
        assert time.monotonic() - started < 5


async def test_the_environments_proxy_is_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", url.removesuffix("/graphql"))
    monkeypatch.delenv("no_proxy", raising=False)
    light_backend._opener.cache_clear()
    Server.answer = (200, b'{"data": {}}')
    try:
        await LightBackend("http://backend.invalid/graphql").mutate(MUTATION, STATUS)
    finally:
        light_backend._opener.cache_clear()
    assert Server.seen[0][0]["host"] == "backend.invalid"


def test_every_mutation_has_a_document() -> None:
    assert set(load_documents()) == set(read_documents()) == set(MUTATIONS)


def test_a_deployment_can_replace_one_document(tmp_path: Path) -> None:
    (tmp_path / f"{MUTATION}.graphql").write_text("mutation M($process_id: ID!) { x }")
    documents = load_documents(tmp_path)
    assert documents[MUTATION] != load_documents()[MUTATION]


@pytest.mark.parametrize("read", [load_documents, read_documents], ids=["gql", "light"])
@pytest.mark.parametrize(
    "text",
    ["mutation {", "", "# mutation { x }", "query { x }", "mutation { x ( }", "mutation } x {"],
)
def test_a_broken_document_names_its_file(
    tmp_path: Path, read: Callable[[Path], object], text: str
) -> None:
    (tmp_path / f"{MUTATION}.graphql").write_text(text)
    with pytest.raises(ValueError, match=rf"{MUTATION}\.graphql"):
        read(tmp_path)


def test_what_only_a_parser_notices_is_noticed_by_the_operator(tmp_path: Path) -> None:
    (tmp_path / f"{MUTATION}.graphql").write_text("mutation { $ }")
    with pytest.raises(ValueError, match=rf"{MUTATION}\.graphql"):
        load_documents(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        'mutation { x(a: "}") { y } }',
        'mutation { x(a: """ " } """) { y } }',
        "# our own\nmutation M($a: [ID!]!) { x(a: $a) } # }",
        "fragment F on X { y } mutation { x { ...F } }",
    ],
)
def test_a_sound_document_is_taken_by_both(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{MUTATION}.graphql").write_text(text)
    load_documents(tmp_path)
    assert read_documents(tmp_path)[MUTATION] == text


async def test_a_call_that_is_forbidden_at_the_last_instant_does_not_go_out(url: str) -> None:
    """The connection stands, as after a pause in which another took over: nothing is sent."""

    class TooLateError(Exception):
        pass

    def forbid() -> None:
        raise TooLateError

    with pytest.raises(TooLateError):
        await Backend(url, before_send=forbid).mutate(MUTATION, STATUS)
    assert Server.seen == []
    Server.answer = (200, b'{"data": {"updateBatchVideoProcessingStatus": null}}')
    allowed: list[bool] = []
    await Backend(url, before_send=lambda: allowed.append(True)).mutate(MUTATION, STATUS)
    assert allowed == [True]
    assert len(Server.seen) == 1
