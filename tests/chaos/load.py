"""`make load`: many requests queued at once, operators and Jobs killed at random, then all counted.

`make load ARGS='--requests 50 --active 4'`. Writes docs/load.md.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from subprocess import SubprocessError
from typing import Any

import aio_pika
import blows
from chaos.films import films_in_store
from chaos.stage import OPERATOR_NAME, Stage
from devstack import ROOT, DevStack, wait_for

REPORT = ROOT / "docs" / "load.md"
CHUNKS = 2
FILM_S = 8
STRIKE_EVERY_S = (6.0, 14.0)
JOB_BLOWS_AT_MOST = 2
"""For one request: it is given up after the third retry, and rightly so."""
SETTINGS, LIMIT = "configmap/m0-operator", "max-active-jobs"
CHUNKER = "app.kubernetes.io/component=chunker"
CLOCK_TICKS = 100


@dataclass
class Seen:
    """What one operator process has used so far."""

    peak_mib: float = 0.0
    cpu_s: float = 0.0


@dataclass
class Run:
    """What happened.

    Attributes:
        operators: (pod, how often restarted) → what it used when last looked at.
        blows: how often each blow was dealt.
        struck: requests whose pods were struck, and how often.
    """

    ids: list[int]
    operators: dict[tuple[str, int], Seen] = field(default_factory=dict)
    blows: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def main() -> int:
    """Run it; 1 when the count is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make load ARGS=…")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--active", type=int, default=6, help="maxActiveJobs meanwhile")
    parser.add_argument("--calm", action="store_true", help="kill nobody")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    values = parser.parse_args()
    random.seed(values.seed)
    stage = Stage(DevStack())
    stage.wait_whole()
    first = int(time.time() * 10) * 1000
    run = Run([first + n for n in range(values.requests)])
    with films_in_store(stage.stack, seconds=FILM_S) as films, active_jobs(stage, values.active):
        publish(stage.stack, run, films.film)
        storm(stage, run, calm=values.calm)
        stage.wait_whole()
        wrong = count(stage.stack, run)
    text = report(run, wrong, values.active, values.seed)
    print(text)
    if values.requests >= 500:
        REPORT.write_text(text)
    tidy(stage.stack, run)
    return 1 if wrong else 0


@contextmanager
def active_jobs(stage: Stage, number: int) -> Iterator[None]:
    """Let so many Jobs run at once, until the end; as a person would: without a restart."""
    before = json.loads(stage.stack.kubectl("get", SETTINGS, "-o", "json"))["data"][LIMIT]

    def switch(value: str) -> None:
        patch = json.dumps({"data": {LIMIT: value}})
        stage.stack.kubectl("patch", SETTINGS, "--type=merge", "-p", patch)
        file = f"/etc/m0/live/{LIMIT}"
        stage.wait(
            f"{LIMIT} to be {value} for the operator",
            lambda: stage.stack.kubectl("exec", OPERATOR_NAME, "--", "cat", file) == value,
        )

    switch(str(number))
    try:
        yield
    finally:
        switch(before)


def publish(stack: DevStack, run: Run, film: str) -> None:
    """All requests, over one connection, with priorities at random."""

    async def send() -> None:
        async with await aio_pika.connect(stack.env["M0_AMQP_URL"]) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            for process_id in run.ids:
                message = aio_pika.Message(
                    json.dumps(request(process_id, film)).encode(),
                    priority=random.randrange(10),
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await channel.default_exchange.publish(message, "M0_PRIORITY_QUEUE")

    asyncio.run(send())


def request(process_id: int, film: str) -> dict[str, Any]:
    """What is asked for."""
    return {
        "process_id": process_id,
        "inference_modality": "batch",
        "cloud_stream_path": film,
        "destination_prefix": f"processed/{process_id}/",
        "cache_container_name": "spectra-cache",
        "video_preprocessing": {"chunk_duration": FILM_S // CHUNKS},
        "inference_config": {"load": process_id},
    }


def storm(stage: Stage, run: Run, *, calm: bool) -> None:
    """Strike and look, until all requests have ended."""
    began = time.monotonic()
    next_blow, silent_since, ended = began + 10, began, 0
    while (now_ended := count_ended(stage.stack, run)) < len(run.ids):
        now = time.monotonic()
        if now_ended > ended:
            ended, silent_since = now_ended, now
            print(f"{now - began:6.0f} s  {ended} ended, {dict(run.blows)}", flush=True)
        if now - silent_since > 240:
            raise TimeoutError(f"{ended} of {len(run.ids)} ended, no more for 240 s")
        with suppress(RuntimeError, SubprocessError):
            look(stage, run)
            stage.hurry_operator()
            if now > next_blow and not calm:
                strike(stage, run)
                next_blow = now + random.uniform(*STRIKE_EVERY_S)
        time.sleep(1)
    run.seconds = time.monotonic() - began


def strike(stage: Stage, run: Run) -> None:
    """A blow at random: every fourth is the operator's."""
    if random.random() < 0.25:
        pods = [pod["metadata"]["name"] for pod in stage.operators()]
        if not pods:
            return
        if random.random() < 0.5:
            blows.signal_container(stage.stack, pods[0], "operator", "SIGKILL")
            run.blows["operator killed"] += 1
        else:
            stage.stack.kubectl("delete", "pod", pods[0], "--wait=false")
            run.blows["operator deleted"] += 1
        return
    pods = [
        pod["metadata"]["name"]
        for pod in stage.stack.items("pods", CHUNKER)
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    if not pods:
        return
    pod = random.choice(pods)
    name = "-".join(pod.split("-")[:2])
    if run.struck[name] >= JOB_BLOWS_AT_MOST:
        return
    blow = random.choice([blows.kill, blows.delete, blows.evict])
    blow(stage.stack, pod)
    run.struck[name] += 1
    run.blows[f"chunker: {blow.__name__}"] += 1


def look(stage: Stage, run: Run) -> None:
    """Note what the operator has used: peak of resident memory, and processor time."""
    for pod in stage.operators():
        name = pod["metadata"]["name"]
        restarts = sum(s["restartCount"] for s in pod["status"].get("containerStatuses", []))
        said = stage.stack.kubectl("exec", name, "--", "cat", "/proc/1/status", "/proc/1/stat")
        peak = next(line for line in said.splitlines() if line.startswith("VmHWM:"))
        times = said.splitlines()[-1].rpartition(")")[2].split()
        seen = run.operators.setdefault((name, restarts), Seen())
        seen.peak_mib = int(peak.split()[1]) / 1024
        seen.cpu_s = (int(times[11]) + int(times[12])) / CLOCK_TICKS


def count_ended(stack: DevStack, run: Run) -> int:
    """Requests of which the backend knows the end."""
    [(number,)] = stack.query(
        "SELECT count(DISTINCT process_id) FROM processing_status"
        " WHERE process_id BETWEEN %s AND %s AND status IN ('PROCESSING', 'FAILED')",
        [run.ids[0], run.ids[-1]],
    )
    return int(number)


def count(stack: DevStack, run: Run) -> list[str]:
    """Everything that is there, against everything that must be; what differs."""
    ids, span = set(run.ids), [run.ids[0], run.ids[-1]]
    wrong: list[str] = []
    wait_for("all ends to be told", lambda: _told(stack, ids) <= {"PROCESSING", "FAILED"})
    rows = stack.query(
        "SELECT process_id, chunk_id, chunk_hash FROM batch_chunk"
        " WHERE process_id BETWEEN %s AND %s ORDER BY 1, 2", span
    )  # fmt: skip
    wanted = [(n, chunk) for n in run.ids for chunk in range(1, CHUNKS + 1)]
    if [row[:2] for row in rows] != wanted:
        wrong.append(f"{len(rows)} rows, {len(wanted)} must be")
    statuses = stack.query(
        "SELECT process_id, string_agg(status, ' ' ORDER BY id) FROM processing_status"
        " WHERE process_id BETWEEN %s AND %s GROUP BY 1", span
    )  # fmt: skip
    wrong += [f"{n} was told {text}" for n, text in statuses if text != "QUEUED PROCESSING"]
    letters = stack.messages("M0_DEADLETTER_QUEUE", lambda m: m.process_id in ids, take=True)
    wrong += [f"{m.process_id}: dead letter {m.headers['x-m0-error-code']}" for m in letters]
    messages = stack.messages("M0_RESULTS_QUEUE", lambda m: m.process_id in ids, take=True)
    heard = Counter(
        (m.json["process_id"], m.json["chunk_id"], m.json["chunk_hash"]) for m in messages
    )
    if sorted(heard) != sorted(rows):
        wrong.append(f"{len(heard)} different messages, {len(rows)} rows")
    run.blows["(messages that came again)"] = heard.total() - len(heard)
    for n in run.ids:
        for bucket, prefix in (("spectra-videos", "processed"), ("spectra-cache", "temp")):
            keys = stack.keys(bucket, f"{prefix}/{n}/")
            if keys != [f"{prefix}/{n}/chunk_{c:03d}.mp4" for c in range(1, CHUNKS + 1)]:
                wrong.append(f"{bucket}: {keys}")
    wrong += [f"{m.process_id} is still queued" for m in _queued(stack, ids)]
    return wrong


def _queued(stack: DevStack, ids: set[int]) -> list[Any]:
    return stack.messages("M0_PRIORITY_QUEUE", lambda m: m.process_id in ids)


def _told(stack: DevStack, ids: set[int]) -> set[str]:
    found = json.loads(stack.kubectl("get", "vcj", "-o", "json"))["items"]
    return {
        item.get("status", {}).get("reported", "")
        for item in found
        if item["spec"].get("processId") in ids
    }


def tidy(stack: DevStack, run: Run) -> None:
    """Take the resources and the objects away."""
    names = [f"video-{n}" for n in run.ids]
    for batch in itertools.batched(names, 100) if hasattr(itertools, "batched") else [names]:
        stack.kubectl("delete", "vcj", *batch, "--wait=false", "--ignore-not-found")
    for n in run.ids:
        stack.delete_prefix("spectra-videos", f"processed/{n}/")
        stack.delete_prefix("spectra-cache", f"temp/{n}/")


def report(run: Run, wrong: list[str], active: int, seed: int) -> str:
    """docs/load.md."""
    again = run.blows.pop("(messages that came again)", 0)
    dealt = ", ".join(f"{name} {n}x" for name, n in sorted(run.blows.items())) or "no blows"
    peak = max(seen.peak_mib for seen in run.operators.values())
    cpu = sum(seen.cpu_s for seen in run.operators.values())
    number = len(run.ids)
    lines = [
        "# Many requests at once, with kills at random",
        "",
        f"Made by `make load` (seed {seed}); do not edit. {number} requests were queued at once;",
        f"{active} Jobs could run at a time. Meanwhile were dealt: {dealt}.",
        "",
        "| | |",
        "|---|---|",
        f"| requests | {number}, of {CHUNKS} chunks each |",
        f"| time | {run.seconds / 60:.1f} min, {run.seconds / number:.2f} s a request |",
        f"| blows | {run.blows.total()} |",
        f"| operator processes | {len(run.operators)} |",
        f"| operator's memory at its peak | {peak:.0f} MiB resident |",
        f"| operators' processor time | {cpu:.1f} s, {1000 * cpu / number:.0f} ms a request |",
        f"| rows, messages | {number * CHUNKS} each, {again} messages came again |",
        f"| dead letters | {sum('dead letter' in line for line in wrong)} |",
        f"| not as it must be | {len(wrong)} |",
        "",
        "| operator process | memory at its peak, MiB | processor time, s |",
        "|---|---|---|",
    ]
    lines += [
        f"| {pod} ({restarts}) | {seen.peak_mib:.0f} | {seen.cpu_s:.1f} |"
        for (pod, restarts), seen in run.operators.items()
    ]
    return "\n".join([*lines, "", *(f"- {line}" for line in wrong)]).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
