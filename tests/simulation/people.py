"""Those who send requests, and those who look after them: replay, delete, stop, suspend."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from m0_contract.keys import resource_name
from m0_contract.resource import GROUP, KIND, VERSION
from m0_operator.errors import ClusterNotFoundError

from simulation.apiserver import Object
from simulation.incarnation import Surroundings

Deed = Callable[[], None]
ENDS = (["ok"],) * 6 + (
    ["permanent"],
    ["transient", "ok"],
    ["transient", "transient", "ok"],
    ["transient"],
    ["oom", "ok"],
    ["oom"],
    ["bug", "ok"],
    ["silent"],
)
KINDS = {
    "valid": 12,
    "twice": 3,
    "conflict": 3,
    "no json": 1,
    "no id": 1,
    "bad field": 2,
    "refused": 1,
    "refused in any form": 1,
    "no job": 1,
    "by hand": 1,
}


class People:
    """All of them; they know the cluster and the broker, not the operator."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._world = around.world
        self._rng = around.world.rng
        self._sent: list[bytes] = []
        self._numbers = 100
        self._replays: Counter[bytes] = Counter()

    def tasks(self) -> list[Any]:
        """What they do at the same time."""
        plan = self._world.plan
        work = [self._publish(), self._replay()]
        return [*work, self._meddle()] if plan.meddle_every_s else work

    # --- requests --------------------------------------------------------------------------

    async def _publish(self) -> None:
        plan, rng = self._world.plan, self._rng
        for _ in range(plan.requests):
            await asyncio.sleep(rng.random() * plan.horizon_s / plan.requests)
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            if kind == "by hand":
                self._apply()
                continue
            body = self._body(kind)
            self._sent.append(body)
            for _ in range(2 if kind == "twice" else 1):
                self._send(body)
                await asyncio.sleep(rng.choice((0.0, 0.3, 10.0)))

    def _send(self, body: bytes, headers: dict[str, Any] | None = None) -> None:
        rng = self._rng
        if headers is None:
            traced = rng.random() < 0.5
            headers = {"trace": f"t{rng.getrandbits(32)}"} if traced else {}
        message_id = f"id-{rng.getrandbits(32)}" if rng.random() < 0.5 else ""
        self._around.broker.publish(body, headers, rng.randint(0, 9), message_id)

    def _next(self, mark: str = "") -> int | str:
        self._numbers += 1
        return f"{mark}-{self._numbers}" if mark else self._numbers

    def _body(self, kind: str) -> bytes:
        rng = self._rng
        if kind == "conflict" and self._sent:
            try:
                taken = json.loads(rng.choice(self._sent)).get("process_id")
            except ValueError:
                taken = None
            if taken is not None:
                return self._request(taken, destination_prefix=f"else/{rng.getrandbits(32)}/")
        if kind == "no json":
            return b"{not json %d" % rng.getrandbits(32)
        if kind == "no id":
            return json.dumps({"hello": rng.getrandbits(32)}).encode()
        if kind == "bad field":
            return self._request(self._next(), video_preprocessing={})
        marks = {"refused": "refuse", "refused in any form": "refuse-all", "no job": "nojob"}
        return self._request(self._next(marks.get(kind, "")))

    def _request(self, process_id: int | str, **changes: Any) -> bytes:
        rng = self._rng
        document = {
            "process_id": process_id,
            "inference_modality": "batch",
            "cloud_stream_path": "s3://spectra-videos/uploads/film.mp4",
            "destination_prefix": f"processed/{process_id}/",
            "cache_container_name": "spectra-cache",
            "video_preprocessing": {"chunk_duration": 60},
            "inference_config": {
                "film": {"chunks": rng.randint(1, 4), "ends": rng.choice(ENDS)},
                "big": 12345678901234567890,
            },
        }
        return json.dumps({**document, **changes}, indent=rng.choice((None, 1))).encode()

    def _apply(self) -> None:
        """kubectl apply -f film.yaml: no message is behind it."""
        process_id = self._next()
        request = json.loads(self._request(process_id))
        manifest = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": resource_name(process_id), "namespace": "m0", "labels": {}},
            "spec": {
                "processId": process_id,
                "inferenceModality": "batch",
                "cloudStreamPath": request["cloud_stream_path"],
                "destinationPrefix": request["destination_prefix"],
                "cacheContainerName": request["cache_container_name"],
                "videoPreprocessing": {"chunkDuration": 60},
                "inferenceConfig": request["inference_config"],
            },
        }
        self._world.say("people", f"apply {manifest['metadata']}")
        self._around.ledger.created(self._around.server.create("resource", manifest))

    async def _replay(self) -> None:
        """Take a dead letter and send it again, with its headers or with those of before."""
        looked = 0
        letters = self._around.ledger.letters
        while self._world.faulty:
            await asyncio.sleep(3.0)
            for letter in letters[looked:]:
                if self._rng.random() < 0.35 and self._replays[letter.body] < 2:
                    self._replays[letter.body] += 1
                    original = {
                        key: value
                        for key, value in letter.headers.items()
                        if not key.startswith("x-m0-")
                    }
                    self._send(letter.body, self._rng.choice((letter.headers, original)))
            looked = len(letters)

    # --- meddling --------------------------------------------------------------------------

    async def _meddle(self) -> None:
        deeds: list[Deed] = [
            self._delete_job,
            self._delete_resource,
            self._delete_pod,
            self._stop,
            self._suspend,
            self._label,
            self._set_quota,
        ]
        while self._world.faulty:
            every_s = self._world.plan.meddle_every_s
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * every_s)
            if self._world.faulty:
                self._rng.choice(deeds)()

    def _one(self, kind: str) -> Object | None:
        items = list(self._around.server.all(kind).values())
        if not items:
            return None
        return self._rng.choice(items)

    def _delete_job(self) -> None:
        job = self._one("job")
        if job is not None:
            self._do(f"delete job {job['metadata']['name']}")
            self._around.server.delete(
                "job", job["metadata"]["name"], wait=self._rng.random() < 0.5
            )

    def _delete_pod(self) -> None:
        pod = self._one("pod")
        if pod is not None:
            self._do(f"delete pod {pod['metadata']['name']}")
            self._around.server.delete("pod", pod["metadata"]["name"])

    def _delete_resource(self) -> None:
        resource = self._one("resource")
        if resource is not None:
            self._do(f"delete {resource['metadata']['name']}")
            self._around.server.delete("resource", resource["metadata"]["name"])

    def _stop(self) -> None:
        self._edit({"spec": {"stop": True}})

    def _label(self) -> None:
        self._edit({"metadata": {"labels": {"seen": str(self._world.time)}}})

    def _suspend(self) -> None:
        name = self._edit({"spec": {"suspend": True}})
        if name is not None:
            self._world.later(self._rng.uniform(2, 20), self._resume, name)

    def _resume(self, name: str) -> None:
        try:
            self._around.server.patch("resource", name, {"spec": {"suspend": False}})
        except ClusterNotFoundError:
            return

    def _edit(self, patch: Object) -> str | None:
        resource = self._one("resource")
        if resource is None:
            return None
        name: str = resource["metadata"]["name"]
        self._do(f"edit {name}: {patch}")
        self._around.server.patch("resource", name, patch)
        return name

    def _set_quota(self) -> None:
        self._do("a quota forbids Jobs")
        self._around.admission.quota_until_s = self._world.time + self._rng.uniform(3, 20)

    def _do(self, what: str) -> None:
        self._world.say("people", what)
