"""docs/chaos.md: what was done, what came out, and whether that is right."""

from datetime import UTC, datetime

from chaos.judge import Result, describe

HEAD = """# What happens when things die

Made by `make chaos`; do not edit. {date}: **{cells} cells, {wrong}**, in {minutes:.0f} minutes.

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


def render(found: dict[str, list[Result]], late: list[str], minutes: float) -> str:
    """The whole document."""
    results = [result for part in found.values() for result in part]
    bad = sum(bool(result.wrong) for result in results)
    head = HEAD.format(
        date=datetime.now(UTC).date().isoformat(),
        cells=len(results),
        wrong=f"{bad} of them not as they must be" if bad else "each as it must be",
        minutes=minutes,
    )
    parts = [head, *(_table(title, part) for title, part in found.items())]
    if late:
        parts.append("## What came late\n\n" + "\n".join(f"- {line}" for line in late) + "\n")
    return "\n".join(parts)


def _table(title: str, results: list[Result]) -> str:
    lines = [
        f"## {title}",
        "",
        "| request | what was done | what came out | |",
        "|---|---|---|---|",
    ]
    for result in results:
        done = describe(result.scene, result.cell)
        came = result.wrong or result.came_out
        mark = "✗" if result.wrong else "✓"
        lines.append(f"| {result.cell.kind} | {_cell(done)} | {_cell(came)} | {mark} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
