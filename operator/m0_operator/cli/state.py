"""`m0 queue`, `doctor`, `version`, `completion`."""

from dataclasses import asdict

import click

from m0_operator import __version__
from m0_operator.cli import render
from m0_operator.cli.errors import CliError, Exit, translate
from m0_operator.cli.findings import Finding
from m0_operator.cli.port import QueueState, Room
from m0_operator.cli.where import Output, desk, end, note, output_option, paint, say, where_options

COLOURS = {"ok": "green", "warn": "yellow", "failed": "red", "unknown": "cyan"}


@click.command()
@output_option("table", "json", "yaml")
@where_options()
def queue(output: Output) -> None:
    """How much waits, runs and gets done."""
    state = desk().run(lambda room: room.queue())
    if output != "table":
        say(render.dump(asdict(state), output))
        return
    for label, text in _lines(state):
        say(f"{label + ':':<14} {text}")
    for text in state.notes:
        note(f"  {text}")


def _lines(state: QueueState) -> list[tuple[str, str]]:
    per_minute = state.finished * 60 / state.window_s
    rate = f"{per_minute:.1f} videos a minute in the last {render.duration(state.window_s)}"
    if state.waiting and per_minute:
        left = (state.waiting + state.active) / per_minute * 60
        rate += f"; what is there takes about {render.duration(left)} at that rate"
    waiting = "unknown" if state.waiting is None else str(state.waiting)
    if state.waiting and state.limit is not None and state.active < state.limit:
        waiting += paint("; a slot is free: `m0 doctor` says why it stays so", "yellow")
    slots = f"{state.active} of {'?' if state.limit is None else state.limit} taken"
    if state.limit is not None and state.active >= state.limit and state.waiting:
        slots += "; more at a time: max-active-jobs"
    found = [("Waiting", waiting), ("Slots", slots), ("Rate", rate)]
    if state.dead is not None:
        found.append(("Dead letters", str(state.dead)))
    if state.kind:
        found.append(("Queue", state.kind))
    return found


@click.command()
@output_option("table", "json", "yaml")
@where_options()
def doctor(output: Output) -> None:
    """Look at all that M0 needs, in the order of cause and effect, and say what to fix.

    Changes nothing. Ends with 1 when something is wrong.
    """

    async def work(room: Room) -> list[Finding]:
        found: list[Finding] = []
        async for finding in room.diagnose():
            found.append(finding)
            if output == "table":
                _tell(finding)
        return found

    try:
        found = desk().run(work)
    except Exception as error:
        known = error if isinstance(error, CliError) else translate(error)
        if known is None:
            raise
        found = [Finding("connection", "failed", str(known), known.hint)]
        if output == "table":
            _tell(found[0])
    broken = [item for item in found if item.state == "failed"]
    if output != "table":
        say(render.dump({"findings": [asdict(item) for item in found]}, output))
    elif broken:
        fix = f": {broken[0].fix}" if broken[0].fix else "."
        say(f"\n{len(broken)} of these need attention; first {broken[0].what}{fix}")
    else:
        say("\nAll is well" + _but(found) + ".")
    end(Exit.FAILED if broken else Exit.OK)


def _but(found: list[Finding]) -> str:
    unknown = sum(item.state == "unknown" for item in found)
    return f", as far as can be told from here ({unknown} can't)" if unknown else ""


def _tell(finding: Finding) -> None:
    said = {"failed": "FAILED", "unknown": "?"}.get(finding.state, finding.state)
    say(f"{paint(f'{said:<7}', COLOURS[finding.state])} {finding.what}: {finding.detail}")
    if finding.fix:
        say(f"        → {finding.fix}")


@click.command()
@click.option("--client", is_flag=True, help="Only this program's.")
@output_option("table", "json", "yaml")
@where_options()
def version(output: Output, *, client: bool) -> None:
    """This program's version, and what runs there."""
    found = {"client": __version__}
    if not client:
        try:
            found["operator"] = desk().run(lambda room: room.version()) or "unknown"
        except Exception as error:
            known = error if isinstance(error, CliError) else translate(error)
            if known is None:
                raise
            found["operator"] = f"unknown: {known}"
    if output != "table":
        say(render.dump(dict(found), output))
        return
    for name, text in found.items():
        say(f"{name:<9} {text}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@where_options()
def completion(shell: str) -> None:
    """A script that completes commands in your shell.

    \b
      bash:  echo 'eval "$(m0 completion bash)"' >> ~/.bashrc
      zsh:   echo 'eval "$(m0 completion zsh)"' >> ~/.zshrc
      fish:  m0 completion fish > ~/.config/fish/completions/m0.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these three
    root = click.get_current_context().find_root().command
    say(kind(root, {}, "m0", "_M0_COMPLETE").source())
