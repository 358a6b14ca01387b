"""What is found, as text: tables, JSON, YAML, names. Pure but for the clock that is handed in."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from m0_contract.resource import GROUP, PLURAL
from pydantic import BaseModel

from m0_operator.cli.where import Output, paint
from m0_operator.domain.letters import Letter
from m0_operator.domain.views import VideoSummary, VideoView, parse_time

PHASES = {
    "Succeeded": "green",
    "Running": "cyan",
    "Queued": "yellow",
    "Failed": "red",
    "Stopped": "magenta",
}
MESSAGE = 72


def dump(value: BaseModel | dict[str, Any] | list[Any], output: Output) -> str:
    """JSON or YAML."""
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
    if output == "yaml":
        import yaml  # noqa: PLC0415 - most commands do without

        text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    return json.dumps(plain, indent=2, ensure_ascii=False)


def full_name(name: str) -> str:
    """As kubectl has it with `-o name`."""
    return f"{PLURAL}.{GROUP}/{name}"


def table(head: Sequence[str], rows: Sequence[Sequence[tuple[str, str | None] | str]]) -> str:
    """Columns as wide as they must be; a cell may have a colour."""
    cells = [[(item, None) if isinstance(item, str) else item for item in row] for row in rows]
    widths = [
        max(len(title), *(len(row[n][0]) for row in cells)) if cells else len(title)
        for n, title in enumerate(head)
    ]
    lines = ["   ".join(f"{t:<{w}}" for t, w in zip(head, widths, strict=True)).rstrip()]
    for row in cells:
        padded = [
            paint(text, colour) + " " * (width - len(text))
            for (text, colour), width in zip(row, widths, strict=True)
        ]
        lines.append("   ".join(padded).rstrip())
    return "\n".join(lines)


def videos(items: Sequence[VideoSummary], now: datetime, *, wide: bool = False) -> str:
    """A list of videos."""
    head = ["NAME", "PHASE", "PROGRESS", "CHUNKS", "MODE", "PRIORITY", "ATTEMPTS", "AGE"]
    rows = [_row(item, now, wide=wide) for item in items]
    return table([*head, "CODE", "SOURCE", "MESSAGE"] if wide else head, rows)


def _row(item: VideoSummary, now: datetime, *, wide: bool) -> list[tuple[str, str | None] | str]:
    row: list[tuple[str, str | None] | str] = [
        item.name,
        (state(item), PHASES.get(item.phase)),
        item.progress.percent or "-",
        str(item.progress.chunks),
        item.inference_modality,
        "-" if item.priority is None else str(item.priority),
        str(item.attempts),
        age(item.created_at, now),
    ]
    if wide:
        row += [item.failure_code or "-", item.cloud_stream_path or "-", shorten(item.message)]
    return row


def state(item: VideoSummary) -> str:
    """The phase, and what was wished for it."""
    if item.stopping:
        return f"{item.phase},stopping"
    return f"{item.phase},suspended" if item.suspended and not finished(item) else item.phase


def finished(view: VideoSummary) -> bool:
    """Whether its end is known."""
    return view.phase in {"Succeeded", "Failed", "Stopped"}


def letters(items: Sequence[Letter], now: datetime, *, wide: bool = False) -> str:
    """A list of dead letters."""
    head = ["ID", "PROCESS_ID", "CODE", "STAGE", "PRIORITY", "FAILED"]
    rows = []
    for item in items:
        row: list[tuple[str, str | None] | str] = [
            item.id,
            "-" if item.process_id is None else str(item.process_id),
            (item.code or "-", "red"),
            item.stage or "-",
            str(item.priority),
            age(item.failed_at, now),
        ]
        rows.append([*row, shorten(item.message, 200)] if wide else row)
    return table([*head, "MESSAGE"] if wide else head, rows)


def age(text: str | None, now: datetime) -> str:
    """How long ago, as kubectl says it."""
    moment = parse_time(text)
    return "-" if moment is None else duration((now - moment).total_seconds())


def duration(seconds: float) -> str:
    """`45s`, `12m`, `3h5m`, `8d`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole}s"
    if whole < 3 * 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}m{rest}s" if minutes < 10 and rest else f"{minutes}m"
    if whole < 48 * 3600:
        hours, rest = divmod(whole // 60, 60)
        return f"{hours}h{rest}m" if rest and hours < 10 else f"{hours}h"
    return f"{whole // 86400}d"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def shorten(text: str | None, width: int = MESSAGE) -> str:
    """One line of it."""
    line = " ".join((text or "-").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def line(view: VideoView) -> str:
    """Where a video stands, in one line."""
    progress = view.progress
    said = f"{view.name} {state(view)}"
    if progress.percent and not (view.failure_code and finished(view)):
        said += f" {progress.percent} {progress.chunks} chunks"
    if view.failure is not None and finished(view):
        return f"{said} {view.failure.code}: {view.failure.message}"
    return f"{said}: {view.message}" if view.message else said
