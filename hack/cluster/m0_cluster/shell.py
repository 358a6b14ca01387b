"""Running processes so that a person always knows what is going on.

Long ones (`run`) write to a log file and print a heartbeat; short ones (`output`, `works`)
print nothing. Whatever fails becomes a `Failure` that says what, where the log is, what to do.
"""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
HEARTBEAT_S = 15.0
RETRY_PAUSES_S = (5, 20)  # before the second and the third attempt
# What apt, pip, npm, go and BuildKit write when a download fails. Nothing else is worth retrying.
NETWORK_TROUBLE = re.compile(
    r"timed? ?out|timeout|connection (reset|refused|broken|aborted|closed)|unexpected eof"
    r"|name resolution|could not resolve|no such host|network is unreachable|dial tcp"
    r"|(failed|unable) to fetch|hash sum mismatch|ECONN|ETIMEDOUT|EAI_AGAIN|ENOTFOUND"
    r"|(http|status|error|code)\W{0,3}(429|5\d\d)|50[0234] +[A-Z]|bad gateway"
    r"|service unavailable|remote end closed|protocolerror|stream error|ssleoferror",
    re.IGNORECASE,
)
_here = threading.local()  # .name: which background work this thread does
_stopping = threading.Event()
TAIL_BYTES = 4000
TAIL_LINES = 15


class Failure(Exception):  # noqa: N818  it is what the person reads, not a programming error
    """A step that could not be done, in the words that the person will read."""

    def __init__(self, what: str, *, hint: str = "", log: Path | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.log = log


class Stopped(Failure):
    """A process that was ended because what goes on beside it failed."""


@dataclass(frozen=True)
class Job:
    """Where a long process runs and where its output goes."""

    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    hint: str = ""
    progress: Callable[[], str] | None = None
    """What the heartbeat should say; `None`: the log's last line."""
    downloads: bool = False
    """Whether it is tried again, twice at most, when the network fails it."""


@contextmanager
def step(title: str, usual: str) -> Iterator[None]:
    """Announce a step, how long it usually takes, and how long it took."""
    print(f"==> {title} (usually {usual})", flush=True)
    started = time.monotonic()
    yield
    print(f"    done in {time.monotonic() - started:.1f} s", flush=True)


def note(text: str) -> None:
    """Print one line under the current step."""
    name = getattr(_here, "name", "")
    print(f"    [{name}] {text}" if name else f"    {text}", flush=True)


@contextmanager
def meanwhile(name: str, work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Do some work in the background; yield what waits for it and returns its result.

    Whichever side fails first stops the other's processes, and its failure is what is raised.

    Args:
        name: what its lines are marked with.
        work: what to do.
    """

    def named() -> T:
        _here.name = name
        try:
            return work()
        except BaseException:
            _stopping.set()
            raise

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(named)
        try:
            yield future.result
        except BaseException as error:
            _stopping.set()
            if isinstance(error, Stopped) and (first := future.exception()):
                raise first from None
            raise


def tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last non-empty lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def run(what: str, argv: Sequence[str | Path], job: Job) -> None:
    """Run a long process, with a heartbeat that shows the end of its log.

    Raises:
        Failure: it ended with another code than 0, or is not there.
    """
    pipeline(what, [argv], job)


def pipeline(what: str, stages: Sequence[Sequence[str | Path]], job: Job) -> None:
    """Run processes, each one's output the next one's input; all must end with 0.

    Raises:
        Failure: one of them ended with another code, or is not there.
    """
    for pause_s in RETRY_PAUSES_S if job.downloads else ():
        try:
            return _pipeline(what, stages, job)
        except Failure:
            trouble = [line for line in tail(job.log) if NETWORK_TROUBLE.search(line)]
            if not trouble or _stopping.is_set():
                raise
        note(f"{what}: {trouble[-1].strip()[:90]}")
        note(f"the network failed it; again in {pause_s} s")
        _stopping.wait(pause_s)
    return _pipeline(what, stages, job)


def _pipeline(what: str, stages: Sequence[Sequence[str | Path]], job: Job) -> None:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    procs: list[subprocess.Popen[bytes]] = []
    job.log.write_bytes(b"")
    with job.log.open("ab") as log:
        try:
            for number, argv in enumerate(stages, start=1):
                upstream = procs[-1].stdout if procs else None
                procs.append(
                    subprocess.Popen(
                        [str(arg) for arg in argv],
                        stdin=upstream or subprocess.DEVNULL,
                        stdout=log if number == len(stages) else subprocess.PIPE,
                        stderr=log,
                        env=dict(job.env) if job.env is not None else None,
                        cwd=job.cwd,
                    )
                )
                if upstream:
                    upstream.close()  # the next process has it; ours would keep it open
            _wait(procs, job, started)
        except FileNotFoundError as error:
            raise Failure(f"{what}: no such program: {error.filename}", hint=job.hint) from error
        finally:
            for proc in procs:
                if proc.poll() is None:
                    proc.terminate()
                    proc.wait()
    if any(proc.returncode for proc in procs):
        raise Failure(f"{what} failed", hint=job.hint, log=job.log)


def _wait(procs: list[subprocess.Popen[bytes]], job: Job, started: float) -> None:
    beat = started + HEARTBEAT_S
    while any(proc.poll() is None for proc in procs):
        time.sleep(0.05)
        if _stopping.is_set():
            raise Stopped("stopped, because another part failed")
        if time.monotonic() >= beat:
            beat += HEARTBEAT_S
            said = job.progress() if job.progress else "".join(tail(job.log, 1))
            note(f"... {time.monotonic() - started:.0f} s  {said[:90]}  [{job.log}]")


def output(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_s: float = 60,
) -> str:
    """Run a short process and return what it printed.

    Raises:
        Failure: it failed, took longer than `timeout_s`, or is not there.
    """
    command = " ".join(str(arg) for arg in argv)[:200]
    try:
        done = subprocess.run(
            [str(arg) for arg in argv],
            env=dict(env) if env is not None else None,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise Failure(f"no such program: {error.filename}") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"no answer within {timeout_s:.0f} s: {command}") from error
    if done.returncode:
        raise Failure(f"{command}: {done.stderr.strip()[-800:] or f'exit {done.returncode}'}")
    return done.stdout


def works(
    argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> bool:
    """Tell whether a short process ends with 0 in time."""
    try:
        output(argv, env=env, timeout_s=timeout_s)
    except Failure:
        return False
    return True
