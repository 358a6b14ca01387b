"""A real Prometheus on this machine's loopback, for as long as a test needs it."""

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack import ROOT, wait_for

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: operator
    static_configs:
      - targets: {targets}
        labels: {labels}
rule_files: {rules}
"""


class Prometheus:
    """What it knows."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The samples that a query has now."""
        return self._get("query", query=query)

    def ask_range(self, query: str, start: float, end: float, step_s: int) -> list[dict[str, Any]]:
        """The series that a query has from `start` to `end`, seconds since 1970."""
        return self._get("query_range", query=query, start=start, end=end, step=step_s)

    def _get(self, what: str, **question: object) -> list[dict[str, Any]]:
        text = urllib.parse.urlencode(question)
        with urllib.request.urlopen(f"{self._url}/api/v1/{what}?{text}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {s["metric"]["alertname"] for s in self.ask('ALERTS{alertstate="firing"}')}


@contextmanager
def prometheus(
    directory: Path, ports: list[int], labels: dict[str, str], rules: str = ""
) -> Iterator[Prometheus]:
    """One that scrapes these ports of this machine each second.

    Args:
        rules: alerting rules, YAML.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    targets = json.dumps([f"127.0.0.1:{target}" for target in ports])
    (directory / "rules.yml").write_text(rules)
    files = json.dumps(["rules.yml"] if rules else [])
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(targets=targets, labels=json.dumps(labels), rules=files))
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                ROOT / ".m0/bin/prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Prometheus(port)
        wait_for("Prometheus to be ready", server.ready)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
