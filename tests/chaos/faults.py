"""What can happen to the world around a request, each undone on the way out."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import blows
from chaos.stage import OPERATOR_NAME, Stage
from devstack import DevStack, wait_for

PODS = "10.244.0.0/16"
FILTER = ("ip", "m0-fault")
RABBITMQCTL = "HOME=/data RABBITMQ_NODENAME=rabbit@localhost /usr/lib/rabbitmq/bin/rabbitmqctl"

Ids = list[int]
Happening = Callable[[Stage, Ids], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """Something that happens.

    Attributes:
        said: in words, for the table.
        happens: from entering to leaving it, the world is worse; then it is as before.
        lasts_s: how long; 0 for a blow that needs no duration.
        prepare: what must be so before the requests are sent.
        ends_pods: chunkers may end by it and be started anew.
        repeats: messages that may come again by it though no chunker ended.
    """

    said: str
    happens: Happening
    lasts_s: float = 0.0
    prepare: Happening = lambda _stage, _ids: nullcontext()
    ends_pods: bool = False
    repeats: int = 0


# ── RabbitMQ ──────────────────────────────────────────────────────────────────


def rabbitmqctl(stage: Stage, command: str) -> str:
    """Run a command of the broker's own tool in its pod."""
    return stage.stack.kubectl(
        "exec", "deploy/m0-rabbitmq", "--", "sh", "-c", f"{RABBITMQCTL} -q {command}"
    )


def _broker_is_up(stage: Stage) -> None:
    stage.wait("the broker", lambda: stage.stack.depth("M0_PRIORITY_QUEUE") >= 0)


@contextmanager
def broker_stopped(stage: Stage, _ids: Ids) -> Iterator[None]:
    rabbitmqctl(stage, "stop_app")
    try:
        yield
    finally:
        rabbitmqctl(stage, "start_app")
        _broker_is_up(stage)


@contextmanager
def broker_killed(stage: Stage, _ids: Ids) -> Iterator[None]:
    pod = stage.pod("rabbitmq")["metadata"]["name"]
    blows.signal_container(stage.stack, pod, "rabbitmq", "SIGKILL")
    try:
        yield
    finally:
        _broker_is_up(stage)


@contextmanager
def connections_closed(stage: Stage, _ids: Ids) -> Iterator[None]:
    rabbitmqctl(stage, "close_all_connections chaos")
    yield


# ── GraphQL ───────────────────────────────────────────────────────────────────


@contextmanager
def backend_away(stage: Stage, _ids: Ids) -> Iterator[None]:
    try:
        stage.stack.kubectl("scale", "deployment/m0-backend", "--replicas=0")
        selector = "app.kubernetes.io/component=backend"
        wait_for("the backend to go", lambda: not stage.stack.items("pods", selector))
        yield
    finally:
        stage.stack.kubectl("scale", "deployment/m0-backend", "--replicas=1")
        stage.wait("the backend", lambda: stage.orders.show() is not None)


def backend_answers(fault: str, only: str = "") -> Happening:
    @contextmanager
    def happening(stage: Stage, _ids: Ids) -> Iterator[None]:
        stage.orders.set_fault(fault, only)
        try:
            yield
            stage.wait("somebody to meet it", lambda: stage.orders.show()["faulted"])
        finally:
            stage.orders.set_fault("")

    return happening


# ── S3 ────────────────────────────────────────────────────────────────────────


@contextmanager
def _rule(stage: Stage, hook: str, rule: str) -> Iterator[None]:
    """A rule of the node's packet filter, in a table of its own and before all others.

    iptables' tables are no place for it: who enforces NetworkPolicies writes them anew all the
    time, with what it accepts at the top.
    """
    stage.on_node("nft", "add", "table", *FILTER)
    try:
        stage.on_node("nft", "add", "chain", *FILTER, "fault", f"{{ type {hook}; }}")
        stage.on_node("nft", "add", "rule", *FILTER, "fault", rule)
        yield
    finally:
        listed = stage.on_node("nft", "list", "table", *FILTER)
        stage.on_node("nft", "delete", "table", *FILTER)
    assert "counter packets 0 " not in listed, "nobody met it"


def _s3_address(stage: Stage) -> str:
    return stage.stack.kubectl("get", "service", "m0-s3", "-o", "jsonpath={.spec.clusterIP}")


@contextmanager
def store_away(stage: Stage, _ids: Ids) -> Iterator[None]:
    """For pods only: what looks from outside must see what is stored."""
    address = stage.pod("s3")["status"]["podIP"]
    rule = f"ip saddr {PODS} ip daddr {address} tcp dport 8333 counter reject with tcp reset"
    with _rule(stage, "filter hook forward priority -10", rule):
        yield


@contextmanager
def store_answers_500(stage: Stage, _ids: Ids) -> Iterator[None]:
    """Leads the pods' requests to the backend, which answers so; open connections are cut."""
    service, other = _s3_address(stage), stage.pod("backend")["status"]["podIP"]
    rule = f"ip daddr {service} tcp dport 8333 counter dnat to {other}:8400"
    with _rule(stage, "nat hook prerouting priority -110", rule):
        stage.on_node("conntrack", "-D", "-d", service, check=False)
        yield
    stage.on_node("conntrack", "-D", "-d", service, check=False)


@contextmanager
def store_frozen(stage: Stage, _ids: Ids) -> Iterator[None]:
    pod = stage.pod("s3")["metadata"]["name"]
    blows.signal_container(stage.stack, pod, "s3", "SIGSTOP")
    try:
        yield
    finally:
        blows.signal_container(stage.stack, pod, "s3", "SIGCONT")


# ── Kubernetes ────────────────────────────────────────────────────────────────


@contextmanager
def api_frozen(stage: Stage, _ids: Ids) -> Iterator[None]:
    server = stage.on_node("pgrep", "-x", "kube-apiserver")
    stage.on_node("kill", "-STOP", server)
    try:
        yield
    finally:
        stage.on_node("kill", "-CONT", server, check=False)


@contextmanager
def api_killed(stage: Stage, _ids: Ids) -> Iterator[None]:
    stage.on_node("kill", "-KILL", stage.on_node("pgrep", "-x", "kube-apiserver"))
    try:
        yield
    finally:
        stage.wait("the API", lambda: stage.stack.kubectl("get", "--raw", "/readyz"))


@contextmanager
def kubelet_stopped(stage: Stage, _ids: Ids) -> Iterator[None]:
    stage.on_node("systemctl", "stop", "kubelet")
    try:
        yield
    finally:
        stage.on_node("systemctl", "start", "kubelet")


def each_pod(blow: Callable[[DevStack, str], None]) -> Happening:
    """A blow to the pod of every request that has one at work."""

    @contextmanager
    def happening(stage: Stage, ids: Ids) -> Iterator[None]:
        for process_id in ids:
            pod = blows.running_pod(stage.stack, process_id)
            if pod is not None:
                blow(stage.stack, pod)
        yield

    return happening


# ── the operator ──────────────────────────────────────────────────────────────


def operators(*, force: bool) -> Happening:
    """All the operator's pods are deleted: politely, or at once."""

    @contextmanager
    def happening(stage: Stage, _ids: Ids) -> Iterator[None]:
        how = ["--grace-period=0", "--force"] if force else ["--wait=false"]
        for pod in stage.operators():
            stage.stack.kubectl("delete", "pod", pod["metadata"]["name"], *how)
        yield

    return happening


@contextmanager
def operator_killed(stage: Stage, _ids: Ids) -> Iterator[None]:
    blows.signal_container(stage.stack, stage.leader(), "operator", "SIGKILL")
    yield


@contextmanager
def operator_away(stage: Stage, _ids: Ids) -> Iterator[None]:
    stage.stack.kubectl("scale", OPERATOR_NAME, "--replicas=0")
    try:
        stage.stack.kubectl(
            "delete", "pod", "-l", "app.kubernetes.io/component=operator",
            "--grace-period=0", "--force",
        )  # fmt: skip
        wait_for("the operator to go", lambda: not stage.operators())
        yield
    finally:
        stage.stack.kubectl("scale", OPERATOR_NAME, "--replicas=1")


@contextmanager
def two_operators(stage: Stage, _ids: Ids) -> Iterator[None]:
    """A second one that stands by."""
    stage.stack.kubectl("scale", OPERATOR_NAME, "--replicas=2")
    try:
        # The one that stands by is not ready: it has nothing to be ready for.
        stage.wait(
            "two operators",
            lambda: [p["status"]["phase"] for p in stage.operators()] == ["Running"] * 2,
        )
        yield
    finally:
        stage.stack.kubectl("scale", OPERATOR_NAME, "--replicas=1")
        stage.wait("one operator", lambda: len(stage.operators()) == 1)


@contextmanager
def two_operators_at_work(stage: Stage, ids: Ids) -> Iterator[None]:
    """The leader has sent a dead letter before: the next one leaves without a moment's delay.

    While it connects to the broker it would learn that its time is over, fence or no fence.
    """
    with two_operators(stage, ids):
        body = f"no json, before {ids}".encode()
        stage.stack.publish(body)
        stage.wait(
            "its dead letter",
            lambda: stage.stack.messages(
                "M0_DEADLETTER_QUEUE", lambda m: m.body == body, take=True
            ),
        )
        yield


@contextmanager
def leader_paused(stage: Stage, ids: Ids) -> Iterator[None]:
    """Stopped until the other one leads and has done what there was to do; then it wakes up."""
    old = stage.leader()
    ends = _ends(stage, old)
    blows.signal_container(stage.stack, old, "operator", "SIGSTOP")
    try:
        yield
        wait_for("another leader", lambda: stage.leader() not in {"", old})
        wait_for("the other to have told all", lambda: _all_told(stage, ids))
    finally:
        blows.signal_container(stage.stack, old, "operator", "SIGCONT")
    # It must see that its time is over, and go.
    wait_for("the woken one to end", lambda: _ends(stage, old) > ends)
    assert stage.leader() != old


def _ends(stage: Stage, pod: str) -> int:
    """How often the pod's container has ended."""
    found = [p for p in stage.operators() if p["metadata"]["name"] == pod]
    statuses = [s for p in found for s in p["status"].get("containerStatuses", [])]
    return sum(s["restartCount"] + ("terminated" in s["state"]) for s in statuses)


def _all_told(stage: Stage, ids: Ids) -> bool:
    for process_id in ids:
        status = (stage.stack.resource(f"video-{process_id}") or {}).get("status", {})
        held = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
        if status.get("phase") not in {"Succeeded", "Failed"}:
            return False
        if status["phase"] == "Failed" and "DeadLettered" not in held:
            return False
    return True


def pause(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)


FAULTS = {
    "broker stopped": Fault(
        "RabbitMQ stopped for 8 s", broker_stopped, 8, ends_pods=True, repeats=1
    ),
    "broker killed": Fault("RabbitMQ's process killed", broker_killed, ends_pods=True, repeats=1),
    "broker away for long": Fault(
        "RabbitMQ stopped for 25 s", broker_stopped, 25, ends_pods=True, repeats=1
    ),
    "connections closed": Fault(
        "all connections to RabbitMQ closed", connections_closed, repeats=1
    ),
    "backend away": Fault(
        "the GraphQL backend scaled to 0 for 15 s", backend_away, 15, ends_pods=True
    ),
    "backend answers 500": Fault(
        "GraphQL answers 500 for 15 s", backend_answers("500"), 15, ends_pods=True
    ),
    "backend answers late": Fault(
        "GraphQL does what it is asked but answers 500, for 2 s", backend_answers("late"), 2
    ),
    "backend hangs": Fault(
        "GraphQL is silent for 20 s, to what is asked within 5 s",
        backend_answers("hang"),
        5,
        ends_pods=True,
    ),
    "store away": Fault("S3 refuses connections for 10 s", store_away, 10, ends_pods=True),
    "store away for long": Fault("S3 refuses connections for 45 s", store_away, 45, ends_pods=True),
    "store answers 500": Fault("S3 answers 500 for 10 s", store_answers_500, 10, ends_pods=True),
    "store frozen": Fault("S3 frozen (SIGSTOP) for 15 s", store_frozen, 15, ends_pods=True),
    "API frozen": Fault("the API server frozen (SIGSTOP) for 20 s", api_frozen, 20),
    "API killed": Fault("the API server killed", api_killed),
    "kubelet stopped": Fault("the kubelet stopped for 15 s", kubelet_stopped, 15),
    "pod evicted": Fault("its pod evicted", each_pod(blows.evict), ends_pods=True),
    "pod deleted": Fault("its pod deleted by force", each_pod(blows.delete), ends_pods=True),
    "pod killed": Fault("its pod's process killed", each_pod(blows.kill), ends_pods=True),
    "Job deleted": Fault("its Job deleted", each_pod(blows.delete_job), ends_pods=True),
    "operator deleted": Fault("the operator's pod deleted", operators(force=False)),
    "operator killed": Fault("the operator's process killed", operator_killed),
    "operator away": Fault("the operator scaled to 0 for 5 s", operator_away, 5),
    "two operators deleted": Fault(
        "both replicas of the operator deleted by force",
        operators(force=True),
        prepare=two_operators,
    ),
    "leader paused": Fault(
        "the leader paused (SIGSTOP) until its successor was done, then woken",
        leader_paused,
        prepare=two_operators_at_work,
    ),
}
