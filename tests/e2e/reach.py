"""Who reaches whom: pods that listen, and connections that are tried from within pods."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from devstack import ROOT, DevStack, wait_for
from own import NODE

METADATA = "169.254.169.254"
LISTEN = """
import socket, sys

server = socket.create_server(("", int(sys.argv[1])))
while True:
    guest, _ = server.accept()
    with guest:
        if guest.recv(3) == b"end":
            sys.exit()
"""
"""A Python program: it takes connections at a port until one says that it may end."""
_END = """
import socket, sys

socket.create_connection(("127.0.0.1", int(sys.argv[1]))).sendall(b"end")
"""
_TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def reaches(target):
    _, host, port = target
    try:
        if port:
            socket.create_connection((host, port), timeout=3).close()
        else:
            socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True

targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(32) as pool:
    tried = list(pool.map(reaches, targets))
print(json.dumps([name for (name, _, _), well in zip(targets, tried) if well]))
"""
# Perl is in every Debian, and so in kind's own node image as well.
_METADATA = """
my $door = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 64) or die $!;
while (my $guest = $door->accept) { print $guest "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $guest }
"""

Place = tuple[str, ...]
"""A pod, as `kubectl exec` names it: ("POD",) or ("POD", "-c", "CONTAINER")."""
Target = tuple[str, int]
"""An address and a port, or a name that is to be resolved and 0."""


def listener(name: str, image: str, port: int, **labels: str) -> dict[str, Any]:
    """A pod that listens and does nothing else."""
    container = {
        "name": "listener",
        "image": image,
        "command": ["python3", "-c", LISTEN, str(port)],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@contextmanager
def listening(stack: DevStack, place: Place, port: int) -> Iterator[None]:
    """Something else listens in a pod, while the context is open."""
    kubectl = [str(ROOT / ".m0/bin/kubectl"), "-n", stack.namespace, "exec", *place]
    command = [*kubectl, "--", "python3", "-c", LISTEN, str(port)]
    with subprocess.Popen(command, env=os.environ | {"KUBECONFIG": stack.env["KUBECONFIG"]}):
        itself = {"itself": ("127.0.0.1", port)}
        wait_for(f"port {port} of {place[0]}", lambda: reached(stack, place, itself))
        try:
            yield
        finally:
            end(stack, place, port)


def end(stack: DevStack, place: Place, port: int) -> None:
    """Tell what listens in a pod to end."""
    # Where its container ends with it, who tells it may be gone before the answer.
    stack.kubectl("exec", *place, "--", "python3", "-c", _END, str(port), check=False)


def reached(stack: DevStack, place: Place, targets: Mapping[str, Target]) -> set[str]:
    """Try all targets from within a pod; the names of those that were reached."""
    asked = json.dumps([[name, *target] for name, target in targets.items()])
    return set(json.loads(stack.kubectl("exec", *place, "--", "python3", "-c", _TRY, asked)))


@contextmanager
def metadata_service(*ports: int) -> Iterator[None]:
    """A host behind the node has a cloud's metadata address, while the context is open."""
    space = "m0-metadata"
    inside = ("ip", "netns", "exec", space)
    _node("ip", "netns", "add", space)
    try:
        _node("ip", "link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
        _node("ip", "address", "add", "169.254.169.253/30", "dev", space)
        _node("ip", "link", "set", space, "up")
        _node(*inside, "ip", "address", "add", f"{METADATA}/30", "dev", "eth0")
        _node(*inside, "ip", "link", "set", "eth0", "up")
        perl = ("perl", "-MIO::Socket::INET", "-e", _METADATA)
        for port in ports:
            _docker("exec", "--detach", NODE, *inside, *perl, str(port))
        yield
    finally:
        for pid in _node("ip", "netns", "pids", space).split():
            _node("kill", pid)
        _node("ip", "netns", "delete", space)  # and with it both ends of the link


def _node(*command: str) -> str:
    return _docker("exec", NODE, *command)


def _docker(*arguments: str) -> str:
    command = [str(ROOT / ".m0/bin/docker"), *arguments]
    return subprocess.check_output(command, text=True, timeout=60)
