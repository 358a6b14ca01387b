"""Following videos to their end: bars on a terminal, else a line for each change."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from importlib.util import find_spec

from m0_operator.cli.errors import CliError, Exit, translate
from m0_operator.cli.port import Videos
from m0_operator.cli.render import finished, line, state
from m0_operator.cli.where import Output, is_terminal, note, say
from m0_operator.domain.views import VideoView
from m0_operator.services.jobs import VideoNotFoundError

Show = Callable[[VideoView], None]
POLL_S = 0.5
RETRY_S = 1.0
TRIES = 60
GRACE_S = 10.0
"""After its end everybody is told of it: waiting longer for that is not worth it."""


async def watch_all(
    room: Videos,
    names: Sequence[str],
    *,
    output: Output = "table",
    timeout_s: float | None = None,
    expected: bool = False,
    but: str | None = None,
) -> Exit:
    """Show each to its end; how they ended.

    Args:
        names: process_ids or resources' names.
        timeout_s: seconds until it is given up.
        expected: wait for one that is not there yet.
        but: the uid of one that is about to be replaced: it is not meant, the next one is.

    Raises:
        CliError: time is up.
        VideoNotFoundError: there is none, and none is expected.
    """
    expected = expected or but is not None
    try:
        async with asyncio.timeout(timeout_s):
            with _screen(output) as show:
                watches = (_watch(room, name, show, but, expected=expected) for name in names)
                ends = await asyncio.gather(*watches)
    except TimeoutError as error:
        raise CliError(
            Exit.TIMEOUT, f"it has not ended within {timeout_s:g} s", "it goes on all the same"
        ) from error
    return max(ends, default=Exit.OK)


async def _watch(room: Videos, name: str, show: Show, but: str | None, *, expected: bool) -> Exit:
    shown: list[VideoView] = []
    tries = 0

    def keep(view: VideoView) -> None:
        nonlocal tries
        shown[:], tries = [view], 0
        show(view)

    while True:
        try:
            view = await _appeared(room, name, but) if expected else await room.get(name)
            last, deleted = await _follow(room, name, keep, view)
        except Exception as error:
            # Once it was seen, it goes on: whoever tells of it may be away for a while.
            known = error if isinstance(error, CliError) else translate(error)
            away = known is not None and known.code is Exit.UNREACHABLE
            if not away or not shown or tries >= TRIES:
                raise
            tries += 1
            if tries == 1:
                note(f"{known}; trying again")
            await asyncio.sleep(RETRY_S)
            continue
        if not deleted:
            return Exit.OK if last.phase == "Succeeded" else Exit.FAILED
        # One that failed is deleted when its replay begins: the next one is what is meant.
        if not finished(last):
            return Exit.NOT_FOUND
        but, expected = last.uid, True
        try:
            async with asyncio.timeout(GRACE_S):
                await _appeared(room, name, but)
        except TimeoutError:
            return Exit.OK if last.phase == "Succeeded" else Exit.FAILED


async def _appeared(room: Videos, name: str, but: str | None) -> VideoView:
    while True:
        try:
            view = await room.get(name)
        except VideoNotFoundError:
            pass
        else:
            if view.uid != but:
                return view
        await asyncio.sleep(POLL_S)


async def _follow(room: Videos, name: str, show: Show, view: VideoView) -> tuple[VideoView, bool]:
    """Its last state, and whether it was deleted in it."""
    async with aclosing(room.follow(name)) as updates:
        while True:
            try:
                async with asyncio.timeout(GRACE_S if finished(view) else None):
                    update = await anext(updates, None)
            except TimeoutError:
                return view, False
            if update is None:
                return view, False
            view = update.view
            show(view)
            if update.deleted:
                return view, True


@contextmanager
def _screen(output: Output) -> Iterator[Show]:
    if output in {"json", "yaml"}:
        # One to a line: whoever reads along can take each as it comes.
        yield lambda view: say(view.model_dump_json())
    elif output == "name" or not is_terminal() or find_spec("rich") is None:
        # M0's own image goes without rich.
        yield _lines()
    else:
        with _bars() as show:
            yield show


def _lines() -> Show:
    said: dict[str, str] = {}

    def show(view: VideoView) -> None:
        text = line(view)
        if said.get(view.name) != text:
            said[view.name] = text
            say(text)

    return show


@contextmanager
def _bars() -> Iterator[Show]:
    from rich.console import Console  # noqa: PLC0415 - only here, and it takes a while
    from rich.markup import escape  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.fields[name]}"),
        TextColumn("{task.fields[phase]:<10}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    tasks = {}
    with Progress(*columns, console=Console(highlight=False)) as progress:

        def show(view: VideoView) -> None:
            if view.name not in tasks:
                tasks[view.name] = progress.add_task("", name=view.name, phase="", total=None)
            failure = view.failure if finished(view) else None
            text = f"{failure.code}: {failure.message}" if failure else view.message or ""
            total = view.progress.total_seconds
            if view.phase == "Succeeded":
                total = total or 1
            progress.update(
                tasks[view.name],
                total=total,
                completed=total if view.phase == "Succeeded" else view.progress.done_seconds,
                phase=state(view),
                description=escape(text),
            )
            if finished(view):
                progress.stop_task(tasks[view.name])

        yield show
