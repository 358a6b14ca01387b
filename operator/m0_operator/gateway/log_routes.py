"""/api/v1/jobs/{process_id}/logs: what a video's pods have written, as it is written."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Query
from fastapi.responses import Response

from m0_operator.domain.views import VideoView
from m0_operator.errors import ClusterForbiddenError
from m0_operator.gateway import examples
from m0_operator.gateway.models import MARK
from m0_operator.gateway.openapi import problems
from m0_operator.gateway.params import ProcessId
from m0_operator.gateway.problems import ProblemError
from m0_operator.gateway.streams import LongAnswer, Streams
from m0_operator.services.jobs import Videos
from m0_operator.services.pod_logs import LogPart, NoPodError, PodLogs

logger = logging.getLogger(__name__)

AT_MOST_BYTES = 64 * 1024 * 1024
OFF = "The log is not served here: set the chart's value gateway.logs.enabled to true."
FORBIDDEN = (
    "The gateway may not read the log: its account needs list on pods and get on pods/log, which "
    "the chart's value gateway.logs.enabled gives it where rbac.create is true."
)
_TAIL = Query(ge=0, le=1_000_000, description="Only so many lines of each pod, the last ones.")
_FOLLOW = Query(description="Go on until the video has ended; it may not even have begun.")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The log. A line that begins with `── ` is the gateway's own.",
        "content": {
            "text/plain": {"schema": {"type": "string"}, "example": examples.LOG},
        },
    },
    **problems(404, 422, 501, 503),
}


def build_router(videos: Videos, logs: PodLogs | None, streams: Streams) -> APIRouter:
    """The route; without `logs` it says how to have them."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["videos"])

    @router.get("/{process_id}/logs", responses=_ANSWERS, response_class=Response)
    async def read_logs(
        process_id: ProcessId,
        tail: Annotated[int | None, _TAIL] = None,
        follow: Annotated[bool, _FOLLOW] = False,  # noqa: FBT002 - a query parameter
    ) -> Response:
        """What the pods of its latest Job have written, one after the other, the oldest first.

        Before each pod's lines comes `── ` and its name. It ends with the log, with `follow` when
        the video has ended; where it ends for another reason (64 MiB were sent, the gateway is
        replaced, the Kubernetes API is away) the last line says so behind `── `.
        """
        if logs is None:
            raise ProblemError(501, "LOGS_OFF", OFF)
        view = await videos.get(unquote(process_id))
        return LogStream(_read(logs, view, follow=follow, tail=tail), streams)

    return router


async def _read(
    logs: PodLogs, view: VideoView, *, follow: bool, tail: int | None
) -> AsyncGenerator[LogPart, None]:
    try:
        async with aclosing(await logs.open(view, follow=follow, tail=tail)) as parts:
            async for part in parts:
                yield part
    except ClusterForbiddenError as error:
        logger.warning("Log not read", extra={"reason": str(error)})
        raise ProblemError(501, "LOGS_OFF", FORBIDDEN) from error


class LogStream(LongAnswer[LogPart]):
    """The log as text."""

    media_type = "text/plain"
    leaving = f"{MARK}ended here, since this gateway is replaced: ask again\n".encode()
    _pod = ""
    _left = AT_MOST_BYTES

    def tell(self, item: LogPart) -> tuple[bytes, bool]:
        """Its lines, below the name of the pod; none of them is taken for one of ours."""
        head = f"{MARK}{item.pod}\n" if item.pod != self._pod else ""
        self._pod = item.pod
        lines = (f" {line}" if line.startswith(MARK) else line for line in item.lines)
        body = (head + "\n".join(lines) + "\n").encode()
        self._left -= len(body)
        if self._left > 0:
            return body, True
        size = f"{AT_MOST_BYTES // 2**20} MiB"
        return body + f"{MARK}ended here, after {size}: ask for the tail\n".encode(), False

    def explain(self, error: Exception) -> bytes:
        """Why it ends."""
        why = (
            f"ended here: {error}" if isinstance(error, NoPodError) else "broke off here: ask again"
        )
        return f"{MARK}{why}\n".encode()
