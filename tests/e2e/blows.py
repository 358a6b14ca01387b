"""Ways in which a Job's pod is ended before its time."""

import json
import subprocess
from typing import Any

from devstack import ROOT, DevStack, wait_for
from own import NODE


def pods(stack: DevStack, process_id: int | str) -> list[dict[str, Any]]:
    """The request's pods, oldest first."""
    found = stack.items("pods", f"m0.sightapi.io/videochunkjob=video-{process_id}")
    return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def running_pod(stack: DevStack, process_id: int | str) -> str | None:
    """The name of the pod that is at work, if one is."""
    for pod in reversed(pods(stack, process_id)):
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
            return str(pod["metadata"]["name"])
    return None


def delete(stack: DevStack, pod: str) -> None:
    """Without a word of warning, as when somebody is in a hurry."""
    stack.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def evict(stack: DevStack, pod: str) -> None:
    """As when a node is drained: SIGTERM, and Kubernetes knows that it is not the pod's fault."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{stack.namespace}/pods/{pod}/eviction"
    stack.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def kill(stack: DevStack, pod: str) -> None:
    """SIGKILL, as when memory runs out."""
    signal_container(stack, pod, "chunker", "SIGKILL")


def signal_container(stack: DevStack, pod: str, container: str, signal: str) -> None:
    """From the node, since a container's first process may ignore it from within."""
    ctr = [str(ROOT / ".m0/bin/docker"), "exec", NODE, "ctr", "--namespace=k8s.io"]
    uid = json.loads(stack.kubectl("get", "pod", pod, "-o", "json"))["metadata"]["uid"]
    labels = 'labels."io.kubernetes.pod.uid"', 'labels."io.kubernetes.container.name"'
    chosen = f"{labels[0]}=={uid},{labels[1]}=={container}"
    found = subprocess.run(
        [*ctr, "containers", "ls", "-q", chosen], check=True, capture_output=True, text=True
    )
    # Earlier ones of a container that was restarted are still listed: they have no task.
    listed = subprocess.run(
        [*ctr, "tasks", "ls", "-q"], check=True, capture_output=True, text=True
    ).stdout.split()
    alive = [task for task in found.stdout.split() if task in listed]
    subprocess.run(
        [*ctr, "tasks", "kill", "--all", "--signal", signal, *alive],
        check=True,
        capture_output=True,
    )


def delete_job(stack: DevStack, pod: str) -> None:
    """The whole Job, as somebody who tidies up might: the operator makes another."""
    found = json.loads(stack.kubectl("get", "pod", pod, "-o", "json"))
    job = found["metadata"]["labels"]["batch.kubernetes.io/job-name"]
    stack.kubectl("delete", "job", job, "--wait=false")


def suspend(stack: DevStack, pod: str) -> None:
    """By the resource's own switch, until the pod is gone."""
    found = json.loads(stack.kubectl("get", "pod", pod, "-o", "json"))
    name = found["metadata"]["labels"]["m0.sightapi.io/videochunkjob"]

    def switch(*, on: bool) -> None:
        patch = json.dumps({"spec": {"suspend": on}})
        stack.kubectl("patch", "vcj", name, "--type=merge", "-p", patch)

    switch(on=True)
    wait_for("the pod to go", lambda: pod not in stack.kubectl("get", "pods", "-o", "name"))
    switch(on=False)
