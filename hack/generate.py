"""Writes the files that are made from others; `--check` only says which are out of date.

Usage: generate.py [--check]
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from chart_readme import build_readme
from chart_schema import build_schema
from dashboard import build_dashboard
from m0_contract.errors import ERRORS, ErrorCode, Verdict

ROOT = Path(__file__).resolve().parent.parent

VERDICTS = {
    Verdict.PERMANENT: "fails at once",
    Verdict.TRANSIENT: "tried again",
    Verdict.DISRUPTED: "tried again, not counted",
}

FAILURES_HEAD = """\
# How a request can fail

One word says why, and it is the same in the resource (`status.failure.code`), its events,
the dead letter (`x-m0-error-code`) and the backend's status. Every failed request ends in
exactly one dead letter.

| code | stage | the same again | what to do |
|---|---|---|---|
"""

CAUSES_HEAD = """
## From what happened to the code

| what happened | code |
|---|---|
"""

CAUSES: tuple[tuple[str, ErrorCode], ...] = (
    ("the body is no JSON object, no UTF-8, or nested too deep", ErrorCode.INVALID_JSON),
    (
        "a field is missing, malformed or out of range; the API refuses the request",
        ErrorCode.INVALID_REQUEST,
    ),
    ("the body is larger than 240 KiB", ErrorCode.REQUEST_TOO_LARGE),
    ("its `process_id` belongs to another request", ErrorCode.CONFLICT),
    ("the film's object, bucket or version is missing", ErrorCode.SOURCE_NOT_FOUND),
    ("the film may not be read", ErrorCode.SOURCE_FORBIDDEN),
    (
        "the network to the film's store is down, it answers 5xx or is too slow, after all tries",
        ErrorCode.SOURCE_UNREACHABLE,
    ),
    ("the film is replaced while it is read", ErrorCode.SOURCE_CHANGED),
    ("the file is empty, a text, a playlist, a list of files", ErrorCode.NOT_MEDIA),
    ("a codec or container that can't be cut", ErrorCode.UNSUPPORTED_MEDIA),
    (
        "hostile or too long: more pixels, streams, hours or chunks than the deployment allows",
        ErrorCode.LIMIT_EXCEEDED,
    ),
    ("cut off, damaged, or nothing comes of it for too long", ErrorCode.SOURCE_CORRUPT),
    ("libav refuses in the middle of the film", ErrorCode.CHUNK_FAILED),
    ("what was written does not add up", ErrorCode.INTEGRITY),
    ("the disk is full, or the pod was evicted for its use of it", ErrorCode.DISK_FULL),
    ("the destination's bucket is missing", ErrorCode.DESTINATION_NOT_FOUND),
    ("the destination may not be written", ErrorCode.DESTINATION_FORBIDDEN),
    (
        "the destination's store is away, answers 5xx or is too slow, after all tries",
        ErrorCode.UPLOAD_FAILED,
    ),
    ("the backend refuses a row", ErrorCode.DATABASE_REJECTED),
    ("the backend is away while a film is cut, for 80 minutes", ErrorCode.DATABASE_UNREACHABLE),
    ("the results queue is missing", ErrorCode.PUBLISH_UNROUTABLE),
    ("the broker is away while a film is cut, for 80 minutes", ErrorCode.BROKER_UNREACHABLE),
    ("a setting of the deployment makes no sense", ErrorCode.BAD_CONFIGURATION),
    (
        "the secret of `secrets.source` is missing, forbidden or malformed",
        ErrorCode.BAD_CONFIGURATION,
    ),
    ("the service of `secrets.source` is away, for 80 minutes", ErrorCode.SECRETS_UNREACHABLE),
    ("killed for memory, the last time with `chunker.memoryCap`", ErrorCode.OUT_OF_MEMORY),
    ("the Job's deadline passed", ErrorCode.DEADLINE_EXCEEDED),
    ("the deadline passed and the image could not be pulled", ErrorCode.IMAGE_PULL),
    ("the deadline passed and no node took the pod", ErrorCode.UNSCHEDULABLE),
    (
        "the deadline passed and the pod could not start: a missing Secret, a volume, a quota",
        ErrorCode.POD_NOT_STARTED,
    ),
    ("the node fell silent again and again", ErrorCode.NODE_LOST),
    ("somebody or something killed the chunker, four times", ErrorCode.KILLED),
    ("the cluster refuses the Job's manifest", ErrorCode.JOB_REFUSED),
    ("somebody deleted the Job or its finished pod, four times", ErrorCode.JOB_LOST),
    ("`spec.stop`, or the resource was deleted", ErrorCode.STOPPED),
    (
        "told to end by anybody, as in an eviction or a drain; ends no video by itself",
        ErrorCode.DISRUPTED,
    ),
    ("anything that nobody foresaw", ErrorCode.INTERNAL),
)
"""What people see happen, in their words; every code has at least one."""

CAUSES_TAIL = """
## What is told while it is not over

A backend that is away delays only statuses: `BackendReported` is `False` with what it said, an
event tells it once, and it is tried again for as long as it takes, at most a minute apart. A
broker that is away delays dead letters in the same way (`DeadLettered`). A pod that can't start is
told within a minute: `PodStarted` is `False` with the reason `ImagePullFailed`, `Unschedulable` or
`PodNotStarted`, and the same is an event. A run that failed and is tried again says why in
`status.message` until the next one is at work, and in an event `RunFailed`; a Job that another one
follows is an event `StartedAgain`, with why.
"""


def failures() -> str:
    """docs/failures.md, from the failure table."""
    rows = (
        f"| `{code}` | {entry.stage} | {VERDICTS[entry.verdict]} | {entry.remedy} |"
        for code, entry in ERRORS.items()
    )
    unexplained = ERRORS.keys() - {code for _, code in CAUSES}
    assert not unexplained, f"no cause is given for {unexplained}"
    causes = (f"| {cause} | `{code}` |" for cause, code in CAUSES)
    return (
        FAILURES_HEAD
        + "\n".join(rows)
        + "\n"
        + CAUSES_HEAD
        + "\n".join(causes)
        + "\n"
        + CAUSES_TAIL
    )


def crd() -> str:
    """The chart's copy of the CRD: a chart can only read files that lie inside it."""
    return (ROOT / "crds/videochunkjobs.yaml").read_text()


CHART = ROOT / "charts" / "m0-operator"


def chart_schema() -> str:
    """The chart's values.schema.json, from its commented values.yaml."""
    title = "Values of m0-operator"
    return build_schema(CHART / "values.yaml", title, ["image", "chunker", "rabbitmq"])


def chart_readme() -> str:
    """The chart's README.md, likewise."""
    return build_readme(CHART / "values.yaml", ROOT / "hack" / "chart_readme_head.md")


GENERATED: dict[str, Callable[[], str]] = {
    "charts/m0-operator/README.md": chart_readme,
    "charts/m0-operator/files/dashboard.json": build_dashboard,
    "charts/m0-operator/files/videochunkjobs.yaml": crd,
    "charts/m0-operator/values.schema.json": chart_schema,
    "docs/failures.md": failures,
}
"""File, relative to the repository → what must be in it."""


def main() -> int:
    """Generate, or check; 1 when the check found a stale file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args().check
    stale = 0
    for name, make in GENERATED.items():
        path, text = ROOT / name, make()
        if path.is_file() and path.read_text() == text:
            continue
        stale += 1
        if check:
            print(f"{name} is out of date: run `make generate`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
