"""Operators in a namespace of their own, as processes of this machine.

The deployed one serves all other tests. These can be paused, killed and given settings of
their own; the Jobs that they make run in the cluster like any other.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from devstack import ROOT, DevStack, wait_for
from programs import OURS

NODE = f"{os.environ.get('M0_CLUSTER') or 'm0-dev'}-control-plane"
_SERVERS = ("m0-rabbitmq", "m0-backend", "m0-s3")
_SECRETS = ("m0-dev-credentials", "m0-dev-stores")


class Operator:
    """One running operator."""

    def __init__(self, log: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.log_file = log
        self.port = port
        self.process = process

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has said so far; its last words may be no JSON."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def last_words(self) -> str:
        """The end of its output."""
        return self.log_file.read_text(errors="replace")[-2000:]

    def said(self, message: str) -> bool:
        """Whether it has said this."""
        return any(line["message"] == message for line in self.log)

    @property
    def leads(self) -> bool:
        """Whether it has taken the Lease, once in its life."""
        return self.said("Leading")

    def probe(self, path: str) -> int:
        """The HTTP status of /livez or /readyz."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/{path}", timeout=5
            ) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(timeout=60)


class OwnStack(DevStack):
    """The development stack, seen from a namespace with operators of its own."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__()
        self.deployed = self.namespace
        self.namespace = f"m0-own-{time.time_ns() // 10**6}"
        self.requests = f"{self.namespace}.requests"
        self.letters = f"{self.namespace}.letters"
        self.results = f"{self.namespace}.results"
        self._directory = tmp_path
        self._running: list[Operator] = []

    def start(self, template: dict[str, Any] | None = None, **settings: str) -> Operator:
        """Start one more operator.

        Args:
            template: replaces keys of the deployed Job template.
            settings: environment variables.
        """
        number = len(self._running) + 1
        file = self._directory / f"job-{number}.json"
        file.write_text(json.dumps(self._template() | (template or {})))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        own = {
            "M0_AMQP_URL": self.env["M0_AMQP_URL"],
            "M0_GRAPHQL_URL": self.env["M0_GRAPHQL_URL"],
            "M0_NAMESPACE": self.namespace,
            "M0_PRIORITY_QUEUE": self.requests,
            "M0_DEADLETTER_QUEUE": self.letters,
            "M0_RESULTS_QUEUE": self.results,
            "M0_PROGRESS_QUEUE": f"{self.namespace}.progress",
            "M0_DECLARE_QUEUES": "true",
            "M0_JOB_TEMPLATE_FILE": str(file),
            "M0_HEALTH_PORT": str(port),
            "KUBECONFIG": self.env["KUBECONFIG"],
            "HOSTNAME": f"own-{number}",
        }
        env = {**OURS, **own, **settings}
        log = self._directory / f"operator-{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [ROOT / ".venv/bin/m0-operator"],
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        operator = Operator(log, int(env["M0_HEALTH_PORT"]), process)
        self._running.append(operator)
        return operator

    def start_leader(self, template: dict[str, Any] | None = None, **settings: str) -> Operator:
        """Start one that leads, and wait until it does."""
        operator = self.start(template, **settings)
        wait_for("the operator to lead", lambda: operator.leads)
        # Connected, it has made the queues.
        wait_for("the operator to be ready", lambda: operator.probe("readyz") == 200)
        return operator

    def address_for_pods(self) -> str:
        """This machine's address, as the node and its pods see it."""
        command = [str(ROOT / ".m0/bin/docker"), "exec", NODE, "ip", "route", "show", "default"]
        said = subprocess.check_output(command, text=True, timeout=60)
        return str(said.split()[2])

    def template_with(self, env: dict[str, str]) -> dict[str, Any]:
        """For `start`: the chunker has these variables as well."""
        more = [{"name": name, "value": value} for name, value in env.items()]
        return {"env": self._template()["env"] + more}

    def _template(self) -> dict[str, Any]:
        """The deployed one, with our queues."""
        config = json.loads(
            self._in(self.deployed, "get", "configmap", "m0-operator", "-o", "json")
        )
        template: dict[str, Any] = json.loads(config["data"]["job.json"])
        own = {
            "M0_RESULTS_QUEUE": self.results,
            "M0_PROGRESS_QUEUE": f"{self.namespace}.progress",
        }
        env = [item for item in template["env"] if item["name"] not in own]
        template["env"] = env + [{"name": name, "value": value} for name, value in own.items()]
        return template

    def _in(self, namespace: str, *arguments: str, stdin: str | None = None) -> str:
        return self.kubectl("-n", namespace, *arguments, stdin=stdin)

    def prepare(self) -> None:
        """Make the namespace: the servers under their usual names, their Secrets, the queues."""
        shown = json.loads(self.kubectl("get", "namespace", self.deployed, "-o", "json"))
        labels = {
            name: value
            for name, value in shown["metadata"]["labels"].items()
            if name.startswith("pod-security")
        }
        made: list[dict[str, Any]] = [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": self.namespace, "labels": labels},
            },
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "m0-chunker", "namespace": self.namespace},
            },
        ]
        for name in _SERVERS:
            host = f"{name}.{self.deployed}.svc.cluster.local"
            made.append(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": name, "namespace": self.namespace},
                    "spec": {"type": "ExternalName", "externalName": host},
                }
            )
        for name in _SECRETS:
            secret = json.loads(self._in(self.deployed, "get", "secret", name, "-o", "json"))
            made.append(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": name, "namespace": self.namespace},
                    "data": secret["data"],
                }
            )
        everything = {"apiVersion": "v1", "kind": "List", "items": made}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(everything))

    def close(self) -> None:
        """End the operators, by their ids, and delete all that was made here."""
        for operator in self._running:
            with suppress(ProcessLookupError):
                operator.send(signal.SIGCONT)
                operator.send(signal.SIGTERM)
        for operator in self._running:
            try:
                operator.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                operator.process.kill()
                operator.process.wait()
        for resource in self.kubectl("get", "vcj", "-o", "name").split():
            patch = '{"metadata": {"finalizers": null}}'
            self.kubectl("patch", resource, "--type=merge", "-p", patch, check=False)
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")
        self.drop_queues(self.requests, self.letters, self.results, f"{self.namespace}.progress")


@contextmanager
def own_stack(tmp_path: Path) -> Iterator[OwnStack]:
    """A namespace of our own, while the context is open."""
    stack = OwnStack(tmp_path)
    stack.prepare()
    try:
        yield stack
    finally:
        stack.close()
