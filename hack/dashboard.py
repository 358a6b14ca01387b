"""The Grafana dashboard of the chart, from a table of its panels."""

import json
from dataclasses import dataclass
from typing import Any

ON = 'namespace=~"$namespace"'
WIDTH, HEIGHT = 24, 7
PER_ROW = 3


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        unit: Grafana's name of it.
        queries: legend → PromQL, where ON stands for the labels to select by.
    """

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


def quantiles(metric: str) -> dict[str, str]:
    """Median and 95th percentile of a histogram."""
    return {
        f"p{percent}": f"histogram_quantile({percent / 100}, "
        f"sum by (le) (rate({metric}_bucket{{ON}}[$__rate_interval])))"
        for percent in (50, 95)
    }


def rate(metric: str, by: str = "") -> str:
    """Of a counter, by a label."""
    return f"sum {f'by ({by}) ' if by else ''}(rate({metric}{{ON}}[$__rate_interval]))"


def mean(total: str, count: str) -> str:
    """Of what two counters count together."""
    return f"{rate(total)} / {rate(count)}"


_OURS = '{ON,job=~".*operator.*"}'

ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel("Leaders", "none", {"leaders": "sum(m0_leader{ON})"}, "stat"),
        Panel("Operators", "none", {"{{version}}": "sum by (version) (m0_build_info{ON})"}, "stat"),
        Panel(
            "Videos that can't start", "none", {"videos": "max(m0_videos_not_starting{ON})"}, "stat"
        ),
        Panel("Messages ready", "none", {"{{queue}}": "max by (queue) (m0_queue_messages{ON})"}),
        Panel(
            "No message is older than",
            "s",
            {"requests": 'max(m0_queue_not_empty_seconds{ON,queue="requests"})'},
        ),
        Panel(
            "Slots", "none", {"used": "max(m0_slots_used{ON})", "limit": "max(m0_slots_limit{ON})"}
        ),
        Panel("Requests settled", "reqps", {"{{result}}": rate("m0_requests_total", "result")}),
    ),
    "Videos": (
        Panel("Wait in the queue", "s", quantiles("m0_request_wait_seconds")),
        Panel("Resource to first run", "s", quantiles("m0_video_start_seconds")),
        Panel("First run to end", "s", quantiles("m0_video_run_seconds")),
        Panel("Time to first chunk", "s", quantiles("m0_video_first_chunk_seconds")),
        Panel(
            "Ended",
            "none",
            {"{{phase}}": "sum by (phase) (increase(m0_videos_total{ON}[$__range]))"},
        ),
        Panel(
            "Failures by code",
            "none",
            {"{{code}}": 'sum by (code) (increase(m0_videos_total{ON,code!=""}[$__range])) > 0'},
        ),
        Panel(
            "Dead letters by code",
            "none",
            {"{{code}}": "sum by (code) (increase(m0_dead_letters_total{ON}[$__range])) > 0"},
        ),
        Panel(
            "Further Jobs by cause",
            "none",
            {"{{code}}": "sum by (code) (increase(m0_retries_total{ON}[$__range]))"},
        ),
        Panel(
            "Film cut per second",
            "none",
            {"seconds of film": rate("m0_source_seconds_total")},
        ),
    ),
    "Work": (
        Panel("Chunks", "cps", {"chunks": rate("m0_chunks_total")}),
        Panel(
            "Bytes",
            "Bps",
            {"read": rate("m0_source_bytes_total"), "chunks": rate("m0_chunk_bytes_total")},
        ),
        Panel(
            "A chunk's upload, its row",
            "s",
            {
                "upload": mean("m0_upload_seconds_total", "m0_uploads_total"),
                "row": mean("m0_row_seconds_total", "m0_rows_total"),
            },
        ),
        Panel("CPUs of chunkers", "none", {"CPUs": rate("m0_chunker_cpu_seconds_total")}),
        Panel("Peak memory of chunkers", "bytes", quantiles("m0_chunker_peak_memory_bytes")),
    ),
    "Operator": (
        Panel("Backend report", "s", quantiles("m0_backend_report_seconds")),
        Panel(
            "Failed reports", "cps", {"{{kind}}": rate("m0_backend_report_errors_total", "kind")}
        ),
        Panel("Reconcile", "s", quantiles("m0_reconcile_seconds")),
        Panel(
            "Errors",
            "cps",
            {
                "reconcile": rate("m0_reconcile_errors_total"),
                "intake": rate("m0_intake_errors_total"),
            },
        ),
        Panel(
            "Waiting work, watches behind",
            "none",
            {
                "resources": "max(m0_workqueue_depth{ON})",
                "seconds behind": "max(m0_watch_behind_seconds{ON})",
            },
        ),
        Panel("Intake rounds", "cps", {"rounds": rate("m0_intake_rounds_total")}),
        Panel(
            "CPU and memory",
            "none",
            {
                "CPUs": f"sum(rate(process_cpu_seconds_total{_OURS}[$__rate_interval]))",
                "MiB": f"sum(process_resident_memory_bytes{_OURS}) / 1048576",
            },
        ),
    ),
}


def build_dashboard() -> str:
    """The dashboard as JSON."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(
            {"type": "row", "title": title, "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}}
        )
        y += 1
        width = WIDTH // PER_ROW
        for number, panel in enumerate(row):
            place = {"h": HEIGHT, "w": width, "x": number % PER_ROW * width, "y": y}
            panels.append(_panel(panel, place))
            if number % PER_ROW == PER_ROW - 1 or number == len(row) - 1:
                y += HEIGHT
    for number, item in enumerate(panels, 1):
        item["id"] = number
    board = {
        "uid": "m0",
        "title": "M0",
        "tags": ["m0"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_DATASOURCE, _NAMESPACE]},
        "panels": panels,
    }
    return json.dumps(board, indent=1) + "\n"


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_DATASOURCE = {"name": "datasource", "type": "datasource", "query": "prometheus"}
_NAMESPACE = {
    "name": "namespace",
    "type": "query",
    "datasource": _SOURCE,
    "query": "label_values(m0_leader, namespace)",
    "refresh": 2,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": "All", "value": "$__all"},
}


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(65 + number), "legendFormat": legend, "expr": query.replace("ON", ON)}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }
