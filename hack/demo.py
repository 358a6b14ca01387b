"""`make demo`: the contract's worked example on the running stack, shown step by step."""

import json
import subprocess
import sys
import time
from pathlib import Path

from devstack import ROOT, DevStack, Message, wait_for

PROCESS_ID = 101
NAME = f"video-{PROCESS_ID}"
BUCKET, CACHE = "spectra-videos", "spectra-cache"
KEY = "uploads/security_cam_feed.mp4"
REQUEST = json.loads((ROOT / "examples" / "request.json").read_text())
FILM = ROOT / ".m0" / "security_cam_feed.mp4"
BAR_WIDTH = 30


def say(title: str) -> None:
    """A heading."""
    print(f"\n\033[1m── {title}\033[0m" if sys.stdout.isatty() else f"\n── {title}", flush=True)


def ours(message: Message) -> bool:
    """Whether a message belongs to this demo."""
    return bool(message.process_id == PROCESS_ID)


def forget_earlier_run(stack: DevStack) -> None:
    """A process_id runs once: an earlier demo's traces would answer instead of a new run."""
    stack.kubectl("delete", "vcj", NAME, "--ignore-not-found", "--wait=true", "--timeout=60s")
    stack.delete_prefix(BUCKET, f"processed/{PROCESS_ID}/")
    stack.delete_prefix(CACHE, f"temp/{PROCESS_ID}/")
    for queue in ("M0_RESULTS_QUEUE", "M0_DEADLETTER_QUEUE"):
        stack.messages(queue, ours, take=True)
    for table in ("batch_chunk", "processing_status"):
        stack.query(f"DELETE FROM {table} WHERE process_id = %s", [PROCESS_ID])


def make_film() -> Path:
    """The 300 s film, made once."""
    if not FILM.exists():
        part = FILM.with_suffix(".part.mp4")
        maker = [sys.executable, str(ROOT / "tests" / "films.py"), "--seconds", "300"]
        size = ["--width", "1280", "--height", "720", "--fps", "30", "--gop-seconds", "2"]
        subprocess.run([*maker, *size, "--out", str(part)], check=True)
        part.rename(FILM)
    return FILM


def follow(stack: DevStack) -> str:
    """Show the resource live until it ends; its phase."""
    shown = ""

    def look() -> str | None:
        nonlocal shown
        status = (stack.resource(NAME) or {}).get("status", {})
        progress = status.get("progress", {})
        percent = int(float(str(progress.get("percent", "0")).rstrip("%") or 0))
        done = BAR_WIDTH * percent // 100
        line = (
            f"   {status.get('phase', '(in the queue)'):10} [{'#' * done:{BAR_WIDTH}}] "
            f"{percent:3}%  chunks {progress.get('chunks', 0)}  {status.get('message', '')}"
        )
        if line != shown:
            print(line, flush=True)
            shown = line
        told = status.get("reported") in {"PROCESSING", "COMPLETED", "FAILED"}
        ended = status.get("phase") in {"Succeeded", "Failed", "Stopped"}
        return str(status["phase"]) if ended and told else None

    return wait_for(f"{NAME} to end", look, deadline_s=300)


def show(stack: DevStack) -> None:
    """Everything that the contract promises, as outside clients see it."""
    say("kubectl get vcj")
    print(stack.kubectl("get", "vcj", NAME, "-o", "wide"))
    say("Objects (persistent and cached)")
    for bucket, prefix in ((BUCKET, f"processed/{PROCESS_ID}/"), (CACHE, f"temp/{PROCESS_ID}/")):
        for key in stack.keys(bucket, prefix):
            size = stack.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
            print(f"   s3://{bucket}/{key}  {size:>10,} bytes")
    say("Rows in batch_chunk")
    for chunk_id, start, end, duration, offset, digest, *_ in stack.rows(PROCESS_ID):
        span = f"{start:7.3f} – {end:7.3f} s"
        print(f"   {chunk_id}  {span}  ({duration} s, offset {offset})  {digest[:16]}…")
    say("Messages in M0_RESULTS_QUEUE (left there for M1)")
    for message in stack.messages("M0_RESULTS_QUEUE", ours):
        print(f"   {message.body.decode()}")
    say("Statuses that the backend saw")
    for status, error in stack.statuses(PROCESS_ID):
        print(f"   {status}{f'  {error}' if error else ''}")


def main() -> int:
    """Run the demo; 0 when the worked example held."""
    stack = DevStack()
    say("Clearing what an earlier demo left")
    forget_earlier_run(stack)
    say("A film of 300 s (made once, about 20 s)")
    film = make_film()
    print(f"   {film.relative_to(ROOT)}: {film.stat().st_size:,} bytes")
    say(f"Uploading it to s3://{BUCKET}/{KEY}")
    stack.s3.upload_file(str(film), BUCKET, KEY)
    say("Publishing the request to M0_PRIORITY_QUEUE")
    print(json.dumps(REQUEST, indent=2))
    started = time.monotonic()
    stack.publish(REQUEST, priority=5)
    say(f"Following VideoChunkJob {NAME}")
    phase = follow(stack)
    print(f"   {phase} after {time.monotonic() - started:.1f} s")
    show(stack)
    complete = phase == "Succeeded" and len(stack.rows(PROCESS_ID)) == 5
    say("It worked. What to try next" if complete else "It did not end as it should")
    kubectl = f".m0/bin/kubectl -n {stack.namespace}"
    door = f"{stack.gateway_url}/api/v1/process_video"
    for command, meaning in (
        ("set -a; . .m0/dev.env; set +a", "the cluster and every endpoint, for your own clients"),
        (f"{kubectl} get vcj -w", "watch requests as they come"),
        (f"{kubectl} describe vcj {NAME}", "what happened to this one, step by step"),
        (f"{kubectl} explain vcj.spec", "what can be asked for"),
        (f"sed s/101/103/ examples/request.json | curl -s {door} -d @-", "another, by REST"),
        ("make status · make logs · make test · make down", ""),
    ):
        print(f"   {command:92} {meaning}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
