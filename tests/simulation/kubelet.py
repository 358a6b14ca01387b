"""Nodes, pods and the chunker in them: they start late, work, and end in every way there is."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from m0_contract.chunk import Progress
from m0_contract.resource import REQUEST_ANNOTATION

from simulation.apiserver import ApiServer, Object
from simulation.broker import Broker
from simulation.jobs import is_terminal
from simulation.world import OUTSIDE, World

CHUNK_S = 60.0
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}


class Store:
    """What the chunkers have left behind: objects and rows by id, announcements by run too."""

    def __init__(self) -> None:
        self.objects: set[tuple[Any, int]] = set()
        self.rows: set[tuple[Any, int]] = set()
        self.announced: Counter[tuple[str, Any, int]] = Counter()

    def missing(self, run: str, process_id: Any, chunks: int) -> list[int]:
        """Chunks that are not stored, recorded and announced."""
        return [
            number
            for number in range(1, chunks + 1)
            if (process_id, number) not in self.objects
            or (process_id, number) not in self.rows
            or (run, process_id, number) not in self.announced
        ]


@dataclass
class _Container:
    """A chunker at work; `told` is what happens to it from outside."""

    told: str = ""
    lost: bool = False


class Kubelet:
    """All nodes in one."""

    def __init__(self, world: World, server: ApiServer, broker: Broker) -> None:
        self._world = world
        self._server = server
        self._broker = broker
        self._containers: dict[str, _Container] = {}
        self._runs: Counter[str] = Counter()
        self.store = Store()
        server.on_change.append(self._hear)

    def _hear(self, kind: str, item: Object, deleted: bool) -> None:
        if kind != "pod":
            return
        uid = item["metadata"]["uid"]
        container = self._containers.get(uid)
        if container is None and not deleted:
            self._containers[uid] = container = _Container()
            self._world.loop.create_task(self._run(item, container), context=OUTSIDE.copy())
        elif container is not None and "deletionTimestamp" in item["metadata"]:
            container.told = container.told or "term"

    async def _run(self, pod: Object, container: _Container) -> None:
        world, rng = self._world, self._world.rng
        await self._start(pod)
        if _is_told(container):
            self._end(pod, container, 143, "Error", "")
            return
        started = {"startedAt": world.stamp}
        self._show(pod, {"running": started}, "Running")
        if rng.random() < world.plan.disrupt and world.faulty:
            how = rng.choice(("oom", "evict", "term", "lost", "lost", "delete"))
            world.later(rng.uniform(0.1, 12), self._disrupt, pod, container, how)
        code, message = await self._chunk(pod, container)
        if container.told == "evict":
            pod["status"] |= {"reason": "Evicted", "conditions": [DISRUPTED]}
        if container.told == "term" and code == 143 and rng.random() < 0.5:
            await asyncio.sleep(rng.uniform(0.1, 8))
        reason = {0: "Completed", 137: "OOMKilled"}.get(code, "Error")
        self._end(pod, container, code, reason, message, **started)

    async def _start(self, pod: Object) -> None:
        world = self._world
        pod["spec"]["nodeName"] = f"n{world.rng.randint(1, 3)}"
        if world.chance(world.plan.disrupt / 2):
            waiting = world.rng.choice(("ImagePullBackOff", "CreateContainerConfigError"))
            self._show(pod, {"waiting": {"reason": waiting, "message": "for now"}}, "Pending")
            await asyncio.sleep(world.rng.uniform(1, 20))
        await asyncio.sleep(world.rng.uniform(0.05, 2))

    async def _chunk(self, pod: Object, container: _Container) -> tuple[int, str]:
        """The chunker: exit code and termination message."""
        text, env = pod["metadata"]["annotations"][REQUEST_ANNOTATION], pod["spec"]["env"]
        request, run = json.loads(text), env["M0_RUN"]
        process_id, film = request["process_id"], request["inference_config"]["film"]
        end = film["ends"][min(self._runs[run], len(film["ends"]) - 1)]
        self._runs[run] += 1
        chunks: int = film["chunks"]
        upto = chunks if end == "ok" else self._world.rng.randint(0, chunks)
        rng = self._world.rng
        for number in range(1, upto + 1):
            again = (run, process_id, number) in self.store.announced
            if not (again and rng.random() < 0.8):
                await asyncio.sleep(rng.uniform(0.2, 4.0))
                while self._world.plan.is_away("broker", self._world.time):  # noqa: ASYNC110
                    await asyncio.sleep(1.0)
                if container.told:
                    return _last_words(container.told)
                self.store.objects.add((process_id, number))
                self.store.rows.add((process_id, number))
                self.store.announced[run, process_id, number] += 1
                self._tell_progress(env, number, chunks)
        await asyncio.sleep(rng.uniform(0.05, 1.0))
        if container.told and end != "ok":
            return _last_words(container.told)
        return _finish(end, chunks)

    def _tell_progress(self, env: dict[str, Any], number: int, chunks: int) -> None:
        progress = Progress(
            resource=env["M0_RESOURCE"],
            attempt=int(env["M0_ATTEMPT"]),
            chunks=number,
            done_s=number * CHUNK_S,
            total_s=chunks * CHUNK_S,
            size_bytes=number * 1000,
        )
        self._broker.progress.append(progress.model_dump_json().encode())

    def _disrupt(self, pod: Object, container: _Container, how: str) -> None:
        if self._gone(pod) or is_terminal(pod) or container.told:
            return
        world, rng = self._world, self._world.rng
        world.say("nodes", f"{pod['metadata']['name']}: {how}")
        if how == "lost":
            container.lost = True
            # The node may be cut off only: then its chunker goes on unseen.
            container.told = rng.choice(("", "oom"))
            world.later(rng.uniform(5, 40), self._give_up, pod, container)
        elif how == "delete":
            self._delete(pod)
        elif how == "term":
            pod["status"]["conditions"] = [DISRUPTED]
            self._server.touch("pod", pod)
            self._delete(pod)
        else:
            container.told = how

    def _delete(self, pod: Object) -> None:
        if not self._gone(pod):
            self._server.delete("pod", pod["metadata"]["name"], pod["metadata"]["uid"])

    def _give_up(self, pod: Object, container: _Container) -> None:
        """The node is declared dead: its pod is evicted, and taken for failed in the end."""
        if self._gone(pod) or is_terminal(pod):
            return
        pod["status"]["conditions"] = [DISRUPTED]
        self._server.touch("pod", pod)
        self._delete(pod)
        self._world.later(self._world.rng.uniform(1, 30), self._bury, pod, container)

    def _bury(self, pod: Object, container: _Container) -> None:
        if not self._gone(pod) and not is_terminal(pod):
            pod["status"]["phase"] = "Failed"
            self._server.touch("pod", pod)
        container.told = container.told or "term"

    def _show(self, pod: Object, state: Object, phase: str) -> None:
        if self._gone(pod) or is_terminal(pod):
            return
        pod["status"] |= {
            "phase": phase,
            "containerStatuses": [{"name": "chunker", "state": state}],
        }
        self._server.touch("pod", pod)

    def _end(
        self,
        pod: Object,
        container: _Container,
        code: int,
        reason: str,
        message: str,
        **started: str,
    ) -> None:
        if container.lost:
            return
        state = {"exitCode": code, "reason": reason, "message": message, **started}
        self._show(pod, {"terminated": state}, "Succeeded" if code == 0 else "Failed")
        if self._world.chance(self._world.plan.disrupt / 2):
            # With its last words, which may be read already or not.
            self._world.later(self._world.rng.uniform(0, 20), self._delete, pod)

    def _gone(self, pod: Object) -> bool:
        found = self._server.all("pod").get(pod["metadata"]["name"])
        return found is not pod


def _is_told(container: _Container) -> bool:
    return bool(container.told)


def _last_words(told: str) -> tuple[int, str]:
    if told in {"oom", "evict"}:
        return 137, ""
    return 143, _failure("DISRUPTED", "job")


def _finish(end: str, chunks: int) -> tuple[int, str]:
    if end == "ok":
        outcome = {"chunks": chunks, "duration_s": chunks * CHUNK_S, "size_bytes": chunks * 1000}
        return 0, json.dumps(outcome | {"mode": "copy"})
    return {
        "permanent": (65, _failure("SOURCE_NOT_FOUND", "source")),
        "transient": (75, _failure("SOURCE_UNREACHABLE", "source")),
        "oom": (137, ""),
        "bug": (70, "Traceback: a bug"),
        "silent": (0, ""),
    }[end]


def _failure(code: str, stage: str) -> str:
    return json.dumps({"failure": {"code": code, "stage": stage, "message": "why"}})
