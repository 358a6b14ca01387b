"""`m0 doctor` with a kubeconfig: from the API server to the stores, each after what it rests on."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from m0_contract.resource import GROUP, PLURAL, VERSION

from m0_operator.adapters.cluster import LEASE_NAME
from m0_operator.cli.broker_doctor import look_at_backend, look_at_broker
from m0_operator.cli.cluster import ClusterRoom
from m0_operator.cli.evidence import judge
from m0_operator.cli.findings import Finding
from m0_operator.cli.render import duration
from m0_operator.domain.views import parse_time
from m0_operator.errors import ClusterForbiddenError, OperatorError

RIGHTS = (
    ("get", GROUP, PLURAL, "failed", "m0 get, describe"),
    ("list", GROUP, PLURAL, "failed", "m0 get"),
    ("watch", GROUP, PLURAL, "failed", "m0 watch"),
    ("patch", GROUP, PLURAL, "warn", "m0 stop, suspend"),
    ("create", GROUP, PLURAL, "warn", "m0 submit --direct"),
    ("list", "", "pods", "warn", "m0 logs"),
    ("get", "", "pods/log", "warn", "m0 logs"),
    ("list", "", "events", "warn", "m0 describe"),
    ("list", "apps", "deployments", "warn", "m0 doctor, and finding the broker"),
    ("get", "", "configmaps", "warn", "m0 queue"),
    ("get", "coordination.k8s.io", "leases", "warn", "m0 doctor"),
)
NAMES = {"leases": LEASE_NAME}
"""Where the right to one is enough."""

LOG_LINES = 200
LOOK_AT = 2000
QUIET_S = 300


async def diagnose(room: ClusterRoom) -> AsyncIterator[Finding]:
    """Everything, in the order of cause and effect."""
    try:
        version = await room.cluster.fetch_server_version()
    except OperatorError as error:
        fix = "is it up, and is this the right context? `kubectl cluster-info` asks the same"
        yield Finding(f"cluster {room.cluster.server}", "failed", str(error), fix)
        return
    yield Finding(f"cluster {room.cluster.server}", "ok", version)
    installed = False
    async for finding in _guarded("custom resource", _resource(room)):
        installed = installed or finding.state == "ok"
        yield finding
    for what, look in (
        ("your rights", _rights(room)),
        ("operator", _operator(room)),
        ("leader", _lease(room)),
        ("Secrets of the Jobs", _secrets(room)),
        ("broker", look_at_broker(room)),
        ("backend", look_at_backend(room)),
    ):
        async for finding in _guarded(what, look):
            yield finding
    if installed:
        async for finding in _guarded("videos", _videos(room)):
            yield finding


async def _guarded(what: str, look: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    """What can't be looked at is unknown, and no reason not to look at the rest."""
    try:
        async for finding in look:
            yield finding
    except ClusterForbiddenError as error:
        yield Finding(what, "unknown", f"you may not look: {error}")
    except OperatorError as error:
        yield Finding(what, "unknown", str(error))


async def _resource(room: ClusterRoom) -> AsyncIterator[Finding]:
    what = f"custom resource {PLURAL}.{GROUP}"
    kinds = await room.cluster.fetch_kinds(f"{GROUP}/{VERSION}")
    if kinds is None or PLURAL not in kinds:
        fix = "helm install m0 charts/m0-operator, or kubectl apply -f crds/videochunkjobs.yaml"
        yield Finding(what, "failed", "is not installed", fix)
    else:
        yield Finding(what, "ok", f"{VERSION} is served")


async def _rights(room: ClusterRoom) -> AsyncIterator[Finding]:
    what = f"your rights in namespace {room.cluster.namespace}"
    missing: list[tuple[str, str]] = []
    for verb, group, resource, state, purpose in RIGHTS:
        if not await room.cluster.may(verb, group, resource, NAMES.get(resource, "")):
            missing.append((state, f"{verb} {resource} ({purpose})"))
    if not missing:
        yield Finding(what, "ok", "all that m0 uses")
        return
    failed = any(state == "failed" for state, _ in missing)
    text = "you may not " + ", ".join(text for _, text in missing)
    if room.cluster.inside and not failed:
        fix = "M0's own accounts need none of it for their work: your kubeconfig shows the rest"
        yield Finding(what, "unknown", text, fix)
        return
    fix = "ask for a Role with these; or go through the gateway: --gateway URL"
    yield Finding(what, "failed" if failed else "warn", text, fix)


async def _operator(room: ClusterRoom) -> AsyncIterator[Finding]:
    deployment = await room.cluster.fetch_operator()
    if deployment is None:
        text = f"no Deployment of it in namespace {room.cluster.namespace}"
        fix = "is -n the right namespace? else: helm install m0 charts/m0-operator"
        yield Finding("operator", "failed", text, fix)
        return
    name = deployment["metadata"]["name"]
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    ready = (deployment.get("status") or {}).get("readyReplicas") or 0
    text = f"{ready} of {wanted} ready"
    if wanted == 0:
        fix = f"kubectl -n {room.cluster.namespace} scale deployment/{name} --replicas=1"
        yield Finding(f"operator {name}", "failed", "is scaled to nothing", fix)
        return
    pods = await room.cluster.fetch_operator_pods()
    troubles = [trouble for trouble in map(pod_trouble, pods) if trouble]
    if ready >= wanted:
        yield Finding(f"operator {name}", "ok", text)
    else:
        more = f"; {'; '.join(troubles)}" if troubles else ""
        label = "app.kubernetes.io/component=operator"
        fix = f"kubectl -n {room.cluster.namespace} describe pods -l {label}"
        yield Finding(f"operator {name}", "warn" if ready else "failed", text + more, fix)
    words = await _last_words(room, pods)
    if words:
        yield Finding("operator's log", "warn" if ready else "failed", words)


def pod_trouble(pod: Mapping[str, Any]) -> str:
    """Why a pod is not as it should be; empty where it is."""
    status = pod.get("status") or {}
    name = pod["metadata"]["name"]
    for item in status.get("containerStatuses") or ():
        waiting = (item.get("state") or {}).get("waiting") or {}
        last = (item.get("lastState") or {}).get("terminated") or {}
        if waiting:
            said = f"{waiting.get('reason', 'waiting')} {waiting.get('message', '')}".strip()
            ended = f", it ended with {last.get('exitCode')}" if last else ""
            return f"{name}: {said}{ended}"
        if not item.get("ready"):
            return f"{name}: runs, and is not ready"
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return f"{name}: {item.get('message') or 'no node takes it'}"
    return ""


async def _last_words(room: ClusterRoom, pods: list[dict[str, Any]]) -> str:
    """The newest warning of any of them; empty when all are quiet."""
    newest = ("", "")
    for pod in pods:
        try:
            lines = [
                text
                async for part in room.cluster.read_log(pod["metadata"]["name"], tail=LOG_LINES)
                for text in part
            ]
        except OperatorError:
            continue
        newest = max([newest, *map(read_warning, lines)])
    moment = parse_time(newest[0])
    if moment is None or (datetime.now(UTC) - moment).total_seconds() > QUIET_S:
        return ""
    return newest[1]


def read_warning(line: str) -> tuple[str, str]:
    """(time, what it says) of a log line that warns; empty for any other."""
    try:
        entry = json.loads(line)
    except ValueError:
        return "", ""
    level = str(entry.get("level", "")).upper() if isinstance(entry, dict) else ""
    if level not in {"WARNING", "ERROR", "CRITICAL"}:
        return "", ""
    at = next((str(entry[key]) for key in ("time", "timestamp", "ts") if key in entry), "")
    reason = entry.get("reason") or entry.get("error") or ""
    return at, f"{entry.get('message', '')}" + (f": {reason}" if reason else "")


async def _lease(room: ClusterRoom) -> AsyncIterator[Finding]:
    raw = await room.cluster.fetch_raw_lease(LEASE_NAME)
    finding = judge_lease(raw, datetime.now(UTC))
    yield finding


def judge_lease(raw: Mapping[str, Any] | None, now: datetime) -> Finding:
    """Whether somebody leads."""
    what = f"leader (Lease {LEASE_NAME})"
    fix = "no operator acts: look at the operator's pods and log"
    if raw is None:
        return Finding(what, "failed", "there is none: no operator has ever led here", fix)
    spec = raw.get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    if not holder:
        return Finding(what, "failed", "nobody holds it", fix)
    renewed = parse_time(spec.get("renewTime"))
    if renewed is None:
        return Finding(what, "unknown", f"{holder}, and not when it was renewed")
    silent_s = (now - renewed).total_seconds()
    if silent_s > (spec.get("leaseDurationSeconds") or 15):
        text = f"{holder} was last heard of {duration(silent_s)} ago, by this machine's clock"
        return Finding(what, "failed", text, fix)
    return Finding(what, "ok", f"{holder}, renewed {duration(silent_s)} ago")


async def _secrets(room: ClusterRoom) -> AsyncIterator[Finding]:
    release = await room.release()
    if room.cluster.inside and not release.name:
        yield Finding("Secrets of the Jobs", "unknown", "you may not look which ones they need")
    config = await room.cluster.fetch_config_map(release.name) if release.name else None
    text = ((config or {}).get("data") or {}).get("job.json")
    if not text:
        return
    needed = read_job_secrets(text)
    missing = [name for name in needed if await room.cluster.fetch_secret(name) is None]
    what = "Secrets of the Jobs"
    if missing:
        fix = "create them, or correct the chart's values that name them"
        yield Finding(what, "failed", f"missing: {', '.join(missing)}", fix)
    elif needed:
        yield Finding(what, "ok", ", ".join(needed))


def read_job_secrets(template: str) -> list[str]:
    """The Secrets that a Job template names."""
    try:
        document = json.loads(template)
    except ValueError:
        return []
    found: set[str] = set()
    for item in document.get("env") or ():
        reference = (item.get("valueFrom") or {}).get("secretKeyRef")
        if reference:
            found.add(reference["name"])
    for item in document.get("envFrom") or ():
        if item.get("secretRef"):
            found.add(item["secretRef"]["name"])
    return sorted(found)


async def _videos(room: ClusterRoom) -> AsyncIterator[Finding]:
    videos: list[dict[str, Any]] = []
    token = ""
    while len(videos) < LOOK_AT:
        page = await room.cluster.list_page(limit=500, token=token, version="")
        videos += page.items
        token = page.token
        if not token:
            break
    for finding in judge(videos, datetime.now(UTC)):
        yield finding
