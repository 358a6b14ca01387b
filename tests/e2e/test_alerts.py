"""The chart's alerts over a real Prometheus: each fires under its fault, and clears after it."""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from devstack import ROOT, wait_for
from own import OwnStack, own_stack
from prometheus import Prometheus, prometheus
from test_operators import NOWHERE
from way import Way

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]

WINDOW, PATIENCE = "40s", "3s"
"""Instead of minutes: what is looked back upon, and how long it must last."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnStack]:
    with own_stack(tmp_path) as stack:
        yield stack


def hasty_rules(namespace: str) -> str:
    """The chart's rules with a namespace for a release's labels, and with little patience."""
    text = (ROOT / "charts/m0-operator/files/alerts.yaml").read_text()
    text = text.replace("{SELECTOR,", f'{{namespace="{namespace}",')
    text = text.replace("{SELECTOR}", f'{{namespace="{namespace}"}}')
    text = re.sub(r"\[\d+m\]", f"[{WINDOW}]", text)
    return re.sub(r"for: \d+m", f"for: {PATIENCE}", text)


def wait_firing(
    server: Prometheus, *names: str, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Wait until these fire and no others.

    Args:
        meanwhile: done again and again, so that a slow machine sees as much of it in a window.
    """
    seen: set[str] = set()

    def settled() -> bool:
        meanwhile()
        seen.clear()
        seen.update(server.firing())
        return seen == set(names)

    try:
        wait_for("the alerts", settled, 150)
    except TimeoutError:
        raise AssertionError(f"{sorted(seen)} fire, not {sorted(names)}") from None


def test_alerts_fire_under_their_fault_and_clear_after_it(
    own: OwnStack, tmp_path: Path, new_id: NewId, request_for: Request
) -> None:
    broker, backend = Way(own.env["M0_AMQP_URL"]), Way(own.env["M0_GRAPHQL_URL"])
    settings = {"M0_AMQP_URL": broker.url, "M0_GRAPHQL_URL": backend.url}
    leader = own.start_leader(NOWHERE, **settings)
    rules = hasty_rules(own.namespace)
    with prometheus(tmp_path, [leader.port], {"namespace": own.namespace}, rules) as server:
        wait_for("it to be scraped", lambda: server.ask("m0_leader == 1"))
        wait_firing(server)

        process_id = new_id()
        own.publish(request_for(process_id), queue=own.requests)
        wait_firing(server, "M0PodsNotStarting")

        backend.switch(open_=False)
        stop = json.dumps({"spec": {"stop": True}})
        own.kubectl("patch", "vcj", f"video-{process_id}", "--type=merge", "-p", stop)
        wait_firing(server, "M0BackendReportsFailing")
        backend.switch(open_=True)
        wait_for("it to be told", lambda: own.statuses(process_id)[-1][0] == "FAILED")
        wait_firing(server)

        broker.switch(open_=False)
        wait_firing(server, "M0IntakeErrors")
        broker.switch(open_=True)
        wait_firing(server)

        def send_a_bad_one() -> None:
            own.publish(request_for(new_id(), destination_prefix=7), queue=own.requests)
            time.sleep(1)

        wait_firing(server, "M0DeadLetters", meanwhile=send_a_bad_one)

        leader.send(signal.SIGTERM)
        leader.wait()
        wait_for("its absence to be known", lambda: "M0OperatorAbsent" in server.firing(), 60)
        own.start_leader(NOWHERE, M0_HEALTH_PORT=str(leader.port), **settings)
        wait_firing(server)
