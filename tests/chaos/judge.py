"""Whether a request ended as it must, by what others see: rows, objects, messages, letters."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import expect
from chaos.cells import Cell, Kind, Scene
from chaos.faults import FAULTS, rabbitmqctl
from chaos.stage import Stage
from devstack import DevStack, Message, wait_for

if TYPE_CHECKING:
    from chaos.play import Cast

UPLOADS = 2
"""Chunks between storing and announcing: so many a chunker's successor may announce again."""

COPIED = [(0.0, 4.0), (4.0, 8.0), (8.0, 12.0), (12.0, 16.0), (16.0, 20.0)]
TRANSCODED = [(0.0, 6.5), (6.5, 13.0), (13.0, 20.0)]
FAILURES: dict[Kind, tuple[str, str]] = {
    "missing": ("SOURCE_NOT_FOUND", "source"),
    "no film": ("NOT_MEDIA", "probe"),
    "invalid": ("INVALID_REQUEST", "intake"),
    "garbage": ("INVALID_JSON", "intake"),
    "deleted": ("STOPPED", "job"),
}


@dataclass(frozen=True)
class Result:
    """What became of a cell.

    Attributes:
        came_out: what was found, in words and figures.
        wrong: why that is not as it must be; empty when it is.
        process_id, body: whose traces nothing may be added to from now on.
    """

    scene: Scene
    cell: Cell
    came_out: str
    wrong: str
    seconds: float
    process_id: int
    body: bytes


def judge(
    stage: Stage, scene: Scene, cast: "Cast", trouble: Exception | None, began: float
) -> Result:
    """Compare what is there with what must be there, all of it."""
    came_out, error = "", trouble
    try:
        came_out = _look(stage, scene, cast)
    except Exception as found:  # noqa: BLE001 - it belongs into the table
        error = trouble or found
    wrong = f"{type(error).__name__}: {error}"[:400].replace("\n", " ") if error else ""
    seconds = time.monotonic() - began
    return Result(scene, cast.cell, came_out, wrong, seconds, cast.process_id, cast.body)


def _look(stage: Stage, scene: Scene, cast: "Cast") -> str:
    failure = FAILURES.get(cast.cell.kind)
    pods = f"{len(cast.pods)} pods" if len(cast.pods) != 1 else "1 pod"
    if failure is not None:
        return f"{_failed(stage, cast, *failure)}; {pods}"
    return f"{_done(stage, scene, cast)}; {pods}"


def _done(stage: Stage, scene: Scene, cast: "Cast") -> str:
    assert cast.document is not None
    cell, stack = cast.cell, stage.stack
    times = TRANSCODED if cell.kind == "transcode" else COPIED
    told: tuple[str, ...] = ("QUEUED", "PROCESSING")
    if cell.kind == "replayed":
        told = ("QUEUED", "FAILED", *told)
    messages = expect.complete(stack, cast.document, times, disturbed=True, told=told)
    again = len(messages) - len(times)
    fault = FAULTS.get(scene.fault)
    deaths = [crash for crash in cell.crashes if crash.in_chunker]
    if not deaths and not (fault and fault.ends_pods):
        runs = 2 if cell.kind == "replayed" else 1
        assert len(cast.pods) <= runs, f"only the operator died, yet there were {cast.pods}"
    allowed = UPLOADS * max(0, len(cast.pods) - 1, len(deaths)) + (fault.repeats if fault else 0)
    assert again <= allowed, f"{again} messages came again, {allowed} may"
    letters = _letters(stack, cast.body)
    assert letters == [], f"done, yet {len(letters)} dead letters"
    n, more = len(times), f" (+{again} again)" if again else ""
    return f"{n} rows, 2 x {n} objects, {n} messages{more}, no dead letter"


def _failed(stage: Stage, cast: "Cast", code: str, stage_name: str) -> str:
    stack, kind = stage.stack, cast.cell.kind
    resource = None
    if kind == "garbage":
        # Only a message that is off the queue has had all its dead letters.
        stage.wait("the message to be settled", lambda: _is_settled(stage))
    elif kind != "deleted":
        resource = expect.settled(stack, cast.name, "Failed")
    letters = dead_letters(stage, cast.body, code, stage_name, cast.cell.letters)
    again = f" (+{len(letters) - 1} with its message id)" if len(letters) > 1 else ""
    if kind == "garbage":
        return f"dead letter {code}{again}, no resource"
    if kind == "deleted":
        wait_for(
            "the pods to go",
            lambda: not stack.items("pods", f"m0.sightapi.io/videochunkjob={cast.name}"),
        )
        assert stack.resource(cast.name) is None
        # What was announced before stays announced.
        stack.messages("M0_RESULTS_QUEUE", lambda m: m.process_id == cast.process_id, take=True)
    if resource is not None:
        assert resource["status"]["failure"]["code"] == code, resource["status"]
        assert stack.rows(cast.process_id) == []
        assert stack.keys(expect.BUCKET, f"processed/{cast.process_id}/") == []
    said = [status for status, _ in stack.statuses(cast.process_id)]
    # A request that was never good was never queued.
    assert said == (["FAILED"] if kind == "invalid" else ["QUEUED", "FAILED"]), said
    return f"dead letter {code}{again}, FAILED told"


def _is_settled(stage: Stage) -> bool:
    queues = rabbitmqctl(stage, "list_queues name messages").split()
    return queues[queues.index("M0_PRIORITY_QUEUE") + 1] == "0"


def dead_letters(stage: Stage, body: bytes, code: str, at: str, most: int) -> list[Message]:
    """The dead letters of a body, taken: at least one, at most so many, all the same one."""
    stage.wait("the dead letter", lambda: _letters(stage.stack, body))
    found = stage.stack.messages("M0_DEADLETTER_QUEUE", lambda m: m.body == body, take=True)
    assert 1 <= len(found) <= most, f"{len(found)} dead letters"
    assert len({letter.message_id for letter in found}) == 1, "they can't be told to be one"
    for letter in found:
        headers = letter.headers
        assert (headers["x-m0-error-code"], headers["x-m0-stage"]) == (code, at), headers
    return found


def _letters(stack: DevStack, body: bytes) -> list[Message]:
    return stack.messages("M0_DEADLETTER_QUEUE", lambda m: m.body == body)


def unfinished(stack: DevStack, kind: Kind, name: str, body: bytes) -> list[str]:
    """What is still to come, or nothing."""
    if kind == "garbage":
        return [] if _letters(stack, body) else ["no dead letter"]
    resource = stack.resource(name)
    if kind == "deleted":
        return [f"{name} is still there"] if resource else []
    phase = (resource or {}).get("status", {}).get("phase")
    # The resource of the first try, which failed as it had to, is there until it is replaced.
    ended = phase in ({"Succeeded"} if kind == "replayed" else {"Succeeded", "Failed", "Stopped"})
    return [] if ended else [f"{name} is {phase or 'not there'}"]


def audit(stage: Stage, results: list[Result]) -> list[str]:
    """What has come to light after the verdicts: anything at all is wrong."""
    stack = stage.stack
    bodies, ids = {r.body for r in results}, {r.process_id for r in results}
    return [
        f"a late {queue} message: {m.body[:80]!r}"
        for queue in ("M0_DEADLETTER_QUEUE", "M0_RESULTS_QUEUE", "M0_PRIORITY_QUEUE")
        for m in stack.messages(queue, lambda m: m.body in bodies or m.process_id in ids)
    ]


def forget(stage: Stage, results: list[Result]) -> None:
    """Take the resources away, and what a killed broker has put back into its queues."""
    ids = {r.process_id for r in results}
    names = [f"video-{number}" for number in sorted(ids)]
    if names:
        stage.stack.kubectl("delete", "vcj", *names, "--ignore-not-found", "--wait=false")
    stage.stack.messages("M0_RESULTS_QUEUE", lambda m: m.process_id in ids, take=True)


def describe(scene: Scene, cell: Cell) -> str:
    """What was done to a cell's request, in words."""
    parts = [f"dies at {', then at '.join(map(str, cell.crashes))}"] if cell.crashes else []
    if scene.fault:
        parts.append(f"{FAULTS[scene.fault].said}; {WHEN[scene.moment]}")
    return "; ".join(parts)


WHEN = {
    "before": "then sent",
    "taken": "resource made, message not acknowledged",
    "cutting": "while it is cut",
    "ending": "done but not said",
    "telling": "about to be told",
}
