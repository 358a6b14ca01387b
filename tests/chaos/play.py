"""Plays a scene: sends its requests, lets its processes die and its fault happen, and judges."""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import blows
from chaos import judge
from chaos.cells import HOLDS, Cell, Scene
from chaos.faults import FAULTS, pause
from chaos.stage import PATIENCE_S, Stage
from devstack import POLL_S, DevStack

_ids = itertools.count(int(time.time() * 10) * 1000)


@dataclass
class Cast:
    """A request of the scene, and what was seen of it.

    Attributes:
        document: the request; None where the body is none.
        body: as it was sent.
        crashes, hold: the numbers of its orders.
        pods: names of its pods that were seen.
    """

    cell: Cell
    process_id: int
    document: dict[str, Any] | None
    body: bytes
    crashes: list[int] = field(default_factory=list)
    hold: int | None = None
    pods: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The resource's."""
        return f"video-{self.process_id}"


@dataclass(frozen=True)
class Films:
    """URLs of what is in the store: a film, and something that is none."""

    film: str
    junk: str


def play(stage: Stage, films: Films, scene: Scene) -> list[judge.Result]:
    """One scene, from a whole world to a whole world; a result for each cell, good or bad.

    What goes wrong in a cell is in its result; the world is put in order whatever happens.
    """
    stage.wait_whole()
    casts = [_cast(films, cell) for cell in scene.cells]
    began = time.monotonic()
    trouble: Exception | None = None
    try:
        _happen(stage, scene, casts)
    except Exception as error:  # noqa: BLE001 - it belongs into the table
        trouble = error
    finally:
        _restore(stage)
    return [judge.judge(stage, scene, cast, trouble, began) for cast in casts]


def _restore(stage: Stage) -> None:
    stage.wait("the backend", stage.orders.clear)
    stage.wait_whole()


def _cast(films: Films, cell: Cell) -> Cast:
    process_id = next(_ids)
    if cell.kind == "garbage":
        return Cast(cell, process_id, None, f"no json {process_id}".encode())
    source = {
        "missing": f"s3://spectra-videos/chaos/none-{process_id}.mp4",
        "replayed": f"s3://spectra-videos/chaos/late-{process_id}.mp4",
        "no film": films.junk,
    }.get(cell.kind, films.film)
    wanted: dict[str, Any] = {"chunk_duration": 4}
    if cell.kind == "transcode":
        wanted = {"chunk_duration": 6.5, "fps": 10, "width": 160, "height": 120}
    document = {
        "process_id": process_id,
        "inference_modality": "batch",
        "cloud_stream_path": source,
        "destination_prefix": f"processed/{process_id}/",
        "cache_container_name": "spectra-cache",
        "video_preprocessing": wanted,
        "inference_config": {"model": "vlm-1", "nested": {"π": [1, 2.5, None]}},
    }
    if cell.kind == "invalid":
        del document["destination_prefix"]
    return Cast(cell, process_id, document, json.dumps(document).encode())


def _happen(stage: Stage, scene: Scene, casts: Sequence[Cast]) -> None:
    fault = FAULTS.get(scene.fault)
    ids = [cast.process_id for cast in casts]
    with fault.prepare(stage, ids) if fault else nullcontext():
        for cast in casts:
            _rehearse(stage, cast)
        _order(stage, scene, casts)
        if fault and scene.moment == "before":
            with fault.happens(stage, ids):
                _send(stage.stack, casts)
                pause(fault.lasts_s)
        else:
            _send(stage.stack, casts)
            _wait_held(stage, casts)
            for cast in casts:
                _note_pods(stage, cast)
            with fault.happens(stage, ids) if fault else nullcontext():
                _delete(stage.stack, casts)
                _release(stage, [cast for cast in casts if cast.cell.kind != "deleted"])
                pause(fault.lasts_s if fault else 0)
        _release_deleted(stage, [cast for cast in casts if cast.cell.kind == "deleted"])
        _follow(stage, casts)


def _rehearse(stage: Stage, cast: Cast) -> None:
    """A replay needs a dead letter first, and then its film."""
    if cast.cell.kind != "replayed" or cast.document is None:
        return
    stage.stack.publish(cast.body)
    judge.dead_letters(stage, cast.body, "SOURCE_NOT_FOUND", "source", 1)
    key = cast.document["cloud_stream_path"].removeprefix("s3://spectra-videos/")
    film = stage.stack.get("spectra-videos", "chaos/film.mp4")
    stage.stack.s3.put_object(Bucket="spectra-videos", Key=key, Body=film)


def _order(stage: Stage, scene: Scene, casts: Sequence[Cast]) -> None:
    for cast in casts:
        for crash in cast.cell.crashes:
            # Before a message is read, and after it, nobody knows whose it is.
            anonymous = crash.point in {
                "intake.taken", "intake.acked", "intake.refused", "lease.acquired",
            }  # fmt: skip
            subject = "" if anonymous else cast.name
            cast.crashes.append(stage.orders.give(crash.point, subject, skip=crash.skip))
        moment = "cutting" if cast.cell.kind == "deleted" else scene.moment
        hold = HOLDS[moment].get(cast.cell.kind)
        if hold is not None:
            cast.hold = stage.orders.give(hold[0], cast.name, do="hold", skip=hold[1])


def _send(stack: DevStack, casts: Sequence[Cast]) -> None:
    for cast in casts:
        if cast.cell.kind == "applied":
            stack.kubectl("apply", "-f", "-", stdin=json.dumps(_manifest(cast)))
        else:
            stack.publish(cast.body, priority=5)


def _manifest(cast: Cast) -> dict[str, Any]:
    """The resource that a person writes who wants the same."""
    assert cast.document is not None
    document = cast.document
    return {
        "apiVersion": "m0.sightapi.io/v1",
        "kind": "VideoChunkJob",
        "metadata": {"name": cast.name},
        "spec": {
            "processId": cast.process_id,
            "inferenceModality": document["inference_modality"],
            "cloudStreamPath": document["cloud_stream_path"],
            "destinationPrefix": document["destination_prefix"],
            "cacheContainerName": document["cache_container_name"],
            "videoPreprocessing": {"chunkDuration": 4},
            "inferenceConfig": document["inference_config"],
        },
    }


def _wait_held(stage: Stage, casts: Sequence[Cast]) -> None:
    for cast in casts:
        if cast.hold is not None:
            number = cast.hold
            stage.wait(
                f"{cast.cell.kind} to be held", lambda number=number: stage.orders.is_met(number)
            )


def _delete(stack: DevStack, casts: Sequence[Cast]) -> None:
    for cast in casts:
        if cast.cell.kind == "deleted":
            stack.kubectl("delete", "vcj", cast.name, "--wait=false")


def _release(stage: Stage, casts: Sequence[Cast]) -> None:
    for cast in casts:
        # Where the backend is away nobody is held any more.
        if cast.hold is not None:
            with _away():
                stage.orders.release(cast.hold)


def _release_deleted(stage: Stage, casts: Sequence[Cast]) -> None:
    """Its film would be done before anybody has seen that the resource is to go."""

    def is_told(cast: Cast) -> bool:
        pods = blows.pods(stage.stack, cast.process_id)
        return all("deletionTimestamp" in pod["metadata"] for pod in pods)

    for cast in casts:
        stage.wait("the Job to be deleted", lambda cast=cast: is_told(cast))
    _release(stage, casts)


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except OSError:
        return


def _follow(stage: Stage, casts: Sequence[Cast]) -> None:
    """Wait until everybody has died who was to, and every request has ended.

    Raises:
        TimeoutError: says what did not happen.
    """
    end = time.monotonic() + PATIENCE_S
    while missing := [text for cast in casts for text in _missing(stage, cast)]:
        if time.monotonic() > end:
            raise TimeoutError("; ".join(missing))
        time.sleep(2 * POLL_S)


def _note_pods(stage: Stage, cast: Cast) -> None:
    """While they are there: who is evicted or deleted is soon gone."""
    cast.pods |= {pod["metadata"]["name"] for pod in blows.pods(stage.stack, cast.process_id)}


def _missing(stage: Stage, cast: Cast) -> list[str]:
    """What is still to happen to a request."""
    try:
        stage.hurry_operator()
        _note_pods(stage, cast)
        arms = stage.orders.show()["arms"]
        missing = [
            f"{arms[number]['point']} was not reached"
            for number in cast.crashes
            if number < len(arms) and not arms[number]["spent"]
        ]
        return missing + judge.unfinished(stage.stack, cast.cell.kind, cast.name, cast.body)
    except (RuntimeError, OSError) as error:
        return [str(error)]
