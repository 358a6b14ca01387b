"""`m0 submit`, `get`, `describe`, `watch`."""

from datetime import UTC, datetime
from typing import Any

import click
from m0_contract.errors import ErrorCode

from m0_operator.cli import asking, render, telling
from m0_operator.cli.completing import complete_videos
from m0_operator.cli.errors import Exit, refuse, usage
from m0_operator.cli.port import Room
from m0_operator.cli.watching import watch_all
from m0_operator.cli.where import (
    Output,
    desk,
    end,
    note,
    output_option,
    parse_since,
    say,
    where_options,
)
from m0_operator.domain.views import VideoSummary, VideoView
from m0_operator.domain.wanted import VideoFilter
from m0_operator.services.jobs import VideoNotFoundError

PHASES = ("Queued", "Running", "Succeeded", "Failed", "Stopped")
PAGE = 500


@click.command()
@click.option(
    "-f",
    "--file",
    type=click.Path(),
    help="A request, or a VideoChunkJob; JSON or YAML; - is stdin.",
)
@click.option("--id", "process_id", help="process_id: a number, or a text.")
@click.option("--source", help="s3://…, az://…, https://…; live: rtsp://… and others.")
@click.option("--destination", help="A prefix in the source's bucket, or a full URL.")
@click.option("--cache", help="The bucket or container of the cached copies.")
@click.option("--chunk-duration", type=float, metavar="SECONDS", help="The chunks' length.")
@click.option("--modality", type=click.Choice(["batch", "live"]), help="batch if not given.")
@click.option("--precision", type=click.Choice(["keyframe", "exact"]), help="Where to cut.")
@click.option("--overlap", type=float, metavar="SECONDS", help="Chunks go on into the next.")
@click.option("--fps", type=float, help="Frames per second wanted.")
@click.option("--width", type=int, help="Pixels wanted.")
@click.option("--height", type=int, help="Pixels wanted.")
@click.option("--inference-config", metavar="JSON", help="Passed through untouched.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, the most urgent.")
@click.option("--direct", is_flag=True, help="Create the VideoChunkJob itself: no queue.")
@click.option("--dry-run", is_flag=True, help="Check it and show what would be sent.")
@click.option("-w", "--watch", "follow", is_flag=True, help="Follow it to its end.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --watch: not longer.")
@output_option("table", "json", "yaml", "name")
@where_options()
def submit(output: Output, **given: Any) -> None:
    """Ask for a video to be cut.

    Flags replace what is in the file; a file alone is sent byte for byte. It goes to the queue, as
    any other producer's, where priority counts; with --direct straight to Kubernetes, where it
    does not, and no queue is needed.

    \b
      m0 submit -f request.json --watch
      m0 submit --id 101 --source s3://films/a.mp4 --cache my-cache --chunk-duration 60
      cat request.json | m0 submit -f - --priority 9
    """  # noqa: D301
    submission = asking.build_submission(given)
    if given["direct"] and submission.priority_given:
        raise usage("--direct knows no priority: that is the queue's")
    if given["dry_run"]:
        say(submission.body.decode())
        return
    process_id = submission.request.process_id

    async def work(room: Room) -> Exit:
        before = await _look(room, asking.call(process_id)) if given["follow"] else None
        if before is not None and before.phase == "Succeeded":
            if before.cloud_stream_path != submission.request.cloud_stream_path:
                refuse(f"process_id {process_id} is that of another video", "choose a new one")
            note("it has been cut before: the same request changes nothing")
        said = await room.submit(submission, direct=given["direct"])
        if not given["follow"]:
            telling.tell_sent(process_id, said, output)
            return Exit.OK
        note(f"video {process_id}: {said}")
        failed = before is not None and render.finished(before) and before.phase != "Succeeded"
        return await watch_all(
            room,
            [asking.call(process_id)],
            output=output,
            timeout_s=given["timeout"],
            expected=True,
            but=before.uid if before is not None and failed else None,
        )

    end(desk().run(work))


async def _look(room: Room, name: str) -> VideoView | None:
    try:
        return await room.get(name)
    except VideoNotFoundError:
        return None


@click.command()
@click.argument("video", nargs=-1, shell_complete=complete_videos)
@click.option("--phase", type=click.Choice(PHASES), multiple=True, help="Any of these.")
@click.option(
    "--code",
    type=click.Choice(list(ErrorCode), case_sensitive=False),
    multiple=True,
    metavar="CODE",
    help="Failed with any of these.",
)
@click.option("--modality", type=click.Choice(["batch", "live"]), multiple=True)
@click.option("--prefix", default="", help="How the process_id begins.")
@click.option("--since", metavar="TIME", help="Created since: 90s, 15m, 2h, 3d, or RFC 3339.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@output_option("table", "wide", "json", "yaml", "name")
@where_options()
def get(video: tuple[str, ...], output: Output, limit: int | None, **given: Any) -> None:
    """List videos, or show one or some.

    \b
      m0 get --phase Failed --since 2h -o wide
      m0 get 101 -o json
      m0 get --phase Failed -o name | xargs m0 retry
    """  # noqa: D301
    wanted = VideoFilter(
        phases=frozenset(given["phase"]),
        modalities=frozenset(given["modality"]),
        codes=frozenset(given["code"]),
        prefix=given["prefix"],
        since=parse_since(given["since"]),
    )
    if video and wanted != VideoFilter():
        raise usage("either videos are named, or they are filtered")

    async def work(room: Room) -> list[VideoSummary]:
        if video:
            return [await room.get(name) for name in video]
        return await _everything(room, wanted, limit)

    found = desk().run(work)
    if output in {"json", "yaml"}:
        many: Any = [item.model_dump(mode="json") for item in found]
        say(render.dump(many[0] if len(video) == 1 else {"items": many}, output))
    elif output == "name":
        for item in found:
            say(render.full_name(item.name))
    elif found:
        say(render.videos(found, datetime.now(UTC), wide=output == "wide"))
    else:
        note("no videos" + (" like that" if wanted != VideoFilter() else ""))


async def _everything(room: Room, wanted: VideoFilter, limit: int | None) -> list[VideoSummary]:
    found: list[VideoSummary] = []
    token = ""
    while True:
        left = PAGE if limit is None else min(PAGE, limit - len(found))
        page = await room.list(wanted, limit=left, token=token)
        found += page.items
        if not page.token or (limit is not None and len(found) >= limit):
            return found
        token = page.token


@click.command()
@click.argument("video", nargs=-1, required=True, shell_complete=complete_videos)
@output_option("table", "json", "yaml")
@where_options()
def describe(video: tuple[str, ...], output: Output) -> None:
    """What happened to a video, why, and what to do."""

    async def work(room: Room) -> None:
        for number, name in enumerate(video):
            view = await room.get(name)
            events = await room.events(view)
            if number and output == "table":
                say()
            telling.tell_video(view, events, output, datetime.now(UTC))

    desk().run(work)


@click.command()
@click.argument("video", nargs=-1, required=True, shell_complete=complete_videos)
@click.option("--timeout", type=float, metavar="SECONDS", help="Not longer than that.")
@output_option("table", "json")
@where_options()
def watch(video: tuple[str, ...], timeout: float | None, output: Output) -> None:
    """Follow videos to their end: bars on a terminal, else a line for each change.

    With -o json each change is one line of JSON. Ends with 1 if one of them failed.
    """

    async def work(room: Room) -> Exit:
        return await watch_all(room, video, output=output, timeout_s=timeout)

    end(desk().run(work))
