"""The Job controller and the garbage collector, as far as the operator can tell.

As Kubernetes does it for Jobs with a podFailurePolicy: a successor only once a pod is
terminal, the rules in order, an end only when no pod runs any more, and all of it a while
after it happened.
"""

from dataclasses import dataclass, field
from typing import Any

from simulation.apiserver import FOREGROUND, ApiServer, Object
from simulation.world import World

TRACKING = "batch.kubernetes.io/job-tracking"
BACKOFF_S = 3.0
"""Between two pods of a Job, doubled each time. Kubernetes takes ten seconds."""


@dataclass
class _Count:
    """What a Job's pods have come to."""

    failed: int = 0
    succeeded: int = 0
    pods: int = 0
    not_before_s: float = 0.0
    verdict: tuple[str, str] | None = None
    seen: set[str] = field(default_factory=set)


class JobController:
    """Brings each Job nearer to its end whenever something of it has changed."""

    def __init__(self, world: World, server: ApiServer) -> None:
        self._world = world
        self._server = server
        self._counts: dict[str, _Count] = {}
        self._due: set[str] = set()
        server.on_change.append(self._hear)

    def _hear(self, kind: str, item: Object, deleted: bool) -> None:
        if kind == "job":
            self._wake(item["metadata"]["name"])
            if deleted:
                self._let_pods_go(item)
        elif kind == "pod" and not deleted:
            self._wake(item["metadata"]["labels"]["job"])
        elif kind == "resource" and deleted:
            self._world.later(self._delay(), self._collect, item["metadata"]["uid"])

    def _delay(self) -> float:
        return self._world.rng.uniform(0.01, 0.1 if self._world.plan.calm else 2.0)

    def _wake(self, name: str, delay_s: float | None = None) -> None:
        if delay_s is not None or name not in self._due:
            self._due.add(name)
            self._world.later(self._delay() if delay_s is None else delay_s, self._sync, name)

    def _collect(self, owner: str) -> None:
        """Garbage: what was owned by a resource that is gone."""
        for job in list(self._server.all("job").values()):
            if job["metadata"]["ownerReferences"][0]["uid"] == owner:
                self._server.delete("job", job["metadata"]["name"], wait=False)

    def _pods(self, job: Object) -> list[Object]:
        uid = job["metadata"]["uid"]
        pods = self._server.all("pod").values()
        return [pod for pod in pods if pod["metadata"]["labels"]["job-uid"] == uid]

    def _let_pods_go(self, job: Object) -> None:
        for pod in self._pods(job):
            self._server.delete("pod", pod["metadata"]["name"])

    def _sync(self, name: str) -> None:
        self._due.discard(name)
        self._release_orphans(name)
        job = self._server.all("job").get(name)
        if job is None:
            return
        meta, pods = job["metadata"], self._pods(job)
        owner = meta["ownerReferences"][0]
        found = self._server.all("resource").get(owner["name"])
        if found is None or found["metadata"]["uid"] != owner["uid"]:
            # Created after its owner had gone.
            self._collect(owner["uid"])
        if "deletionTimestamp" in meta:
            self._drain(pods)
            if not self._pods(job) and FOREGROUND in meta.get("finalizers", ()):
                self._server.let_go("job", job, FOREGROUND)
            return
        count = self._counts.setdefault(meta["uid"], _Count(not_before_s=self._world.time))
        if not _ended(job):
            self._account(job, pods, count)
            self._go_on(job, count)
            self._write(job, count)
        if _ended(job) and job["spec"].get("ttlSecondsAfterFinished") is not None:
            ttl_s = job["spec"]["ttlSecondsAfterFinished"]
            self._world.later(ttl_s, self._expire, name, meta["uid"])

    def _release_orphans(self, name: str) -> None:
        for pod in list(self._server.all("pod").values()):
            labels = pod["metadata"]["labels"]
            job = self._server.all("job").get(labels["job"])
            gone = job is None or job["metadata"]["uid"] != labels["job-uid"]
            if labels["job"] == name and gone and is_terminal(pod):
                self._server.let_go("pod", pod, TRACKING)

    def _drain(self, pods: list[Object]) -> None:
        for pod in pods:
            if "deletionTimestamp" not in pod["metadata"]:
                self._server.delete("pod", pod["metadata"]["name"])
            if is_terminal(pod):
                self._server.let_go("pod", pod, TRACKING)

    def _expire(self, name: str, uid: str) -> None:
        job = self._server.all("job").get(name)
        if job is not None and job["metadata"]["uid"] == uid:
            self._server.delete("job", name, wait=True)

    def _account(self, job: Object, pods: list[Object], count: _Count) -> None:
        for pod in pods:
            name = pod["metadata"]["name"]
            if not is_terminal(pod) or name in count.seen:
                continue
            count.seen.add(name)
            if pod["status"]["phase"] == "Succeeded":
                count.succeeded += 1
                count.verdict = count.verdict or ("Complete", "")
            elif not job["spec"].get("suspend"):
                self._judge(job, pod, count)
            self._server.let_go("pod", pod, TRACKING)

    def _judge(self, job: Object, pod: Object, count: _Count) -> None:
        action = _failure_action(job, pod)
        count.not_before_s = self._world.time + BACKOFF_S * 2.0**count.failed
        if action == "Ignore":
            return
        count.failed += 1
        if action == "FailJob":
            count.verdict = count.verdict or ("Failed", "PodFailurePolicy")
        elif count.failed > job["spec"]["backoffLimit"]:
            count.verdict = count.verdict or ("Failed", "BackoffLimitExceeded")

    def _go_on(self, job: Object, count: _Count) -> None:
        name, spec = job["metadata"]["name"], job["spec"]
        active = [pod for pod in self._pods(job) if not is_terminal(pod)]
        started = job.get("status", {}).get("startedS")
        deadline = spec.get("activeDeadlineSeconds")
        if started is not None and deadline and self._world.time >= started + deadline:
            count.verdict = count.verdict or ("Failed", "DeadlineExceeded")
        if count.verdict is not None or spec.get("suspend"):
            for pod in active:
                if "deletionTimestamp" not in pod["metadata"]:
                    self._server.delete("pod", pod["metadata"]["name"])
            return
        if active:
            return
        if self._world.time < count.not_before_s:
            self._wake(name, count.not_before_s - self._world.time)
            return
        count.pods += 1
        self._server.create("pod", _build_pod(job, count.pods))
        if deadline and count.pods == 1:
            self._wake(name, float(deadline))

    def _write(self, job: Object, count: _Count) -> None:
        active = sum(not is_terminal(pod) for pod in self._pods(job))
        status = dict(job.get("status") or {})
        status |= {"active": active, "failed": count.failed, "succeeded": count.succeeded}
        if count.pods and "startedS" not in status:
            status["startedS"] = self._world.time
        if count.verdict is not None and not active:
            kind, reason = count.verdict
            end = {"type": kind, "status": "True", "reason": reason, "message": reason}
            status["conditions"] = [end | {"lastTransitionTime": self._world.stamp}]
            if kind == "Complete":
                status["completionTime"] = self._world.stamp
        if status != job.get("status"):
            job["status"] = status
            self._server.touch("job", job)


def is_terminal(pod: Object) -> bool:
    """Whether it will never run again."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def _ended(job: Object) -> bool:
    return bool(job.get("status", {}).get("conditions"))


def _failure_action(job: Object, pod: Object) -> str:
    status = pod["status"]
    conditions = {item["type"] for item in status.get("conditions", ()) if item["status"] == "True"}
    states = [item.get("state", {}) for item in status.get("containerStatuses", ())]
    codes = {state["terminated"]["exitCode"] for state in states if "terminated" in state}
    for rule in job["spec"]["podFailurePolicy"]["rules"]:
        wanted = {item["type"] for item in rule.get("onPodConditions", ())}
        if wanted & conditions or codes & set(rule.get("onExitCodes", {}).get("values", ())):
            action: str = rule["action"]
            return action
    return "Count"


def _build_pod(job: Object, number: int) -> Object:
    meta, template = job["metadata"], job["spec"]["template"]
    env: dict[str, Any] = {
        item["name"]: item.get("value") for item in template["spec"]["containers"][0]["env"]
    }
    return {
        "metadata": {
            # A Job that was deleted and made again has the same name, its pods never have.
            "name": f"{meta['name']}-{meta['uid'].split('-')[0]}-{number}",
            "labels": {"job": meta["name"], "job-uid": meta["uid"]},
            "annotations": template["metadata"]["annotations"],
            "finalizers": [TRACKING],
        },
        "spec": {"env": env, "containers": [{"name": "chunker", "image": "c:1"}]},
        "status": {"phase": "Pending"},
    }
