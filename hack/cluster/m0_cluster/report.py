"""What a person asks: status, logs, and the addresses of the running dev stack (dev.env)."""

import json
import shlex

from . import cluster, engine
from .cluster import Tools
from .engine import Engine
from .settings import PORTS, STACK_PASSWORD, Settings
from .shell import Failure, output, works

# Azurite's well-known account; its key is in Azurite's own documentation
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
LOG_LINES = 60
JOB_PODS = 3


def dev_env(settings: Settings, ports: dict[str, int]) -> dict[str, str]:
    """Return the variables of `.m0/dev.env`."""
    host = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    azure = {
        "DefaultEndpointsProtocol": "http",
        "AccountName": AZURE_ACCOUNT,
        "AccountKey": AZURE_KEY,
        "BlobEndpoint": f"http://{host['azure']}/{AZURE_ACCOUNT}",
    }
    return {
        "KUBECONFIG": str(settings.kubeconfig),
        "M0_NAMESPACE": settings.namespace,
        "M0_AMQP_URL": f"amqp://m0:{STACK_PASSWORD}@{host['amqp']}/",
        "M0_S3_ENDPOINT_URL": f"http://{host['s3']}",
        "AWS_ACCESS_KEY_ID": "m0dev",
        "AWS_SECRET_ACCESS_KEY": STACK_PASSWORD,
        "AWS_REGION": "us-east-1",
        "AZURE_STORAGE_CONNECTION_STRING": "".join(f"{k}={v};" for k, v in azure.items()),
        "M0_GRAPHQL_URL": f"http://{host['graphql']}/graphql",
        "M0_DATABASE_URL": f"postgresql://m0:{STACK_PASSWORD}@{host['postgres']}/m0",
        "M0_GATEWAY_URL": f"http://{host['gateway']}",
    }


def write_dev_env(settings: Settings, ports: dict[str, int]) -> None:
    """Write `.m0/dev.env`, for `source` (values are quoted only where a shell needs it)."""
    lines = [f"{key}={shlex.quote(value)}\n" for key, value in dev_env(settings, ports).items()]
    partial = settings.dev_env.with_suffix(".partial")
    partial.write_text("".join(lines))
    partial.rename(settings.dev_env)


def print_env(settings: Settings) -> None:
    """Print where dev.env is and what it says.

    Raises:
        Failure: there is none.
    """
    if not settings.dev_env.exists():
        raise Failure("there is no dev.env", hint="run `up` first")
    print(f"# {settings.dev_env}\n{settings.dev_env.read_text()}", end="")


def status(settings: Settings, tools: Tools) -> bool:
    """Print what runs; return whether the cluster is ready."""
    found = engine.find(settings)
    if not found:
        print("docker     no engine answers")
        return False
    print(f"docker     {'our own, ' + found.host if found.host else 'yours'} ({found.cli})")
    known = cluster.owned(settings, found)
    if not known:
        print(f"cluster    {settings.cluster}: none")
        return False
    ready = cluster.is_ready(settings, found, tools)
    print(f"cluster    {settings.cluster}: {'ready' if ready else 'not ready'}, {known.image}")
    for port in PORTS:
        print(f"           {port.name:<9} 127.0.0.1:{known.ports[port.name]}")
    if ready:
        helm = [tools.helm, "list", "-n", settings.namespace, f"--kubeconfig={settings.kubeconfig}"]
        _show("helm releases", helm)
        for title, kind in (("pods", "pods"), ("video chunk jobs", "vcj")):
            argv = ["-n", settings.namespace, "get", kind]
            _show(title, cluster.kubectl(settings, tools, *argv))
    return ready


def has_m0(settings: Settings, docker: Engine) -> bool:
    """Tell whether our cluster's API answers and M0 is installed, from inside the node."""
    known = cluster.owned(settings, docker)
    if not known or not known.container:
        return False
    inside = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=10s"]
    argv = docker.argv("exec", settings.node, *inside, "-n", settings.namespace)
    return works([*argv, "get", "deployment", "m0-operator"], env=docker.env, timeout_s=20)


def logs(settings: Settings, tools: Tools) -> None:
    """Print the end of the logs of M0's pods and of the last Jobs' pods.

    Raises:
        Failure: the cluster does not answer.
    """
    get = ["-n", settings.namespace, "get", "pods", "-o", "json"]
    get += ["--sort-by=.metadata.creationTimestamp"]
    pods = json.loads(output(cluster.kubectl(settings, tools, *get)))["items"]
    labels = {pod["metadata"]["name"]: pod["metadata"].get("labels", {}) for pod in pods}
    job = [name for name, has in labels.items() if "batch.kubernetes.io/job-name" in has]
    own = [
        name
        for name, has in labels.items()
        if has.get("app.kubernetes.io/instance") == "m0" and name not in job
    ]
    for name in own + job[-JOB_PODS:]:
        argv = ["-n", settings.namespace, "logs", name, "--all-containers", f"--tail={LOG_LINES}"]
        _show(name, cluster.kubectl(settings, tools, *argv))


def _show(title: str, argv: list[str]) -> None:
    print(f"\n--- {title}")
    try:
        print(output(argv, timeout_s=30).rstrip())
    except Failure as failure:
        print(failure.what.splitlines()[-1])
