"""What chaos needs to lay hands on: the stack, its node, and the orders for crash points."""

import json
import subprocess
import urllib.error
import urllib.request
from typing import Any

from devstack import ROOT, DevStack, wait_for
from own import NODE

OPERATOR = "app.kubernetes.io/component=operator"
OPERATOR_NAME = "deployment/m0-operator"
PATIENCE_S = 200.0
"""For anything to come right again, on a machine that does other things as well."""


class Orders:
    """The registry of crash points, in the development backend."""

    def __init__(self, stack: DevStack) -> None:
        self._url = stack.env["M0_GRAPHQL_URL"].removesuffix("/graphql") + "/chaos"

    def give(self, point: str, subject: str = "", *, do: str = "die", skip: int = 0) -> int:
        """The next process at this point dies or holds; the order's number."""
        given = self._ask("arm", point=point, subject=subject, do=do, skip=skip)
        number: int = given["number"]
        return number

    def is_met(self, number: int) -> bool:
        """Whether somebody has died or is held by it."""
        return bool(self.show()["arms"][number]["spent"])

    def release(self, number: int) -> None:
        """Whoever is held by it goes on."""
        self._ask("release", number=number)

    def set_fault(self, fault: str, only: str = "") -> None:
        """Have the backend's GraphQL fail; empty: no more."""
        self._ask("set_fault", fault=fault, only=only)

    def show(self) -> dict[str, Any]:
        """All orders and how far they have come."""
        return self._ask("show")

    def clear(self) -> bool:
        """Nobody dies, nobody holds; True."""
        return self._ask("clear") == {}

    def _ask(self, what: str, **question: Any) -> dict[str, Any]:
        data = json.dumps(question).encode()
        request = urllib.request.Request(f"{self._url}/{what}", data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


class Stage:
    """A running stack that is about to be mistreated, and put in order again."""

    def __init__(self, stack: DevStack) -> None:
        self.stack = stack
        self.orders = Orders(stack)

    def on_node(self, *command: str, check: bool = True) -> str:
        """Run a command on the cluster's node; its standard output."""
        argv = [str(ROOT / ".m0" / "bin" / "docker"), "exec", NODE, *command]
        return subprocess.run(
            argv, check=check, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    def pod(self, component: str) -> dict[str, Any]:
        """The one running pod of a component."""

        def find() -> dict[str, Any] | None:
            found = self.stack.items("pods", f"app.kubernetes.io/component={component}")
            alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
            return alive[0] if len(alive) == 1 else None

        return wait_for(f"one pod of {component}", find)

    def operators(self) -> list[dict[str, Any]]:
        """The operator's pods."""
        return self.stack.items("pods", OPERATOR)

    def leader(self) -> str:
        """The pod that holds the Lease; empty when nobody does."""
        lease = json.loads(self.stack.kubectl("get", "lease", "m0-operator", "-o", "json"))
        holder: str = lease["spec"].get("holderIdentity") or ""
        return holder.rpartition("-")[0]

    def hurry_operator(self) -> None:
        """Spare us the kubelet's back-off, up to five minutes, of a pod that was killed often."""
        for pod in self.operators():
            for status in pod["status"].get("containerStatuses", []):
                if status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff":
                    name = pod["metadata"]["name"]
                    self.stack.kubectl("delete", "pod", name, "--grace-period=0", "--force")

    def wait(self, what: str, probe: Any, deadline_s: float = PATIENCE_S) -> Any:
        """Poll while things may be down, which is no answer; what `probe` found."""

        def try_it() -> Any:
            try:
                self.hurry_operator()
                return probe()
            except (RuntimeError, OSError):
                return None

        return wait_for(what, try_it, deadline_s)

    def wait_whole(self) -> None:
        """Wait until all pods of the stack and of M0 are ready, and one operator leads."""

        def whole() -> bool:
            pods = json.loads(self.stack.kubectl("get", "pods", "-l", SERVERS, "-o", "json"))
            ready = [_is_ready(pod) for pod in pods["items"]]
            leaders = [pod["metadata"]["name"] for pod in self.operators()]
            self.orders.show()
            self.stack.depth("M0_PRIORITY_QUEUE")
            return len(ready) >= 7 and all(ready) and leaders == [self.leader()]

        self.wait("the stack to be whole", whole)


SERVERS = "app.kubernetes.io/component in (operator,gateway,rabbitmq,s3,postgres,backend,azurite)"


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
