"""`make dashboard-picture`: docs/dashboard.svg, the chart's dashboard over a real Prometheus.

Grafana is not at hand here. So each panel's own queries are asked of a Prometheus that has
watched an operator at work, a backend that was away for a while among it, and drawn where
the dashboard has them. Needs a running cluster.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from chaos.films import films_in_store
from devstack import ROOT, wait_for
from own import OwnStack, own_stack
from prometheus import Prometheus, prometheus
from way import Way

PICTURE = ROOT / "docs" / "dashboard.svg"
DASHBOARD = ROOT / "charts/m0-operator/files/dashboard.json"
VIDEOS, EVERY_S, AWAY_FROM, AWAY_UNTIL = 56, 3.0, 18, 27
STEP_S, RATE_S = 5, 40
COLUMN, ROW, GAP, HEAD = 320, 23, 8, 56
LEFT, TOP, RIGHT, BOTTOM = 46, 30, 8, 34
COLOURS = ("#388bfd", "#f0883e", "#3fb950", "#f85149", "#a371f7", "#d29922", "#39c5cf")
UNITS = {"s": "s", "bytes": "B", "Bps": "B/s", "reqps": "/s", "cps": "/s"}
STYLE = """
  text { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
  .panel { fill: #8b949e; fill-opacity: .07; stroke: #8b949e; stroke-opacity: .35 }
  .title { font-weight: 600 } .row { font-size: 13px; font-weight: 600 }
  .head { font-size: 15px; font-weight: 600 } .stat { font-size: 34px; font-weight: 600 }
  .small { font-size: 9.5px; fill: #57606a } .grid { stroke: #8b949e; stroke-opacity: .25 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } }
"""

Series = list[tuple[str, list[tuple[float, float]]]]


def main() -> int:
    """Let an operator work, then draw."""
    with tempfile.TemporaryDirectory() as directory, own_stack(Path(directory)) as own:
        backend = Way(own.env["M0_GRAPHQL_URL"])
        operator = own.start_leader(M0_GRAPHQL_URL=backend.url, M0_MAX_ACTIVE_JOBS="3")
        labels = {"namespace": own.namespace, "job": "m0-operator-metrics"}
        with prometheus(Path(directory), [operator.port], labels) as server:
            began = time.time()
            _work(own, backend)
            time.sleep(10)
            PICTURE.write_text(draw(server, own.namespace, began, time.time()))
    print(f"wrote {PICTURE.relative_to(ROOT)}")
    return 0


def _work(own: OwnStack, backend: Way) -> None:
    """A request each few seconds, each seventh of them a bad one."""
    first = int(time.time() * 10) * 1000
    with films_in_store(own, directory="picture") as films:
        for number in range(VIDEOS):
            if number in (AWAY_FROM, AWAY_UNTIL):
                backend.switch(open_=number == AWAY_UNTIL)
            request: dict[str, Any] = {
                "process_id": first + number,
                "inference_modality": "batch",
                "cloud_stream_path": films.junk if number % 14 == 13 else films.film,
                "destination_prefix": 7 if number % 14 == 6 else f"processed/{first + number}/",
                "cache_container_name": "spectra-cache",
                "video_preprocessing": {"chunk_duration": 4},
            }
            own.publish(request, queue=own.requests, priority=number % 10)
            time.sleep(EVERY_S)
        wait_for("all to be over", lambda: own.depth(own.requests) == 0 and _all_over(own), 600)


def _all_over(own: OwnStack) -> bool:
    found = json.loads(own.kubectl("get", "vcj", "-o", "json"))["items"]
    return all(item["status"].get("phase") in ("Succeeded", "Failed") for item in found)


def draw(server: Prometheus, namespace: str, start: float, end: float) -> str:
    """The dashboard as SVG."""
    board = json.loads(DASHBOARD.read_text())
    panels = board["panels"]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 3 * COLUMN + 4 * GAP, HEAD + bottom * ROW + GAP
    minutes = (end - start) / 60
    about = (
        f"{VIDEOS} requests in {minutes:.0f} min, some of them bad; the backend away for a while"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
        f"<style>{STYLE}</style>",
        f'<text class="head" x="{GAP}" y="24">{escape(board["title"])}</text>',
        f'<text class="small" x="{GAP}" y="42">{about}. Made by make dashboard-picture.</text>',
    ]
    for panel in panels:
        x = GAP + panel["gridPos"]["x"] // 8 * (COLUMN + GAP)
        y = HEAD + panel["gridPos"]["y"] * ROW
        parts.append(f'<g transform="translate({x},{y})">')
        if panel["type"] == "row":
            parts.append(f'<text class="row" x="0" y="16">{escape(panel["title"])}</text>')
        else:
            series = list(_ask(server, panel, namespace, start, end))
            parts += _panel(panel, series, start, end)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ask(
    server: Prometheus, panel: dict[str, Any], namespace: str, start: float, end: float
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    for target in panel["targets"]:
        text = target["expr"].replace("$namespace", namespace)
        text = text.replace("$__rate_interval", f"{RATE_S}s")
        text = text.replace("$__range", f"{end - start:.0f}s")
        for found in server.ask_range(text, start, end, STEP_S):
            name = target["legendFormat"]
            for label, value in found["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            points = [(float(at), float(value)) for at, value in found["values"]]
            yield name or "none", [point for point in points if math.isfinite(point[1])]


def _panel(panel: dict[str, Any], series: Series, start: float, end: float) -> list[str]:
    unit = UNITS.get(panel["fieldConfig"]["defaults"].get("unit", ""), "")
    height = panel["gridPos"]["h"] * ROW - GAP
    parts = [
        f'<rect class="panel" width="{COLUMN}" height="{height}" rx="4"/>',
        f'<text class="title" x="10" y="18">{escape(panel["title"])}</text>',
    ]
    if panel["type"] == "stat":
        name, points = series[0]
        value = f"{points[-1][1]:g}"
        parts.append(f'<text class="stat" x="10" y="{height / 2 + 16}">{value}</text>')
        return [*parts, f'<text class="small" x="10" y="{height - 12}">{escape(name)}</text>']
    most = max((value for _, points in series for _, value in points), default=0) or 1
    top = _round_up(most)
    parts += _axis(top, unit, height)
    if len(series) > len(COLOURS):
        # One for each code that there is: those that never came are left out.
        series = [each for each in series if any(value for _, value in each[1])] or series[:1]
    at = 10.0
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(
            f"{_x((when - start) / (end - start)):.1f},{_y(value / top, height):.1f}"
            for when, value in points
        )
        square = f'<tspan fill="{colour}">■</tspan>'
        said = f'<text class="small" x="{at:.0f}" y="{height - 8}">{square} {escape(name)}</text>'
        parts += [f'<polyline points="{line}" fill="none" stroke="{colour}"/>', said]
        at += 5.4 * len(name) + 22
    return parts


def _axis(top: float, unit: str, height: int) -> list[str]:
    parts = []
    for part in (0, 0.5, 1):
        y = _y(part, height)
        said = f"{_short(top * part)}{unit}"
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{_x(1)}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text class="small" x="{LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{said}</text>',
        ]
    return parts


def _x(part: float) -> float:
    return LEFT + (COLUMN - LEFT - RIGHT) * part


def _y(part: float, height: int) -> float:
    return TOP + (height - TOP - BOTTOM) * (1 - part)


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
