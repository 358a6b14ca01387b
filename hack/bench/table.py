"""Numbers as Markdown."""

from collections.abc import Sequence

MIB = 2**20


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, its first column to the left, the others to the right, aligned in the source too."""
    lines = [list(heads), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    out = []
    for line in (lines[0], rule, *lines[1:]):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True)]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def seconds(value: float) -> str:
    """Two decimals, or three digits."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def times(value: float) -> str:
    """A ratio, e.g. `1.4 ×`, with as many digits as mean something."""
    return f"{value:.2f} ×" if value < 10 else f"{value:.0f} ×"


def mib(value: float) -> str:
    """Bytes as MiB."""
    return f"{value / MIB:.0f}" if value >= 10 * MIB or value == 0 else f"{value / MIB:.1f}"
