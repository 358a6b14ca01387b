"""`m0 describe` and other answers of more than a table."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from m0_operator.cli import render
from m0_operator.cli.port import Happening
from m0_operator.cli.where import Output, paint, say
from m0_operator.domain.views import VideoView, parse_time

LABEL = 14
NEXT = {
    "Queued": "`m0 watch {0}` follows it; `m0 queue` says what is before it.",
    "Running": "`m0 watch {0}` follows it; `m0 logs -f {0}` has its log; `m0 stop {0}` ends it.",
    "Succeeded": "Nothing: all chunks are handed on.",
    "Stopped": "`m0 retry {0}` runs it again.",
}


def tell_sent(process_id: int | str, said: str, output: Output) -> None:
    """A request was handed over."""
    if output in {"json", "yaml"}:
        say(render.dump({"process_id": process_id, "status": "SENT", "message": said}, output))
    elif output == "name":
        from m0_contract.keys import resource_name  # noqa: PLC0415

        say(render.full_name(resource_name(process_id)))
    else:
        say(f"video {process_id}: {said}")


def tell_video(
    view: VideoView, events: Sequence[Happening] | None, output: Output, now: datetime
) -> None:
    """All that there is to know of a video."""
    if output in {"json", "yaml"}:
        plain = view.model_dump(mode="json")
        plain["events"] = None if events is None else [asdict(item) for item in events]
        say(render.dump(plain, output))
        return
    for text in describe(view, events, now):
        say(text)


def describe(view: VideoView, events: Sequence[Happening] | None, now: datetime) -> Iterator[str]:
    """First what counts, then what it rests on."""
    yield _pair("Video", paint(str(view.process_id), bold=True) + f"  ({view.name})")
    yield _pair("State", paint(render.state(view), render.PHASES.get(view.phase), bold=True))
    yield from _story(view)
    yield ""
    yield from _facts(view)
    yield from _timeline(view)
    yield from _conditions(view, now)
    if view.certificate:
        yield from _section("Certificate", _certificate(view.certificate))
    if view.receipt:
        yield from _section("Receipt", _receipt(view.receipt))
    if view.lineage:
        yield from _section("Replay of", [f"  {item}" for item in view.lineage])
    if events:
        shown = [
            f"  {render.age(item.at, now):<6} {_mark(item)} {item.about}: {item.message}"
            + (f" (x{item.count})" if item.count > 1 else "")
            for item in events
        ]
        yield from _section("Events", shown)
    elif events is not None:
        yield from _section("Events", ["  none that the cluster remembers"])
    if view.failure is not None and view.failure.log_tail:
        yield from _section(
            "End of the log", [f"  {text}" for text in view.failure.log_tail.splitlines()]
        )


def _story(view: VideoView) -> Iterator[str]:
    failure = view.failure
    if failure is None or not render.finished(view):
        if view.message:
            yield _pair("What", view.message)
        yield _pair("What to do", NEXT.get(view.phase, "").format(view.process_id))
        return
    where = f" at chunk {failure.chunk_id}" if failure.chunk_id is not None else ""
    field = f" (field: {failure.field})" if failure.field else ""
    yield _pair("What", f"failed in the stage {failure.stage}{where}")
    yield _pair("Why", paint(failure.code, "red") + f": {failure.message}{field}")
    yield _pair("What to do", failure.remedy or "docs/failures.md has a row for this code.")
    again = "Then, or as it is" if failure.retryable else "Only after that"
    if view.phase == "Stopped" or failure.code == "STOPPED":
        again = "When it is wanted after all"
    yield _pair("", f"{again}: m0 retry {view.process_id}")


def _facts(view: VideoView) -> Iterator[str]:
    progress = view.progress
    done = f"{progress.chunks} chunks, {progress.done_seconds:g} s"
    if progress.total_seconds is not None:
        done += f" of {progress.total_seconds:g} s"
    if progress.size_bytes:
        done += f", {render.size(progress.size_bytes)}"
    if progress.eta_seconds is not None and not render.finished(view):
        done += f", about {render.duration(progress.eta_seconds)} left"
    yield _pair("Progress", f"{progress.percent or '-'}  ({done})")
    yield _pair("Source", view.cloud_stream_path or "-")
    yield _pair("Destination", view.destination_prefix or "-")
    yield _pair("Cache", view.cache_container_name or "-")
    cutting = " ".join(f"{k}={v}" for k, v in (view.video_preprocessing or {}).items())
    yield _pair("Cutting", f"{view.mode or view.inference_modality}  {cutting}".rstrip())
    origin = "applied without a message" if view.priority is None else f"priority {view.priority}"
    yield _pair("Origin", origin)
    ran = f"{view.attempts} attempt{'' if view.attempts == 1 else 's'}"
    yield _pair("Job", f"{view.job or '-'}  ({ran}{f', on {view.node}' if view.node else ''})")
    yield _pair("Backend knows", view.reported or "-")


def _timeline(view: VideoView) -> Iterator[str]:
    moments = [
        ("created", view.created_at),
        ("accepted", view.accepted_at),
        ("started", view.started_at),
        ("finished", view.finished_at),
    ]
    before: datetime | None = None
    lines = []
    for word, text in moments:
        moment = parse_time(text)
        if moment is None:
            continue
        later = f"  +{render.duration((moment - before).total_seconds())}" if before else ""
        lines.append(f"  {word:<9} {text}{later}")
        before = moment
    if lines:
        yield from _section("Timeline", lines)


def _conditions(view: VideoView, now: datetime) -> Iterator[str]:
    if not view.conditions:
        return
    rows: list[list[tuple[str, str | None] | str]] = []
    for item in view.conditions:
        colour = {"True": "green", "False": "red"}.get(item.status)
        # What failed is no alarm of its own where the end is told above.
        since = render.age(item.last_transition_time, now)
        rows.append([item.type, (item.status, colour), since, item.reason, item.message])
    shown = render.table(["CONDITION", "IS", "SINCE", "REASON", "MESSAGE"], rows)
    yield from _section("Conditions", [f"  {text}" for text in shown.splitlines()])


def _certificate(certificate: dict[str, Any]) -> Iterator[str]:
    packets_in, packets_out = certificate.get("packets_in"), certificate.get("packets_out")
    if packets_in is not None:
        whole = "every one is there once" if packets_in == packets_out else "see the notes"
        yield f"  packets: {packets_in} in, {packets_out} out: {whole}"
    for stream in certificate.get("streams") or ():
        yield f"    {stream.get('kind')}: {stream.get('in')} in, {stream.get('out')} out"
    yield from _plain(certificate, without=("packets_in", "packets_out", "streams", "notes"))
    for text in certificate.get("notes") or ():
        yield f"  note: {text}"


def _receipt(receipt: dict[str, Any]) -> Iterator[str]:
    yield from _plain(receipt)


def _plain(values: dict[str, Any], without: Sequence[str] = ()) -> Iterator[str]:
    for name, value in values.items():
        if name in without:
            continue
        if isinstance(value, list):
            shown = ", ".join(str(item) for item in value)
        elif name.endswith("bytes") or name.startswith("bytes"):
            shown = render.size(value)
        else:
            shown = str(value)
        yield f"  {name}: {shown}"


def _section(title: str, lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    yield ""
    yield paint(title, bold=True)
    yield from lines


def _pair(label: str, text: str) -> str:
    return f"{label + ':' if label else '':<{LABEL}} {text}"


def _mark(item: Happening) -> str:
    return paint(item.reason, "yellow") if item.type == "Warning" else item.reason
