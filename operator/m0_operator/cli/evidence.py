"""What the videos themselves tell of M0's health. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from m0_contract.errors import ERRORS, ErrorCode

from m0_operator.cli.findings import Finding
from m0_operator.cli.render import duration
from m0_operator.domain.views import parse_time

STORES = frozenset(
    {
        "SOURCE_FORBIDDEN",
        "SOURCE_UNREACHABLE",
        "DESTINATION_NOT_FOUND",
        "DESTINATION_FORBIDDEN",
        "UPLOAD_FAILED",
    }
)
DEPLOYMENT = frozenset(
    {
        "BAD_CONFIGURATION",
        "SECRETS_UNREACHABLE",
        "IMAGE_PULL",
        "UNSCHEDULABLE",
        "POD_NOT_STARTED",
        "JOB_REFUSED",
        "PUBLISH_UNROUTABLE",
        "DATABASE_REJECTED",
        "DATABASE_UNREACHABLE",
        "BROKER_UNREACHABLE",
        "DISK_FULL",
        "OUT_OF_MEMORY",
        "INTERNAL",
    }
)
RECENT_S = 24 * 3600
WAITS = {
    "PodStarted": ("pods", "`kubectl describe pod` says more; docs/failures.md has the reason"),
    "BackendReported": ("backend, as the operator sees it", "correct graphql.url, or its token"),
    "DeadLettered": ("broker, as the operator sees it", "correct the broker's URL in its Secret"),
    "JobCreated": ("Jobs", "correct the chart's values, or a quota or policy of the namespace"),
}


def judge(videos: Sequence[Mapping[str, Any]], now: datetime) -> Iterable[Finding]:
    """What can be said from how the videos of the last day went, and from what they wait for."""
    yield from _waiting(videos)
    recent = [
        item for item in map(_end, videos) if item and (now - item[0]).total_seconds() < RECENT_S
    ]
    recent.sort(key=lambda item: item[0])
    succeeded = [moment for moment, code in recent if not code]
    last = succeeded[-1] if succeeded else None
    yield _codes("stores", recent, STORES, last, now)
    finding = _codes("what Jobs need", recent, DEPLOYMENT, last, now)
    if finding.state != "unknown":
        yield finding


def _waiting(videos: Sequence[Mapping[str, Any]]) -> Iterable[Finding]:
    found: dict[str, list[str]] = {}
    for raw in videos:
        for item in (raw.get("status") or {}).get("conditions") or ():
            kind = item.get("type")
            if kind in WAITS and item.get("status") == "False":
                found.setdefault(kind, []).append(item.get("message") or item.get("reason") or "")
    for kind, messages in found.items():
        what, fix = WAITS[kind]
        some = f"{len(messages)} video{'s' if len(messages) > 1 else ''}"
        yield Finding(what, "failed", f"{some}: {kind} is False: {messages[0]}", fix)


def _end(raw: Mapping[str, Any]) -> tuple[datetime, str] | None:
    status = raw.get("status") or {}
    moment = parse_time(status.get("finishedAt"))
    if moment is None or status.get("phase") not in {"Succeeded", "Failed"}:
        return None
    return moment, str((status.get("failure") or {}).get("code") or "")


def _codes(
    what: str,
    recent: Sequence[tuple[datetime, str]],
    codes: frozenset[str],
    last: datetime | None,
    now: datetime,
) -> Finding:
    """Failures of this kind; those that a success has followed are over."""
    bad = [code for moment, code in recent if code in codes and (last is None or moment > last)]
    if bad:
        code, number = Counter(bad).most_common(1)[0]
        known = code in set(ErrorCode)
        times = f"{number} video{'s' if number > 1 else ''} failed with {code}"
        remedy = ERRORS[ErrorCode(code)].remedy if known else ""
        return Finding(what, "failed", f"{times}, and none has succeeded since", remedy)
    if last is not None:
        ago = duration((now - last).total_seconds())
        return Finding(what, "ok", f"a video went through {ago} ago")
    return Finding(what, "unknown", "no video went through within a day: submit one to know")
