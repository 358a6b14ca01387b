"""The benchmark's own instruments: what they count and draw can be relied on."""

import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import ProxyHandler, build_opener
from xml.etree import ElementTree as ET

import pytest
from bench import plot, table
from bench.measure import Cost, FailedError, run
from bench.proxy import Wire, slow_wire

BODY = b"x" * 100_000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_wire_is_as_slow_as_it_says_and_counts(port: int) -> None:
    # 100 kB at 4 Mbit/s take 0.2 s.
    with slow_wire(port, Wire("test", 4e6, 0.05)) as proxy:
        started = time.monotonic()
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{proxy.port}/") as answer:
            assert answer.read() == BODY
        took = time.monotonic() - started
        traffic = proxy.traffic
    assert took > 0.24
    assert traffic.requests == {"GET": 1}
    assert len(BODY) < traffic.fetched_bytes < len(BODY) + 1000
    assert 0 < traffic.sent_bytes < 1000


def test_bytes_lines_and_scratch_of_a_process_are_seen(tmp_path: Path) -> None:
    code = f"""
import tempfile, time
data = open("/dev/zero", "rb").read(1 << 20)
with tempfile.TemporaryFile(dir={str(tmp_path)!r}) as unnamed:
    unnamed.write(b"x" * (1 << 20)); unnamed.flush()
    time.sleep(0.2)
print("done", flush=True)
"""
    seen: list[str] = []
    cost = run([sys.executable, "-S", "-c", code], scratch=tmp_path, on_line=seen.append)
    assert seen == ["done\n"]
    assert cost.lines == ("done\n",)
    assert cost.read_bytes >= 1 << 20
    assert cost.written_bytes >= 1 << 20
    assert cost.scratch_bytes >= 1 << 20
    assert 2**20 < cost.rss_bytes < 100 * 2**20
    assert cost.cpu_s > 0


def test_a_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(FailedError, match="exit 3"):
        run([sys.executable, "-S", "-c", "raise SystemExit(3)"])


def test_start_up_is_taken_off_what_it_adds_to_but_not_off_peaks() -> None:
    cost = Cost(cpu_s=3.0, read_bytes=10, rss_bytes=7).beyond(Cost(cpu_s=1.0, rss_bytes=5))
    assert (cost.cpu_s, cost.read_bytes, cost.rss_bytes) == (2.0, 10, 7)


def test_a_plot_is_xml_with_a_bar_for_each_value() -> None:
    bars = plot.Bars("CPU <time>", ["30", "300"], [("M0", [1.0, 2.0]), ("a & b", [30.0, None])],
                     "M0", 1.0, "floor")  # fmt: skip
    root = ET.fromstring(plot.draw([bars], "title", "subtitle"))
    drawn = [
        element
        for element in root.iter("{http://www.w3.org/2000/svg}rect")
        if float(element.get("height", 0)) == plot.BAR
    ]
    widths = [float(element.get("width", 0)) for element in drawn]
    assert len(widths) == 3
    assert widths == sorted(widths)


def test_a_table_is_aligned() -> None:
    lines = table.markdown(["a", "b"], [["long name", "1.00"], ["c", "20"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
