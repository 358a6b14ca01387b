"""`m0 dlq`: list, show, replay and purge dead letters."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from m0_contract.errors import ERRORS, ErrorCode, Stage
from m0_contract.request import RequestError

from m0_operator.cli import render
from m0_operator.cli.asking import read_body
from m0_operator.cli.errors import CliError, Exit, usage
from m0_operator.cli.port import Settlement, build_filter
from m0_operator.cli.where import (
    Output,
    desk,
    end,
    note,
    output_option,
    paint,
    parse_since,
    say,
    where_options,
)
from m0_operator.domain.letters import LetterFilter
from m0_operator.gateway.models import LetterDetail
from m0_operator.gateway.submission import Submission, parse_submission

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
@where_options()
def dlq() -> None:
    """Dead letters: the requests that failed, each with why.

    Needs the broker, or the gateway. Looking changes nothing.
    """


def _filters(function: Command) -> Command:
    options = (
        click.option(
            "--code",
            type=click.Choice(list(ErrorCode), case_sensitive=False),
            metavar="CODE",
            help="Why it failed, as in docs/failures.md.",
        ),
        click.option(
            "--stage",
            type=click.Choice(list(Stage), case_sensitive=False),
            metavar="STAGE",
            help="Where it failed: " + ", ".join(Stage),
        ),
        click.option("--process-id", metavar="ID", help="Of this request."),
        click.option(
            "--since", metavar="TIME", help="Failed since: 90s, 15m, 2h, 3d, or RFC 3339."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _filter(given: dict[str, Any]) -> LetterFilter:
    return LetterFilter(
        code=given["code"],
        stage=given["stage"],
        process_id=given["process_id"],
        since=parse_since(given["since"]),
    )


@dlq.command("list")
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@output_option("table", "wide", "json", "yaml", "name")
@where_options()
def list_letters(limit: int, output: Output, **given: Any) -> None:
    """The dead letters, the newest failure first."""
    wanted = _filter(given)
    found = desk().run(lambda room: room.letters(wanted, limit))
    if output in {"json", "yaml"}:
        say(render.dump(found, output))
    elif output == "name":
        for item in found.items:
            say(item.id)
    elif found.items:
        say(render.letters(found.items, datetime.now(UTC), wide=output == "wide"))
    else:
        note("no dead letters" + (" like that" if wanted != LetterFilter() else ""))
    if found.matched > len(found.items):
        note(f"{found.matched - len(found.items)} more: --limit {found.matched}")
    if not found.complete:
        note("there are more than can be looked at: settle some of the oldest first")


@dlq.command()
@click.argument("letter")
@click.option("--body", is_flag=True, help="Only the request, as it came.")
@output_option("table", "json", "yaml")
@where_options()
def show(letter: str, output: Output, *, body: bool) -> None:
    """One dead letter, with its request and headers."""
    found = desk().run(lambda room: room.letter(letter))
    if found is None:
        raise _missing(letter)
    if body:
        import base64  # noqa: PLC0415

        raw = found.body.encode()
        sys.stdout.buffer.write(base64.b64decode(raw) if found.body_encoding == "base64" else raw)
        sys.stdout.buffer.flush()
    elif output in {"json", "yaml"}:
        say(render.dump(found, output))
    else:
        _tell(found)


def _tell(letter: LetterDetail) -> None:
    known = letter.code in set(ErrorCode)
    pairs = (
        ("Letter", paint(letter.id, bold=True)),
        ("Why", paint(letter.code or "-", "red") + f": {letter.message}"),
        ("What to do", ERRORS[ErrorCode(letter.code)].remedy if known else ""),
        ("", f"then: m0 dlq replay {letter.id}"),
        ("Stage", letter.stage),
        ("Field", letter.field),
        ("Chunk", "" if letter.chunk_id is None else str(letter.chunk_id)),
        ("process_id", "" if letter.process_id is None else str(letter.process_id)),
        ("Priority", str(letter.priority)),
        ("Attempts", "" if letter.attempts is None else str(letter.attempts)),
        ("Failed", letter.failed_at),
        ("First seen", letter.first_seen_at),
        ("Replay of", ", ".join(letter.lineage)),
    )
    for label, text in pairs:
        if text:
            say(f"{label + ':' if label else '':<12} {text}")
    own = {k: v for k, v in letter.headers.items() if not k.startswith("x-m0-")}
    if own:
        say(f"{'Headers:':<12} {render.dump(own, 'json')}")
    say(f"{'Request:':<12} {letter.size_bytes} bytes, {letter.body_encoding}")
    say(letter.body)


@dlq.command()
@click.argument("letter", nargs=-1)
@_filters
@click.option("--all", "everything", is_flag=True, help="All that there are.")
@click.option("-f", "--file", type=click.Path(), help="The corrected request, for one letter.")
@click.option("--priority", type=click.IntRange(0, 9), help="Instead of its own.")
@output_option("table", "json", "yaml", "name")
@where_options()
def replay(letter: tuple[str, ...], output: Output, **given: Any) -> None:
    """Hand dead letters to the operator again, by id or by filter.

    A letter is run once, however often it is replayed.

    \b
      m0 dlq replay m0-failed-…
      m0 dlq show m0-failed-… --body > fixed.json && m0 dlq replay m0-failed-… -f fixed.json
      m0 dlq replay --code SOURCE_UNREACHABLE --since 2h
    """  # noqa: D301
    wanted = _meant(letter, given)
    edit: Submission | None = None
    if given["file"]:
        if len(letter) != 1:
            raise usage("--file is for one letter: name it by its id")
        try:
            edit = parse_submission(read_body(given["file"]))
        except RequestError as error:
            raise usage(f"{given['file']}: {error}") from error
    priority = given["priority"]
    if priority is None and edit is not None and edit.priority_given:
        priority = edit.priority
    settled = desk().run(lambda room: room.replay(wanted, edit=edit, priority=priority))
    end(_report(settled, "replayed", output))


@dlq.command()
@click.argument("letter", nargs=-1)
@_filters
@click.option("--all", "everything", is_flag=True, help="All that there are.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@output_option("table", "json", "yaml", "name")
@where_options()
def purge(letter: tuple[str, ...], output: Output, *, yes: bool, **given: Any) -> None:
    """Remove dead letters for good. Nothing else holds those requests."""
    wanted = _meant(letter, given)
    if not yes:
        if not sys.stdin.isatty():
            raise usage("what is purged is gone: say --yes")
        if wanted.ids is None:
            count = desk().run(lambda room: room.letters(wanted, 1)).matched
        else:
            count = len(wanted.ids)
        click.confirm(f"Remove {_count(count)} for good?", abort=True, err=True)
    settled = desk().run(lambda room: room.purge(wanted))
    end(_report(settled, "purged", output))


def _meant(ids: tuple[str, ...], given: dict[str, Any]) -> LetterFilter:
    wanted = _filter(given)
    if ids and (wanted != LetterFilter() or given["everything"]):
        raise usage("either letters are named, or they are filtered")
    if ids:
        return build_filter(ids)
    if wanted == LetterFilter() and not given["everything"]:
        raise usage("which ones? Name ids, or filter, or say --all")
    return wanted


def _report(settled: Settlement, done: str, output: Output) -> Exit:
    if output in {"json", "yaml"}:
        plain = {
            done: [item.model_dump(mode="json") for item in settled.letters],
            "refused": [{"id": item.id, "why": why} for item, why in settled.refused],
            "missing": list(settled.missing),
            "complete": settled.complete,
        }
        say(render.dump(plain, output))
    elif output == "name":
        for item in settled.letters:
            say(item.id)
    else:
        for item in settled.letters:
            say(f"{item.id} {done}" + (f" (video {item.process_id})" if item.process_id else ""))
        if not settled.letters and not settled.missing and not settled.refused:
            note("no dead letters like that")
    for item, why in settled.refused:
        note(f"m0: {item.id} stays: {why}")
    for letter_id in settled.missing:
        note(f"m0: {_missing(letter_id)}")
    if not settled.complete:
        note("not all letters could be looked at: do it again")
    if settled.refused:
        return Exit.REFUSED
    return Exit.NOT_FOUND if settled.missing else Exit.OK


def _missing(letter_id: str) -> CliError:
    text = f"there is no dead letter {letter_id}; it may have been replayed"
    return CliError(Exit.NOT_FOUND, text, "`m0 dlq list` has all")


def _count(number: int) -> str:
    return f"{number} dead letter{'' if number == 1 else 's'}"
