"""Which of a backend's answers are worth trying again, over real HTTP on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from m0_wire.backend import MUTATIONS, Backend, load_documents
from m0_wire.errors import BackendRejectedError, BackendUnavailableError

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


async def test_a_mutation_is_sent_with_its_variables_and_token(url: str) -> None:
    Server.answer = (200, b'{"data": {"updateBatchVideoProcessingStatus": null}}')
    await Backend(url, token="secret").mutate(MUTATION, STATUS)
    headers, body = Server.seen[0]
    assert body["variables"] == STATUS
    assert MUTATION in str(body["query"])
    assert headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, b'{"errors": [{"message": "no such video"}]}'), BackendRejectedError),
        ((400, b'{"errors": [{"message": "bad"}]}'), BackendRejectedError),
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
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_answer_is_a_rejection_or_worth_another_try(
    url: str, answer: tuple[int, bytes], error: type[Exception]
) -> None:
    Server.answer = answer
    with pytest.raises(error) as caught:
        await Backend(url, token="secret").mutate(MUTATION, STATUS)
    assert MUTATION in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_nobody_there_is_worth_another_try() -> None:
    with pytest.raises(BackendUnavailableError):
        await Backend("http://127.0.0.1:9/graphql").mutate(MUTATION, STATUS)


def test_every_mutation_has_a_document() -> None:
    assert set(load_documents()) == set(MUTATIONS)


def test_a_deployment_can_replace_one_document(tmp_path: Path) -> None:
    (tmp_path / f"{MUTATION}.graphql").write_text("mutation M($process_id: ID!) { x }")
    documents = load_documents(tmp_path)
    assert documents[MUTATION] != load_documents()[MUTATION]


def test_a_broken_document_names_its_file(tmp_path: Path) -> None:
    (tmp_path / f"{MUTATION}.graphql").write_text("mutation {")
    with pytest.raises(ValueError, match=rf"{MUTATION}\.graphql"):
        load_documents(tmp_path)
