"""/api/v1/jobs: list, show, hold back, stop and follow videos."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from m0_contract.errors import ErrorCode
from m0_contract.request import Modality
from m0_contract.resource import Phase

from m0_operator.domain.views import VideoView
from m0_operator.domain.wanted import BadTokenError, VideoFilter
from m0_operator.errors import ClusterConflictError, ClusterExpiredError
from m0_operator.gateway import examples
from m0_operator.gateway.bodies import read_body, read_model
from m0_operator.gateway.examples import answer
from m0_operator.gateway.models import Stopping, VideoChange, VideoList
from m0_operator.gateway.openapi import json_body, problems
from m0_operator.gateway.params import ProcessId
from m0_operator.gateway.problems import ProblemError
from m0_operator.gateway.streams import EventStream, Streams, build_full_problem
from m0_operator.services.jobs import VideoEndedError, Videos

_EVENT = {
    "type": "object",
    "description": "One event.",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["status", "deleted", "end"]},
        "id": {"type": "string", "description": "The video's `resource_version`."},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_STREAM_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events.",
        "content": {"text/event-stream": {"schema": _EVENT, "example": examples.EVENTS}},
    },
    204: {"description": "It is final, and the last event was seen."},
    **problems(404, 422, 503),
}


def build_router(videos: Videos, streams: Streams) -> APIRouter:
    """The routes over the control service."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["videos"])
    _add_list(router, videos)
    _add_one(router, videos)
    _add_events(router, videos, streams)
    return router


def _add_list(router: APIRouter, videos: Videos) -> None:
    @router.get(
        "",
        response_model=VideoList,
        responses={200: answer("A page.", examples.VIDEOS), **problems(410, 422, 503)},
    )
    async def list_videos(
        *,
        phase: Annotated[list[Phase] | None, Query(description="Any of these.")] = None,
        modality: Annotated[list[Modality] | None, Query(description="Any of these.")] = None,
        code: Annotated[
            list[ErrorCode] | None, Query(description="Failed with any of these.")
        ] = None,
        process_id_prefix: Annotated[
            str, Query(max_length=256, description="How the process_id begins.")
        ] = "",
        since: Annotated[
            datetime | None, Query(description="Created then or later, RFC 3339; UTC if not said.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        continue_token: Annotated[
            str, Query(alias="continue", max_length=8192, description="Of the page before.")
        ] = "",
    ) -> JSONResponse:
        """The videos, a page at a time, in the order of their names."""
        wanted = VideoFilter(
            phases=frozenset(phase or ()),
            modalities=frozenset(modality or ()),
            codes=frozenset(code or ()),
            prefix=process_id_prefix,
            since=since if since is None or since.tzinfo else since.replace(tzinfo=UTC),
        )
        try:
            page = await videos.list(wanted, limit=limit, token=continue_token)
        except BadTokenError as error:
            fields = (("continue", str(error)),)
            raise ProblemError(422, "INVALID_PARAMETER", str(error), fields=fields) from error
        except ClusterExpiredError as error:
            text = "The cluster no longer knows the list of that time: begin again."
            raise ProblemError(410, "EXPIRED", text) from error
        found = VideoList.model_validate({"items": page.items, "continue": page.token})
        return JSONResponse(found.model_dump(mode="json"))


def _add_one(router: APIRouter, videos: Videos) -> None:
    @router.get(
        "/{process_id}",
        response_model=VideoView,
        responses={200: answer("The video.", examples.VIDEO), **problems(404, 503)},
    )
    async def show_video(process_id: ProcessId) -> JSONResponse:
        """One video in full: how far it is, why it failed and what to do, its certificate."""
        view = await videos.get(unquote(process_id))
        return JSONResponse(view.model_dump(mode="json"))

    @router.patch(
        "/{process_id}",
        response_model=VideoView,
        responses={
            200: answer("The video, as it is wished from now on.", examples.SUSPENDED),
            **problems(400, 404, 408, 409, 413, 422, 503),
        },
        openapi_extra=json_body(VideoChange, examples.CHANGE),
    )
    async def change_video(process_id: ProcessId, request: Request) -> JSONResponse:
        """Hold it back, or let it go on: `{"suspend": true}` takes its pod away.

        What is stored stays, and it goes on from there. Doing it again does no harm. One that has
        ended can't be held back any more: 409.
        """
        change = read_model(VideoChange, await read_body(request))
        with _told("hold back" if change.suspend else "let go on"):
            view = await videos.suspend(unquote(process_id), suspend=change.suspend)
        return JSONResponse(view.model_dump(mode="json"))

    @router.delete(
        "/{process_id}",
        status_code=202,
        response_model=Stopping,
        responses={
            202: answer("It is being stopped, or was.", examples.STOPPING),
            **problems(404, 409, 503),
        },
    )
    async def stop_video(process_id: ProcessId) -> JSONResponse:
        """Stop it. It is not deleted: it stays to be seen as `Stopped`, with a dead letter.

        What is stored stays, and doing it again does no harm. One that has ended otherwise can't
        be stopped any more: 409.
        """
        with _told("stop"):
            receipt = await videos.stop(unquote(process_id))
        stopped = receipt.state == "stopped"
        stopping = Stopping(
            process_id=receipt.view.process_id,
            status="STOPPED" if stopped else "STOPPING",
            message=("It is stopped" if stopped else "It is being stopped")
            + ". It is not deleted: it stays to be seen, and so do its chunks.",
        )
        return JSONResponse(stopping.model_dump(mode="json"), status_code=202)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Why it can't be done, as a problem."""
    try:
        yield
    except VideoEndedError as error:
        text = f"There is nothing to {what}: it has ended as {error.view.phase}."
        raise ProblemError(409, "ENDED", text) from error
    except ClusterConflictError as error:
        text = "It is being replaced by another at this moment: look again."
        raise ProblemError(409, "CHANGED", text) from error


def _add_events(router: APIRouter, videos: Videos, streams: Streams) -> None:
    @router.get("/{process_id}/events", responses=_STREAM_ANSWERS, response_class=Response)
    async def follow_video(
        process_id: ProcessId,
        last_event_id: Annotated[
            str | None, Header(max_length=64, description="Go on after this event.")
        ] = None,
    ) -> Response:
        """Follow a video as server-sent events: each change, until it is final.

        Each `status` has the video in full as data and a `resourceVersion` as id. A comment comes
        when nothing is new for 15 s. After the last one comes `end`, or `deleted` and `end`; a
        listener that comes back then is told 204: nothing will follow.
        """
        if streams.full:
            raise build_full_problem()
        following = await videos.follow(unquote(process_id), last_event_id)
        if following.view.final and last_event_id == following.view.resource_version:
            await following.updates.aclose()
            return Response(status_code=204)
        return EventStream(following, streams)
