"""Where M0 is: the options that every command takes, and the room that they open."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import click

from m0_operator.cli.errors import Exit, usage

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from m0_operator.cli.port import Room

P = ParamSpec("P")
T = TypeVar("T")
Output = Literal["table", "wide", "json", "yaml", "name"]


@dataclass(slots=True)
class Where:
    """What the options and the environment say.

    Attributes:
        gateway: the gateway's URL; empty to speak to the cluster.
        amqp_url: empty to ask the cluster for the release's own.
        timeout_s: bound on each single exchange, seconds.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    gateway: str = ""
    token: str = ""
    amqp_url: str = ""
    timeout_s: float = 10.0


def open_room(where: Where) -> "AbstractAsyncContextManager[Room]":
    """The room behind the gateway, or the cluster's own."""
    # Only now: the clients take a second to load.
    if where.gateway:
        from m0_operator.cli.gateway import open_gateway  # noqa: PLC0415

        return open_gateway(where)
    from m0_operator.cli.cluster import open_cluster  # noqa: PLC0415

    return open_cluster(where)


@dataclass
class Desk:
    """What the commands share: where M0 is, and how to get there."""

    where: Where = field(default_factory=Where)
    opener: "Callable[[Where], AbstractAsyncContextManager[Room]]" = open_room

    def run(self, work: "Callable[[Room], Awaitable[T]]") -> T:
        """Open the room, do the work in it, close it."""

        async def inside() -> T:
            async with self.opener(self.where) as room:
                return await work(room)

        return run(inside())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; the libraries' own words are not for a terminal."""
    import logging  # noqa: PLC0415

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return asyncio.run(work)
    finally:
        logging.disable(before)


def desk() -> Desk:
    """The running command's."""
    found = click.get_current_context().find_root().obj
    assert isinstance(found, Desk)  # noqa: S101 - `main` puts it there
    return found


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    root = context.find_root()
    root.obj = root.obj or Desk()
    if value is not None and parameter.name is not None:
        setattr(root.obj.where, parameter.name, value)


_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--namespace", "-n"),
        {"envvar": "M0_NAMESPACE", "help": "M0's namespace; else the context's."},
    ),
    (("--context",), {"help": "Of the kubeconfig; else its current one."}),
    (
        ("--kubeconfig",),
        {"type": click.Path(), "help": "Else KUBECONFIG, else ~/.kube/config."},
    ),
    (
        ("--gateway",),
        {
            "envvar": "M0_GATEWAY_URL",
            "metavar": "URL",
            "help": "Go through the gateway instead of the cluster; '' for not.",
        },
    ),
    (
        ("--token",),
        {
            "envvar": "M0_TOKEN",
            "help": "The gateway's bearer token; better given as M0_TOKEN.",
        },
    ),
    (
        ("--amqp-url",),
        {
            "envvar": "M0_AMQP_URL",
            "metavar": "URL",
            "help": "The broker; else the one of the release, as its Secret has it.",
        },
    ),
    (
        ("--timeout-s", "timeout_s"),
        {
            "type": click.FloatRange(min=0.1),
            "metavar": "SECONDS",
            "help": "Bound on each single exchange, 10 if not given.",
        },
    ),
)


def where_options(*, hidden: bool = True) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """The options before the command's name, and once more, unseen, behind it."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        for names, settings in reversed(_OPTIONS):
            if hidden:
                # The environment was read before the command's name already.
                settings = {k: v for k, v in settings.items() if k != "envvar"}  # noqa: PLW2901
            function = click.option(
                *names,
                expose_value=False,
                callback=_keep,
                hidden=hidden,
                **settings,
            )(function)
        return function

    return decorate


def output_option(*kinds: Output) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """`-o`; the first kind is the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(kinds),
        default=kinds[0],
        show_default=True,
        help="How to say it.",
    )


def colours() -> bool:
    """Whether standard output is a terminal that may have colours."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def is_terminal() -> bool:
    """Whether a person looks at standard output as it is written."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str | None = None, *, bold: bool = False) -> str:
    """The text in a colour, where there may be any."""
    if not colours() or not (colour or bold):
        return text
    return click.style(text, fg=colour, bold=bold or None)


def say(text: str = "") -> None:
    """A line on standard output."""
    click.echo(text, color=colours())


def note(text: str) -> None:
    """A line for people beside what is answered: on standard error."""
    click.echo(text, err=True)


def end(code: Exit) -> None:
    """End with this code, unless it is none."""
    if code is not Exit.OK:
        raise click.exceptions.Exit(int(code))


def parse_since(text: str | None) -> Any:
    """`90s`, `15m`, `2h`, `3d` ago, or RFC 3339.

    Raises:
        CliError: it is neither.
    """
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    from m0_operator.domain.views import parse_time  # noqa: PLC0415

    if not text:
        return None
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[-1] in units and text[:-1].isdecimal() and len(text) < 8:
        return datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
    moment = parse_time(text)
    if moment is None:
        raise usage(f"--since {text}: neither a time (RFC 3339) nor such as 90s, 15m, 2h, 3d")
    return moment
