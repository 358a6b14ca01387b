"""`make outage`: the broker away for ten minutes, then the backend for an hour, and all counted.

`make outage ARGS='--broker 2 --backend 5'`, in minutes. It has an operator and a namespace of its
own, which reach both by ways that can be cut. Writes docs/outages.md.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.films import films_in_store
from chaos.load import CHUNKS, FILM_S, request
from chaos.play import Films
from devstack import ROOT, wait_for
from own import Operator, OwnStack, own_stack
from way import Way

REPORT = ROOT / "docs" / "outages.md"
ENOUGH_MIN = {"broker": 10.0, "backend": 60.0}
BEFORE, MEANWHILE = 2, 4
"""Good requests that are sent just before an outage, and while it lasts; and a bad one before."""

PATIENCE_S = 900.0
"""The longest wait between two Jobs is 480 s."""


@dataclass
class Seen:
    """What one outage came to.

    Attributes:
        jobs: names of the Jobs that there were.
        said: what the resources' messages and conditions said meanwhile, and how often.
        after_s: seconds from its end until everything was told.
    """

    what: str
    minutes: float
    good: list[int] = field(default_factory=list)
    bad: int = 0
    jobs: set[str] = field(default_factory=set)
    said: Counter[str] = field(default_factory=Counter)
    log_lines: int = 0
    after_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Outages:
    """An operator of our own, its ways to broker and backend, and what is done to them."""

    def __init__(self, own: OwnStack, films: Films) -> None:
        self._own, self._films = own, films
        self._ways = {
            "broker": Way(own.env["M0_AMQP_URL"]),
            "backend": Way(own.env["M0_GRAPHQL_URL"]),
        }
        self._ids = iter(range(int(time.time() * 10) * 1000, 10**15))
        self.operators: list[Operator] = []
        self._start()

    def _start(self) -> None:
        started = self._own.start(
            M0_AMQP_URL=self._ways["broker"].url,
            M0_GRAPHQL_URL=self._ways["backend"].url,
            M0_MAX_ACTIVE_JOBS="3",
        )
        self.operators.append(started)

    def watch(self) -> None:
        """What the kubelet would do: start it again."""
        if self.operators[-1].process.poll() is not None:
            self._start()

    def suffer(self, what: str, minutes: float) -> Seen:
        """One outage from its beginning to the end of all requests."""
        seen = Seen(what, minutes)
        lines = self._lines()
        wait_for("the operator to lead", lambda: self.operators[-1].leads)
        seen.bad = self._send(self._films.junk)
        seen.good += [self._send(self._films.film) for _ in range(BEFORE)]
        wait_for("the first to be taken", lambda: self._own.resource(f"video-{seen.good[-1]}"))
        self._switch(what, open_=False)
        seen.good += [self._send(self._films.film) for _ in range(MEANWHILE)]
        self._wait(minutes * 60, seen, lambda: False)
        self._switch(what, open_=True)
        mended = time.monotonic()
        if not self._wait(PATIENCE_S, seen, lambda: self._all_told(seen)):
            seen.wrong.append(f"not all was told {PATIENCE_S:.0f} s after the {what} was back")
        seen.after_s = time.monotonic() - mended
        seen.log_lines = self._lines() - lines
        self._count(seen)
        return seen

    def _send(self, film: str) -> int:
        process_id = next(self._ids)
        self._own.publish(request(process_id, film), queue=self._own.requests)
        return process_id

    def _switch(self, what: str, *, open_: bool) -> None:
        """For the operator by its relay, for the Jobs by the name of the server."""
        self._ways[what].switch(open_=open_)
        service = {"broker": "m0-rabbitmq", "backend": "m0-backend"}[what]
        name = service if open_ else "m0-nowhere"
        host = f"{name}.{self._own.deployed}.svc.cluster.local"
        patch = json.dumps({"spec": {"externalName": host}})
        self._own.kubectl("patch", "service", service, "-p", patch)

    def _wait(self, seconds: float, seen: Seen, done: Callable[[], bool]) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(RuntimeError, OSError):
                self.watch()
                self._look(seen)
                if done():
                    return True
            time.sleep(5)
        return False

    def _look(self, seen: Seen) -> None:
        names = {f"video-{n}" for n in (*seen.good, seen.bad)}
        for item in json.loads(self._own.kubectl("get", "vcj", "-o", "json"))["items"]:
            if item["metadata"]["name"] not in names:
                continue
            status = item.get("status", {})
            if job := (status.get("jobRef") or {}).get("name"):
                seen.jobs.add(job)
            if not status.get("finishedAt"):
                # Without the names and times in it.
                seen.said[re.sub(r"\S*\d\S*", "…", status.get("message") or "nothing")] += 1
            for condition in status.get("conditions", ()):
                if condition["status"] == "False" and condition["type"] != "Succeeded":
                    seen.said[f"{condition['type']}: {condition['message']}"] += 1

    def _all_told(self, seen: Seen) -> bool:
        told = {n: [name for name, _ in self._own.statuses(n)] for n in (*seen.good, seen.bad)}
        good = all(told[n] == ["QUEUED", "PROCESSING"] for n in seen.good)
        return good and told[seen.bad] == ["QUEUED", "FAILED"] and bool(self._letters(seen))

    def _letters(self, seen: Seen) -> list[Any]:
        ids = {*seen.good, seen.bad}
        return [m.process_id for m in self._own.messages(
            self._own.letters, lambda m: m.process_id in ids)]  # fmt: skip

    def _count(self, seen: Seen) -> None:
        own = self._own
        if (letters := self._letters(seen)) != [seen.bad]:
            seen.wrong.append(f"dead letters of {letters}, only of {seen.bad} there must be one")
        wanted = [(n, chunk) for n in seen.good for chunk in range(1, CHUNKS + 1)]
        rows = [row[:2] for n in seen.good for row in own.query(
            "SELECT process_id, chunk_id FROM batch_chunk WHERE process_id = %s ORDER BY 2",
            [n])]  # fmt: skip
        if rows != wanted:
            seen.wrong.append(f"rows {rows}")
        heard = {
            (m.process_id, m.json["chunk_id"])
            for m in own.messages(own.results, lambda m: m.process_id in seen.good)
        }
        if heard != set(wanted):
            seen.wrong.append(f"messages {sorted(heard)}")
        for n in (*seen.good, seen.bad):
            told = [name for name, _ in own.statuses(n)]
            if told != ["QUEUED", "FAILED" if n == seen.bad else "PROCESSING"]:
                seen.wrong.append(f"{n} was told {told}")

    def _lines(self) -> int:
        return sum(len(operator.log) for operator in self.operators)


@contextmanager
def outages() -> Iterator[Outages]:
    """A namespace, films and an operator, while the context is open."""
    with (
        tempfile.TemporaryDirectory() as directory,
        own_stack(Path(directory)) as own,
        films_in_store(own, seconds=FILM_S, directory="outage") as films,
    ):
        yield Outages(own, films)


def main() -> int:
    """Run it; 1 when the count is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make outage ARGS=…")
    for what, minutes in ENOUGH_MIN.items():
        parser.add_argument(f"--{what}", type=float, default=minutes, help="minutes")
    asked = vars(parser.parse_args())
    with outages() as stage:
        found = []
        for what, minutes in asked.items():
            found.append(stage.suffer(what, minutes))
            print(found[-1], flush=True)
        text = report(found, len(stage.operators) - 1)
    print(text)
    if all(asked[what] >= minutes for what, minutes in ENOUGH_MIN.items()):
        REPORT.write_text(text)
    return 1 if any(seen.wrong for seen in found) else 0


def report(found: list[Seen], restarts: int) -> str:
    """docs/outages.md."""
    lines = [
        "# Long outages",
        "",
        "Made by `make outage`; do not edit. Broker, then backend were out of reach for an",
        f"operator and its Jobs. Just before, {BEFORE} good requests and a bad one were sent, and",
        f"meanwhile {MEANWHILE} more; 3 Jobs could run at a time. In the end each good video must",
        f"have its {CHUNKS} rows and messages, and QUEUED and PROCESSING told once; the bad one a",
        "dead letter.",
        "",
        "| away | minutes | videos | Jobs | all told, s after its return | operator's log, lines a minute | dead letters of good ones | not as it must be |",  # noqa: E501
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for seen in found:
        astray = sum("dead letters" in line for line in seen.wrong)
        pace = seen.log_lines / (seen.minutes + seen.after_s / 60)
        lines.append(
            f"| {seen.what} | {seen.minutes:g} | {len(seen.good) + 1} | {len(seen.jobs)} |"
            f" {seen.after_s:.0f} | {pace:.1f} | {astray} | {len(seen.wrong)} |"
        )
    lines += ["", f"The operator was started again {restarts} times. What the resources said:", ""]
    for seen in found:
        said = "; ".join(text.replace("|", " ") for text, _ in seen.said.most_common(8))
        lines.append(f"- {seen.what} away: {said or 'nothing'}")
    lines += [f"- {seen.what}: {line}" for seen in found for line in seen.wrong]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
