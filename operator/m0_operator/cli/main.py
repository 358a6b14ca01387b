"""`m0` and `kubectl m0`: finds the command, and turns its errors into words and exit codes.

Imports nothing but click: a command's module is loaded when it is called.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from m0_operator.cli.errors import CliError, Exit, translate
from m0_operator.cli.where import Desk, where_options

COMMANDS: dict[str, tuple[str, str]] = {
    "submit": ("videos", "Ask for a video to be cut."),
    "get": ("videos", "List videos, or show one."),
    "describe": ("videos", "What happened to a video, why, and what to do."),
    "watch": ("videos", "Follow videos to their end."),
    "logs": ("control", "What a video's pods have written."),
    "stop": ("control", "End videos for good."),
    "suspend": ("control", "Hold videos back; what is stored stays."),
    "resume": ("control", "Let suspended videos go on."),
    "retry": ("control", "Run failed videos again."),
    "dlq": ("letters", "Dead letters: list, show, replay, purge."),
    "queue": ("state", "How much waits, runs and gets done."),
    "doctor": ("state", "Look at all that M0 needs, and say what to fix."),
    "completion": ("state", "A script that completes commands in your shell."),
    "version": ("state", "This program's version, and what runs there."),
}
SECTIONS = {
    "Videos": ("submit", "get", "describe", "watch", "logs"),
    "Control": ("stop", "suspend", "resume", "retry", "dlq"),
    "M0 itself": ("queue", "doctor", "version", "completion"),
}


class Commands(click.Group):
    """The commands, each loaded when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Their names, as the help has them."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """One of them."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"m0_operator.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """One of them, with a guess where there is none."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            from difflib import get_close_matches  # noqa: PLC0415

            near = get_close_matches(name, COMMANDS, 1)
            text = f"there is no command {name}"
            ctx.fail(text + (f"; do you mean {near[0]}?" if near else "; `m0 --help` lists all"))
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """By what people come for, without loading any."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="VIDEO is a process_id (101) or a resource's name (video-101). Exit codes: 0 done, "
    "1 the video failed, 2 called wrongly, 3 not found, 4 not reachable, 5 refused, 6 time is up.",
)
@where_options(hidden=False)
@click.pass_context
def m0(context: click.Context) -> None:
    """Cut films into chunks, and see what becomes of them.

    \b
      m0 submit -f request.json --watch
      m0 get
      m0 describe 101
      m0 retry 101 --watch
      m0 doctor
    """  # noqa: D301 - \b is click's: leave these lines as they are
    context.obj = context.obj or Desk()


def main(arguments: Sequence[str] | None = None, *, desk: Desk | None = None) -> None:
    """Run a command; ends the process."""
    sys.exit(int(call(arguments, desk=desk)))


def call(arguments: Sequence[str] | None = None, *, desk: Desk | None = None) -> int:
    """Run a command; its exit code. Says each error in words."""
    name = "kubectl m0" if os.path.basename(sys.argv[0]).startswith("kubectl") else "m0"  # noqa: PTH119
    try:
        code = m0.main(arguments, prog_name=name, standalone_mode=False, obj=desk)
    except click.exceptions.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has had enough, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.OK
    except Exception as error:  # noqa: BLE001 - each is told in words, and none is kept silent
        return _explain(error)
    return code if isinstance(code, int) else Exit.OK


def _explain(error: Exception) -> Exit:
    known = error if isinstance(error, CliError) else translate(error)
    if os.environ.get("M0_DEBUG"):
        import traceback  # noqa: PLC0415

        traceback.print_exception(error)
    if known is None:
        text = f"{type(error).__name__}: {error}"
        known = CliError(Exit.INTERNAL, f"a bug in m0: {text}", "M0_DEBUG=1 shows where")
    click.echo(f"m0: {known}", err=True)
    if known.hint:
        click.echo(f"    {known.hint}", err=True)
    return known.code
