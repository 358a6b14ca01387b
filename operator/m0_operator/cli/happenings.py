"""Events of a video, of its Job and of its pods."""

from typing import Any

from m0_contract.resource import KIND

from m0_operator.adapters.terminal import KubernetesTerminal
from m0_operator.cli.port import Happening
from m0_operator.domain.views import VideoView


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
