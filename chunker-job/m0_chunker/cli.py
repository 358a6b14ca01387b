"""`m0-chunker --request FILE`: reads the request, runs the line, says how it ended.

`m0-chunker sweep URL…` is another program, in `sweep`.

Exit codes and the termination message are the contract's (`m0_contract.outcome`). At a
terminal, without a broker, `file://` places are allowed and chunk messages are JSON
lines on standard output; without a backend no row is written.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn

from m0_contract.errors import ErrorCode, Stage
from m0_contract.outcome import ExitCode, Outcome
from m0_contract.request import RequestError, VideoRequest, parse_request
from pydantic import ValidationError

from m0_chunker.errors import ChunkerError, StoppedError
from m0_chunker.logs import event, log, set_up_logs
from m0_chunker.settings import Settings
from m0_chunker.tracing import UNTRACED, Trace, open_trace


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; ends the process."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["sweep"]:
        _sweep(arguments[1:])
    parser = _Parser(
        prog="m0-chunker",
        description="Cut one film into chunks; `m0-chunker sweep` cleans the cache.",
    )
    parser.add_argument(
        "--request", type=Path, required=True, help="the request, JSON; see docs for its fields"
    )
    values = parser.parse_args(arguments)
    unread = _load_secrets()
    try:
        settings = Settings.from_environment()
    except ValidationError as error:
        parser.error(f"environment: {_setting_problems(error)}")
    signal.signal(signal.SIGTERM, lambda *_: _leave_early(settings))
    set_up_logs(**_about(settings))
    code = _run(settings, values.request) if unread is None else _fail(settings, unread)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: that would wait for threads that are inside a stalled request. All that
    # must be done is done, and chunk bodies have no name on disk to be left behind.
    os._exit(code)


def _load_secrets() -> ChunkerError | None:
    """Before the settings are read; what is wrong is told only when they have been."""
    if not os.environ.get("M0_SECRETS_SOURCE"):
        return None
    # Imported late: films whose credentials are in the environment don't pay for it.
    from m0_wire.errors import SecretsError, SecretsUnavailableError  # noqa: PLC0415
    from m0_wire.secrets import load_secrets  # noqa: PLC0415

    # A container's first process that has no handler does not end at all, until it is killed.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(ExitCode.DISRUPTED))
    try:
        load_secrets()
    except SecretsError as error:
        lost = isinstance(error, SecretsUnavailableError)
        code = ErrorCode.SECRETS_UNREACHABLE if lost else ErrorCode.BAD_CONFIGURATION
        return ChunkerError(code, str(error))
    return None


def _sweep(arguments: Sequence[str]) -> NoReturn:
    from m0_chunker.sweep import sweep  # noqa: PLC0415 - films don't pay for it

    set_up_logs()
    unread = _load_secrets()
    if unread is not None:
        sys.stderr.write(f"m0-chunker sweep: {unread}\n")
        sys.exit(unread.exit_code)
    try:
        settings = Settings.from_environment()
    except ValidationError as error:
        sys.stderr.write(f"m0-chunker sweep: environment: {_setting_problems(error)}\n")
        sys.exit(ExitCode.USAGE)
    sys.exit(sweep(settings, arguments))


def _about(settings: Settings) -> dict[str, object]:
    """What every line of the log says."""
    return {
        "attempt": settings.attempt,
        "resource": settings.resource,
        "trace_id": settings.trace_id,
    }


def _leave_early(settings: Settings) -> NoReturn:
    """SIGTERM before the work began; as a container's first process we must see to it."""
    _leave_outcome(settings, Outcome(failure=StoppedError().to_failure()))
    os._exit(ExitCode.DISRUPTED)


def _setting_problems(error: ValidationError) -> str:
    """Which variables are wrong; their values may be secrets and stay unsaid."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False)
    )


def _run(settings: Settings, path: Path) -> int:
    started = time.monotonic()
    trace: Trace = UNTRACED
    try:
        request = _read_request(settings, path)
        set_up_logs(process_id=request.process_id, **_about(settings))
        trace = open_trace(settings, request.process_id)
        # Not asyncio.run: leaving it waits for threads, and one may be in a film that is a trap.
        # `main` ends the process as soon as this is known.
        outcome, code = asyncio.Runner().run(_run_request(settings, request, trace))
    except ChunkerError as error:
        outcome, code = Outcome(failure=error.to_failure()), error.exit_code
    except Exception as error:  # noqa: BLE001 - before there was anything to tally
        failure = _unforeseen(error)
        outcome, code = Outcome(failure=failure.to_failure()), failure.exit_code
    _end(settings, outcome, trace, time.monotonic() - started)
    return int(code)


def _end(settings: Settings, outcome: Outcome, trace: Trace, seconds: float) -> None:
    """Say how it ended, to those first who wait for it."""
    trace.end(outcome)
    _leave_outcome(settings, outcome)
    _say_end(outcome, seconds)
    trace.close()


def _fail(settings: Settings, error: ChunkerError) -> int:
    """End before there was anything to do."""
    outcome = Outcome(failure=error.to_failure())
    _leave_outcome(settings, outcome)
    _say_end(outcome, 0)
    return int(error.exit_code)


def _unforeseen(error: Exception) -> ChunkerError:
    """A bug, as a failure; the one place where a stack trace is logged."""
    log.error("unforeseen error", exc_info=error)
    return ChunkerError(
        ErrorCode.INTERNAL, f"an unforeseen {type(error).__name__}; the trace is in the log"
    )


def _leave_outcome(settings: Settings, outcome: Outcome) -> None:
    if settings.termination_log is None:
        return
    from m0_wire import crash  # noqa: PLC0415 - a Job's matter, not a person's at a terminal

    crash.point("outcome.before-written")
    try:
        settings.termination_log.write_text(outcome.to_termination_message())
    except OSError as error:
        event("outcome not written", logging.ERROR, path=settings.termination_log, reason=error)
    crash.point("outcome.written")


def _say_end(outcome: Outcome, seconds: float) -> None:
    fields: dict[str, Any] = {
        "chunks": outcome.chunks,
        "mode": outcome.mode,
        "film_s": round(outcome.duration_s, 3),
        "size_bytes": outcome.size_bytes,
        "took_s": round(seconds, 2),
    }
    failure = outcome.failure
    if failure is None:
        event("done", **fields, **(outcome.receipt or {}))
        return
    event(
        "failed",
        logging.ERROR,
        code=failure.code.value,
        stage=failure.stage.value,
        chunk_id=failure.chunk_id,
        reason=failure.message,
        **fields,
    )


def _read_request(settings: Settings, path: Path) -> VideoRequest:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ChunkerError(
            ErrorCode.BAD_CONFIGURATION, f"request file {path}: {error.strerror}"
        ) from error
    try:
        return parse_request(body, local=settings.local)
    except RequestError as error:
        raise ChunkerError(error.code, str(error), stage=Stage.INTAKE, field=error.field) from error


async def _run_request(
    settings: Settings, request: VideoRequest, trace: Trace
) -> tuple[Outcome, ExitCode]:
    # Imported late: a usage error should not cost the libraries' start-up.
    from m0_chunker.work import Work  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        work = await Work.open(settings, request, stack, trace)
        # What was made so far stays: no collection need ever look at it (see `start`).
        gc.freeze()
        gc.enable()
        task = asyncio.ensure_future(work.run())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        error: ChunkerError | None = None
        try:
            await task
        except asyncio.CancelledError:
            error = StoppedError()
        except ChunkerError as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001 - what nobody foresaw still has an outcome
            error = _unforeseen(bug)
        outcome = work.to_outcome(error)
        if isinstance(error, StoppedError):
            # Threads may be inside a stalled request, and leaving the loop would wait for
            # them longer than the pod has.
            _end(settings, outcome, trace, time.monotonic() - work.pipeline.tally.started)
            os._exit(ExitCode.DISRUPTED)
    return outcome, error.exit_code if error else ExitCode.SUCCEEDED


if __name__ == "__main__":
    main()
