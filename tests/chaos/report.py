"""docs/chaos.md: what was done, what came out, and whether that is right.

The document is its own memory: a run of some scenes replaces their lines and leaves the others.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from chaos.cells import MATRIX
from chaos.judge import Result, describe

HEAD = """# What happens when things die

Made by `make chaos`; do not edit. **{cells} cells, {wrong}.**

Each line is one request on the real cluster. *Dies at* names a crash point (`crash.point` in the
code): the process that comes by it ends there at once, as by SIGKILL, in the operator or in the
chunker. A fault is a thing that is done to the world around, at a moment that does not depend on
luck: processes are held at a crash point until it has happened. A point that nobody reached makes
a cell wrong, and so does the smallest difference in what must be there: rows, objects in both
stores with their hashes and metadata, messages, dead letters byte for byte, statuses in their
order. At the very end all queues are looked through again for what came late.

- Chunk messages may come again only where a chunker ended (at most two for each), or by one where
  the broker could not confirm it; the same chunk then has the same hash.
- A dead letter may come again only where a process dies between its confirmation and its record,
  and then with the same message id.
- Where only the operator dies, no second pod of the chunker is started.

How it is built: [architecture](architecture.md#what-is-killed-on-purpose).
"""
TABLE = (
    "| request | what was done | what came out | seconds | played | |\n|---|---|---|---|---|---|"
)

Key = tuple[str, str]
"""(request, what was done)"""


@dataclass(frozen=True)
class Line:
    """A row of a table, as it is written."""

    came_out: str
    seconds: str
    played: str
    mark: str


def read(text: str) -> dict[Key, Line]:
    """The rows of an earlier report."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {(row[0], row[1]): Line(*row[2:6]) for row in rows if len(row) == 6}


def lines_of(results: list[Result]) -> dict[Key, Line]:
    """Results as rows."""
    today = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return {
        (result.cell.kind, describe(result.scene, result.cell)): Line(
            (result.wrong or result.came_out).replace("|", "/"),
            f"{result.seconds:.0f}",
            today,
            "✗" if result.wrong else "✓",
        )
        for result in results
    }


def render(known: dict[Key, Line], late: list[str]) -> str:
    """The whole document, in the matrix's order; what is no longer in the matrix is left out."""
    tables, marks = [], []
    for title, scenes in MATRIX.items():
        keys = [(cell.kind, describe(scene, cell)) for scene in scenes for cell in scene.cells]
        rows = [(key, known[key]) for key in dict.fromkeys(keys) if key in known]
        marks += [line.mark for _, line in rows]
        tables.append(f"## {title}\n\n{TABLE}\n" + "\n".join(_row(*row) for row in rows) + "\n")
    bad = marks.count("✗")
    wrong = f"{bad} of them not as they must be" if bad else "each as it must be"
    if late:
        tables.append("## What came late\n\n" + "\n".join(f"- {line}" for line in late) + "\n")
    return "\n".join([HEAD.format(cells=len(marks), wrong=wrong), *tables])


def _row(key: Key, line: Line) -> str:
    cells = (*key, line.came_out, line.seconds, line.played, line.mark)
    return f"| {' | '.join(cells)} |"
