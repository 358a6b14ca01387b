"""`m0 doctor` through the gateway: what it says of itself, and what the videos tell."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from m0_operator.cli.errors import CliError
from m0_operator.cli.findings import Finding
from m0_operator.domain.letters import LetterFilter
from m0_operator.domain.wanted import VideoFilter

if TYPE_CHECKING:
    from m0_operator.cli.gateway import GatewayRoom

FIXES = {
    "rabbitmq": "correct the broker's URL in its Secret, or start the broker",
    "queue": "create the queue, or set declareQueues",
    "kubernetes": "look at the gateway's service account and its Role",
}


async def diagnose(room: "GatewayRoom", url: str) -> AsyncIterator[Finding]:
    """Everything, in the order of cause and effect."""
    try:
        health = await room.health()
    except CliError as error:
        yield Finding(f"gateway {url}", "failed", str(error), error.hint)
        return
    yield Finding(f"gateway {url}", "ok", "answers")
    for name, state in health.items():
        well = state == "ok"
        fix = "" if well else FIXES.get(name, "")
        yield Finding(f"gateway's {name}", "ok" if well else "failed", state, fix)
    try:
        await room.list(VideoFilter(), limit=1, token="")
        yield Finding("videos", "ok", "can be listed")
    except CliError as error:
        yield Finding("videos", "failed", str(error), error.hint)
    try:
        found = await room.letters(LetterFilter(), 1)
        yield Finding("dead letters", "ok", f"{found.matched}")
    except CliError as error:
        yield Finding("dead letters", "failed", str(error), error.hint)
    text = "operator, backend and stores can't be seen through the gateway"
    yield Finding("the rest", "unknown", text, "run it with a kubeconfig")
