"""The plot of docs/performance.md: bars on a logarithmic scale, as SVG by hand.

No plotting library: the drawing is a few rectangles, and its colours follow the reader's
light or dark theme.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 860, 214, 92
BAR, GAP, GROUP_GAP, TOP, BOTTOM, HEAD = 13, 2, 11, 88, 30, 38

STYLE = """
  text { font: 12.5px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
         fill: #24292f }
  .title { font-size: 15px; font-weight: 600 } .small { font-size: 11.5px; fill: #57606a }
  .value { font-size: 11.5px } .grid { stroke: #8b949e; stroke-opacity: .28 }
  .one { stroke: #57606a; stroke-dasharray: 4 3 } .ours { font-weight: 600 }
  .s0 { fill: #54a3d8 } .s1 { fill: #1f5f99 } .o0 { fill: #f0a35e } .o1 { fill: #c4571b }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .one { stroke: #9198a1 }
    .s0 { fill: #79c0ff } .s1 { fill: #388bfd } .o0 { fill: #ffc680 } .o1 { fill: #f0883e }
  }
"""


@dataclass(frozen=True)
class Bars:
    """One panel.

    Attributes:
        title: above it.
        series: names of the bars in each group, e.g. two numbers of chunks.
        rows: (label, one value a series; None where it was not measured).
        ours: label that is drawn in the other colour.
        limit: where the dashed line is.
        limit_text: what it means.
    """

    title: str
    series: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | None]]]
    ours: str
    limit: float
    limit_text: str


def draw(panels: Sequence[Bars], title: str, subtitle: str) -> str:
    """The whole picture."""
    body = [
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
        f'<text class="small" x="16" y="46">{escape(subtitle)}</text>',
    ]
    top = TOP
    for panel in panels:
        drawn, height = _panel(panel, top)
        body += drawn
        top += height
    lines = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top - HEAD}" '
        f'width="{WIDTH}" height="{top - HEAD}" role="img">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n{lines}\n</svg>\n"
    )


def _panel(panel: Bars, top: int) -> tuple[list[str], int]:
    """Its elements and its height in pixels."""
    values = [value for _, row in panel.rows for value in row if value]
    if not values:
        return [], 0
    scale = _Scale(min(*values, panel.limit), max(*values, panel.limit))
    group = len(panel.series) * (BAR + GAP) + GROUP_GAP
    height = len(panel.rows) * group
    bottom = top + height
    out = [f'<text x="16" y="{top - 16}" class="ours">{escape(panel.title)}</text>']
    out += _legend(panel, top - 16)
    out += _grid(scale, top, bottom)
    x = scale.at(panel.limit)
    out.append(f'<line class="one" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 14}" y2="{bottom}"/>')
    text = escape(panel.limit_text)
    out.append(f'<text class="small" x="{x + 5:.1f}" y="{top - 5}">{text}</text>')
    for index, (label, row) in enumerate(panel.rows):
        out += _group(panel, scale, top + index * group, label, row)
    return out, height + BOTTOM + HEAD


def _legend(panel: Bars, y: int) -> list[str]:
    if len(panel.series) < 2:
        return []
    out, x = [], WIDTH - RIGHT - 110 * len(panel.series) + 60
    for index, name in enumerate(panel.series):
        out.append(f'<rect class="s{index}" x="{x}" y="{y - 10}" width="11" height="11" rx="2"/>')
        out.append(f'<text class="small" x="{x + 16}" y="{y}">{escape(name)}</text>')
        x += 110
    return out


def _grid(scale: "_Scale", top: int, bottom: int) -> list[str]:
    out = []
    for value in scale.ticks():
        x = scale.at(value)
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 4}" y2="{bottom}"/>')
        label = f'x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{value:g} ×</text>'
        out.append(f'<text class="small" {label}')
    return out


def _group(
    panel: Bars, scale: "_Scale", top: int, label: str, row: Sequence[float | None]
) -> list[str]:
    ours = label == panel.ours
    middle = top + len(panel.series) * (BAR + GAP) / 2 + 4
    mark = ' class="ours"' if ours else ""
    anchor = f'x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end"'
    out = [f"<text{mark} {anchor}>{escape(label)}</text>"]
    for index, value in enumerate(row):
        if not value:
            continue
        y, end = top + index * (BAR + GAP), scale.at(value)
        width = max(end - LEFT, 1.5)
        colour = f"{'o' if ours else 's'}{index}"
        box = f'x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"'
        out.append(f'<rect class="{colour}" {box}/>')
        text = f"{value:.2f}" if value < 10 else f"{value:.0f}"
        place = f'x="{LEFT + width + 5:.1f}" y="{y + BAR - 2.5:.1f}"'
        out.append(f'<text class="value{" ours" if ours else ""}" {place}>{text} ×</text>')
    return out


class _Scale:
    """Logarithmic, from a little below the smallest value."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = math.log10(low * 0.7), math.log10(high * 1.1)

    def at(self, value: float) -> float:
        """Pixels from the left."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        """Powers of ten, and 2 and 5 times them where there is room."""
        steps = (1, 2, 5) if self._high - self._low < 2.6 else (1,)
        exponents = range(math.floor(self._low), math.ceil(self._high) + 1)
        found = [step * 10.0**exponent for exponent in exponents for step in steps]
        return [value for value in found if self._low <= math.log10(value) <= self._high]
