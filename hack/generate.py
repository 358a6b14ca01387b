"""Writes the files that are made from others; `--check` only says which are out of date.

Usage: generate.py [--check]
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from m0_contract.errors import ERRORS, Verdict

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


def failures() -> str:
    """docs/failures.md, from the failure table."""
    rows = (
        f"| `{code}` | {entry.stage} | {VERDICTS[entry.verdict]} | {entry.remedy} |"
        for code, entry in ERRORS.items()
    )
    return FAILURES_HEAD + "\n".join(rows) + "\n"


def crd() -> str:
    """The chart's copy of the CRD: a chart can only read files that lie inside it."""
    return (ROOT / "crds/videochunkjobs.yaml").read_text()


GENERATED: dict[str, Callable[[], str]] = {
    "charts/m0-operator/files/videochunkjobs.yaml": crd,
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
