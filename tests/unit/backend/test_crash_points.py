"""Crash points: nothing in an image for production, the truth in one for tests."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from m0_backend.chaos import Chaos
from m0_wire import crash

ROOT = Path(__file__).resolve().parents[3]
ARMED = """
import sys
from m0_wire import crash
sys.stdout.write("before ")
crash.point("here", sys.argv[1])
print("after")
"""


@pytest.fixture
def registry() -> Iterator[tuple[Chaos, str]]:
    """The registry as the backend serves it, and its URL."""
    chaos = Chaos()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = getattr(chaos, self.path.removeprefix("/chaos/"))(**json.loads(body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield chaos, f"http://127.0.0.1:{server.server_address[1]}/chaos"
        server.shutdown()
        thread.join()


def start(subject: str, url: str, *, test_image: bool, resource: str = "") -> subprocess.Popen[str]:
    """A program that passes the point `here`."""
    path = [str(ROOT / "wire"), *([str(ROOT / "hack" / "crash")] if test_image else [])]
    env = {"PYTHONPATH": ":".join(path), "M0_CRASH_URL": url, "M0_RESOURCE": resource}
    argv = [sys.executable, "-S", "-c", ARMED, subject]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)


def test_without_the_module_of_test_images_a_point_is_nothing() -> None:
    assert "m0_crash" not in sys.modules
    assert crash.point.__module__ == "m0_wire.crash"
    crash.point("here", "anything")


def test_an_image_for_production_can_not_be_armed(registry: tuple[Chaos, str]) -> None:
    chaos, url = registry
    chaos.arm("here")
    program = start("a", url, test_image=False)
    assert program.communicate()[0] == "before after\n"
    assert program.returncode == 0
    assert not chaos.arms[0].spent


@pytest.mark.parametrize("dockerfile", ["operator/Dockerfile", "chunker-job/Dockerfile"])
def test_the_last_stage_of_an_image_has_no_crash_points(dockerfile: str) -> None:
    text = (ROOT / dockerfile).read_text()
    last = text[text.rindex("\nFROM ") :].strip()
    assert last == "FROM program"
    program = text[text.index("AS program") : text.index("AS test")]
    assert "COPY hack" not in program


def test_whoever_dies_says_no_last_word_and_only_one_dies(registry: tuple[Chaos, str]) -> None:
    chaos, url = registry
    chaos.arm("here", "a")
    other, first = start("b", url, test_image=True), start("a", url, test_image=True)
    assert first.communicate()[0] == "", "what was buffered is lost, as by SIGKILL"
    assert first.returncode == -9
    assert other.communicate()[0] == "before after\n"
    assert start("a", url, test_image=True).communicate()[0] == "before after\n"


def test_some_pass_before_one_dies() -> None:
    chaos = Chaos()
    chaos.arm("here", "a", skip=2)
    assert [chaos.hit("here", "a")["do"] for _ in range(4)] == ["go", "go", "die", "go"]


def test_who_is_held_goes_on_when_told(registry: tuple[Chaos, str]) -> None:
    chaos, url = registry
    number = chaos.arm("here", "a", do="hold")["number"]
    program = start("a", url, test_image=True)
    with pytest.raises(subprocess.TimeoutExpired):
        program.communicate(timeout=1)
    chaos.release(number)
    assert program.communicate()[0] == "before after\n"


def test_a_job_asks_only_for_what_is_armed_for_it(
    registry: tuple[Chaos, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chaos, url = registry
    asked: list[str] = []
    hit = chaos.hit

    def hear(point: str, **question: Any) -> dict[str, Any]:
        asked.append(point)
        return hit(point, **question)

    monkeypatch.setattr(chaos, "hit", hear)
    chaos.arm("elsewhere", "a")
    assert start("", url, test_image=True, resource="a").communicate()[0] == "before after\n"
    assert asked == []


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/chaos"], ids=["none", "dead"])
def test_without_a_registry_everybody_goes_on(url: str) -> None:
    assert start("a", url, test_image=True).communicate()[0] == "before after\n"


def test_a_fault_is_only_for_what_it_names() -> None:
    chaos = Chaos()
    chaos.set_fault("500", "createBatchChunk")
    assert chaos.meets(b"mutation createBatchChunk") == "500"
    assert chaos.meets(b"mutation updateBatch") == ""
    chaos.clear()
    assert chaos.meets(b"mutation createBatchChunk") == ""
