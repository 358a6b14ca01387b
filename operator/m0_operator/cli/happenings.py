"""Events and logs of a video, of its Job and of its pods."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from m0_contract.resource import KIND

from m0_operator.adapters.terminal import KubernetesTerminal
from m0_operator.cli.errors import CliError, Exit
from m0_operator.cli.port import Happening, LogLine
from m0_operator.cli.render import finished
from m0_operator.domain.views import VideoView

POLL_S = 1.0


async def read_events(cluster: KubernetesTerminal, view: VideoView) -> tuple[Happening, ...]:
    """What the cluster still remembers, the oldest first."""
    objects = {(KIND, view.name)}
    if view.job:
        pods = await cluster.fetch_pods(view.job)
        objects |= {("Job", view.job)} | {("Pod", pod["metadata"]["name"]) for pod in pods}
    raw = await cluster.fetch_events(objects)
    return tuple(sorted((_read(item) for item in raw), key=lambda item: item.at))


def _read(raw: dict[str, Any]) -> Happening:
    about = raw.get("involvedObject") or {}
    at = raw.get("lastTimestamp") or raw.get("eventTime") or raw["metadata"]["creationTimestamp"]
    return Happening(
        at=at,
        type=raw.get("type") or "Normal",
        reason=raw.get("reason") or "",
        about=f"{about.get('kind', '')}/{about.get('name', '')}",
        message=raw.get("message") or "",
        count=raw.get("count") or 1,
    )


async def follow_pods(
    cluster: KubernetesTerminal, view: VideoView, *, follow: bool, tail: int | None
) -> AsyncGenerator[LogLine, None]:
    """The pods' logs, one after the other; with `follow` those of later pods, too.

    Raises:
        CliError: there is no pod any more, or none yet.
    """
    read: set[str] = set()
    while True:
        for pod in await _pods(cluster, view):
            name = pod["metadata"]["name"]
            started = (pod.get("status") or {}).get("phase") not in {None, "Pending"}
            if name in read or not started:
                continue
            read.add(name)
            async for line in cluster.read_log(name, follow=follow, tail=tail):
                yield LogLine(name, line)
        if not follow:
            break
        raw = await cluster.fetch_resource(view.name)
        phase = ((raw or {}).get("status") or {}).get("phase")
        if raw is None or phase in {"Succeeded", "Failed", "Stopped"}:
            break
        await asyncio.sleep(POLL_S)
    if not read:
        text = f"{view.name} has no pod " + ("any more" if finished(view) else "yet")
        hint = "`m0 describe` has the end of its log if it failed" if finished(view) else ""
        raise CliError(Exit.NOT_FOUND, text, hint or "`m0 logs -f` waits for it")


async def _pods(cluster: KubernetesTerminal, view: VideoView) -> list[dict[str, Any]]:
    raw = await cluster.fetch_resource(view.name)
    job = ((((raw or {}).get("status") or {}).get("jobRef")) or {}).get("name") or view.job
    if not job:
        return []
    pods = await cluster.fetch_pods(job)
    return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
