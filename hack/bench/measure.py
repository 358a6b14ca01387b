"""What a process costs: CPU and memory from wait4, bytes from /proc/PID/io, scratch by polling.

Standard library only. Wall-clock times on a shared machine say little; CPU time and counts
are what the tables use.
"""

import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

POLL_S = 0.01


class FailedError(Exception):
    """A measured program did not succeed; carries the tail of its standard error."""


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        cpu_s: user and system time of the process, seconds.
        wall_s: from start to exit, seconds.
        read_bytes: asked of read(): files and pipes, from disk or cache; not sockets.
        written_bytes: likewise of write().
        rss_bytes: largest resident set.
        scratch_bytes: most bytes in files without a name or under the scratch directory.
        first_line_s: from start to the first line of standard output, seconds.
        lines: of standard output.
    """

    cpu_s: float = 0.0
    wall_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    rss_bytes: int = 0
    scratch_bytes: int = 0
    first_line_s: float | None = None
    lines: tuple[str, ...] = field(default=(), repr=False)

    def then(self, other: "Cost") -> "Cost":
        """Of both, one after the other."""
        return Cost(
            self.cpu_s + other.cpu_s,
            self.wall_s + other.wall_s,
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            max(self.rss_bytes, other.rss_bytes),
            max(self.scratch_bytes, other.scratch_bytes),
            self.first_line_s if self.first_line_s is not None else other.first_line_s,
            self.lines + other.lines,
        )

    def beyond(self, start: "Cost") -> "Cost":
        """Without what starting takes: CPU and bytes; the peaks stay."""
        return replace(
            self,
            cpu_s=max(0.0, self.cpu_s - start.cpu_s),
            read_bytes=max(0, self.read_bytes - start.read_bytes),
            written_bytes=max(0, self.written_bytes - start.written_bytes),
        )


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each quantity; the last run's lines."""

    def of(pick: Callable[[Cost], float]) -> float:
        return statistics.median(pick(cost) for cost in costs)

    firsts = [cost.first_line_s for cost in costs if cost.first_line_s is not None]
    return Cost(
        of(lambda c: c.cpu_s),
        of(lambda c: c.wall_s),
        int(of(lambda c: c.read_bytes)),
        int(of(lambda c: c.written_bytes)),
        int(of(lambda c: c.rss_bytes)),
        int(of(lambda c: c.scratch_bytes)),
        statistics.median(firsts) if firsts else None,
        costs[-1].lines,
    )


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    scratch: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Cost:
    """Run one program to its end.

    Args:
        arguments: the command.
        env: its environment; None inherits.
        scratch: where its temporary files are; polled when given.
        on_line: called with each line of standard output as it comes.

    Raises:
        FailedError: it ended with another code than 0.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            list(arguments),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        # After Popen has returned, so that what is seen is the program and not this one's fork.
        watch = _Watch(process.pid, scratch)
        lines, first = [], None
        assert process.stdout
        for line in process.stdout:
            first = time.monotonic() - started if first is None else first
            lines.append(line)
            if on_line:
                on_line(line)
        # A zombie still has its counters: look before it is reaped.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        counters = _read_io(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        watch.stop()
        if process.returncode:
            errors.seek(0)
            tail = errors.read()[-2000:].decode(errors="replace")
            raise FailedError(f"{' '.join(arguments[:8])}: exit {process.returncode}\n{tail}")
    return Cost(
        usage.ru_utime + usage.ru_stime,
        time.monotonic() - started,
        counters.get("rchar", 0),
        counters.get("wchar", 0),
        watch.rss_bytes or usage.ru_maxrss * 1024,
        watch.scratch_bytes,
        first,
        tuple(lines),
    )


def run_all(commands: Iterable[Sequence[str]], env: Mapping[str, str] | None = None) -> Cost:
    """Run several programs one after the other; the sum."""
    total = Cost()
    for command in commands:
        total = total.then(run(command, env=env))
    return total


def _read_io(pid: int) -> dict[str, int]:
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return {}
    return {key: int(value) for key, value in (line.split(": ") for line in text.splitlines())}


class _Watch:
    """Polls a process's largest resident set, and its scratch in files with and without a name.

    wait4's ru_maxrss would do for memory, if it did not begin with what the parent had when
    it forked. The kernel's VmHWM is a peak too: only what the last 10 ms add is missed.
    """

    def __init__(self, pid: int, scratch: Path | None) -> None:
        self._process, self._scratch = Path(f"/proc/{pid}"), scratch
        self._descriptors = self._process / "fd"
        self.rss_bytes = self.scratch_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while True:
            self.rss_bytes = max(self.rss_bytes, self._rss_now())
            if self._scratch is not None:
                self.scratch_bytes = max(self.scratch_bytes, self._scratch_now())
            if self._done.wait(POLL_S):
                return

    def _rss_now(self) -> int:
        try:
            text = (self._process / "status").read_text()
        except OSError:
            return 0
        match = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
        return int(match[1]) * 1024 if match else 0

    def _scratch_now(self) -> int:
        """Bytes on disk, each inode once."""
        assert self._scratch
        found: dict[int, int] = {}
        try:
            candidates = [*self._descriptors.iterdir(), *self._scratch.rglob("*")]
        except OSError:
            return 0
        for path in candidates:
            try:
                # Of open files only those in the scratch directory, named or not.
                target = path.readlink() if path.parent == self._descriptors else path
                if not str(target).startswith(str(self._scratch)):
                    continue
                entry = path.stat()
            except OSError:
                continue
            found[entry.st_ino] = entry.st_blocks * 512
        return sum(found.values())

    def stop(self) -> None:
        self._done.set()
        self._thread.join()
