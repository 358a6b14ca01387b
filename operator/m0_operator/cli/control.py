"""`m0 logs`, `stop`, `suspend`, `resume`, `retry`."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import click

from m0_operator.cli import render
from m0_operator.cli.asking import call
from m0_operator.cli.completing import complete_videos
from m0_operator.cli.errors import CliError, Exit, refuse, translate, usage
from m0_operator.cli.port import Room
from m0_operator.cli.watching import watch_all
from m0_operator.cli.where import Output, desk, end, note, output_option, paint, say, where_options
from m0_operator.domain.views import VideoView

Done = tuple[VideoView, str]


@click.command()
@click.argument("video", shell_complete=complete_videos)
@click.option("-f", "--follow", is_flag=True, help="Go on until the video has ended.")
@click.option("--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last ones.")
@where_options()
def logs(video: str, tail: int | None, *, follow: bool) -> None:
    """What the pods of a video's latest Job have written."""

    async def work(room: Room) -> None:
        view = await room.get(video)
        pod = ""
        async with aclosing(room.logs(view, follow=follow, tail=tail)) as parts:
            async for part in parts:
                if part.pod != pod:
                    note(paint(f"── {part.pod}", bold=True))
                    pod = part.pod
                say("\n".join(part.lines))

    desk().run(work)


@click.command()
@click.argument("video", nargs=-1, required=True, shell_complete=complete_videos)
@output_option("table", "json", "yaml", "name")
@where_options()
def stop(video: tuple[str, ...], output: Output) -> None:
    """End videos for good.

    They are not deleted: they stay to be seen as Stopped, with a dead letter; what is stored stays.
    """

    async def act(room: Room, name: str) -> Done:
        receipt = await room.stop(name)
        done = "is being stopped" if receipt.state == "stopping" else "is stopped"
        return receipt.view, done

    end(desk().run(lambda room: each(room, video, act, output)))


@click.command()
@click.argument("video", nargs=-1, required=True, shell_complete=complete_videos)
@output_option("table", "json", "yaml", "name")
@where_options()
def suspend(video: tuple[str, ...], output: Output) -> None:
    """Hold videos back: their pods go, what is stored stays, and resume goes on from there."""

    async def act(room: Room, name: str) -> Done:
        return await room.suspend(name, suspend=True), "is suspended"

    end(desk().run(lambda room: each(room, video, act, output)))


@click.command()
@click.argument("video", nargs=-1, required=True, shell_complete=complete_videos)
@output_option("table", "json", "yaml", "name")
@where_options()
def resume(video: tuple[str, ...], output: Output) -> None:
    """Let suspended videos go on."""

    async def act(room: Room, name: str) -> Done:
        return await room.suspend(name, suspend=False), "goes on"

    end(desk().run(lambda room: each(room, video, act, output)))


@click.command()
@click.argument("video", nargs=-1, required=True, shell_complete=complete_videos)
@click.option("--priority", type=click.IntRange(0, 9), help="Instead of its own.")
@click.option("-w", "--watch", "follow", is_flag=True, help="Follow them to their end.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --watch: not longer.")
@output_option("table", "json", "yaml", "name")
@where_options()
def retry(
    video: tuple[str, ...],
    output: Output,
    *,
    priority: int | None,
    follow: bool,
    timeout: float | None,
) -> None:
    """Run failed or stopped videos again.

    The dead letter is replayed. Where it is gone, or there never was a message, the request itself
    is sent to the queue once more. Either way the operator puts a new resource in the old one's
    place.
    """
    if follow and len(video) > 1:
        raise usage("--watch is for one video; `m0 watch` follows several")

    async def act(room: Room, name: str) -> Done:
        view = await room.get(name)
        if not render.finished(view):
            refuse(f"{view.name} is {view.phase}: only what has failed is run again")
        if view.phase == "Succeeded":
            refuse(f"{view.name} has succeeded: there is nothing to run again")
        if not view.final:
            text = f"{view.name} has failed, but not all were told yet: its dead letter is not out"
            refuse(text, "try again in a moment; `m0 describe` says what it waits for")
        return view, await room.retry(view, priority)

    async def work(room: Room) -> Exit:
        if not follow:
            return await each(room, video, act, output)
        view, said = await act(room, video[0])
        note(f"{view.name}: {said}")
        name = call(view.process_id)
        return await watch_all(room, [name], output=output, timeout_s=timeout, but=view.uid)

    end(desk().run(work))


async def each(
    room: Room,
    names: Sequence[str],
    act: Callable[[Room, str], Awaitable[Done]],
    output: Output,
) -> Exit:
    """Do it to each, also after one that can't; how it went.

    Raises:
        CliError: there is only one, and it can't be done.
    """
    worst = Exit.OK
    done: list[dict[str, object]] = []
    for name in names:
        try:
            view, said = await act(room, name)
        except Exception as error:
            known = error if isinstance(error, CliError) else translate(error)
            if known is None or len(names) == 1 or known.code is Exit.UNREACHABLE:
                raise
            note(f"m0: {name}: {known}")
            worst = max(worst, known.code)
            continue
        if output == "name":
            say(render.full_name(view.name))
        elif output == "table":
            say(f"{view.name} {said}")
        else:
            done.append({"process_id": view.process_id, "name": view.name, "message": said})
    if output in {"json", "yaml"}:
        say(render.dump(done[0] if len(names) == 1 else {"items": done}, output))
    return worst
