"""/api/v1/dead-letters: list, show, replay and purge dead letters."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from m0_contract.errors import ErrorCode

from m0_operator.domain.letters import Letter, LetterFilter
from m0_operator.gateway import examples
from m0_operator.gateway.bodies import read_body, read_submission
from m0_operator.gateway.examples import answer
from m0_operator.gateway.models import (
    LetterDetail,
    LetterList,
    Purged,
    Replayed,
)
from m0_operator.gateway.openapi import problems, request_body
from m0_operator.gateway.params import (
    LetterChoice,
    LetterCode,
    LetterId,
    LetterProcessId,
    LetterSince,
    LetterStage,
)
from m0_operator.gateway.problems import ProblemError
from m0_operator.gateway.submission import Submission
from m0_operator.services.dead_letters import DeadLetterBox, LettersUnseenError, Settled


def build_router(letters: DeadLetterBox) -> APIRouter:
    """The routes over the dead-letter service."""
    router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])

    @router.get(
        "",
        response_model=LetterList,
        responses={200: answer("The letters.", examples.LETTERS), **problems(422, 503)},
    )
    async def list_letters(
        code: LetterCode = None,
        stage: LetterStage = None,
        process_id: LetterProcessId = None,
        since: LetterSince = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> JSONResponse:
        """The dead letters, the newest failure first. Looking changes nothing."""
        wanted = LetterFilter(code=code, stage=stage, process_id=process_id, since=since)
        listing = await letters.list(wanted, limit=limit)
        found = LetterList(
            items=listing.letters, matched=listing.matched, complete=listing.complete
        )
        return JSONResponse(found.model_dump(mode="json"))

    @router.get(
        "/{letter_id}",
        response_model=LetterDetail,
        responses={200: answer("The letter.", examples.LETTER), **problems(404, 422, 503)},
    )
    async def show_letter(letter_id: LetterId) -> JSONResponse:
        """One dead letter with its body and headers."""
        try:
            full = await letters.show(unquote(letter_id))
        except LettersUnseenError as error:
            raise _unseen() from error
        if full is None:
            raise _not_found()
        return JSONResponse(LetterDetail.from_letter(full).model_dump(mode="json"))

    @router.post(
        "/{letter_id}/replay",
        response_model=Replayed,
        responses={
            200: answer("The broker has it again.", examples.REPLAYED),
            **problems(400, 404, 408, 413, 422, 503),
        },
        openapi_extra=request_body(required=False),
    )
    async def replay_letter(letter_id: LetterId, request: Request) -> JSONResponse:
        """Queue it again, as it was or with the request in the body instead.

        Only once the broker has confirmed that is the letter taken away. It is run once, however
        often it is replayed.
        """
        body = await read_body(request)
        edited: Submission | None = read_submission(body) if body else None
        settled = await letters.replay(
            [unquote(letter_id)],
            edit=edited.body if edited else None,
            priority=edited.priority if edited and edited.priority_given else None,
        )
        return JSONResponse(_read_settled(settled, edited).model_dump(mode="json"))

    @router.delete(
        "/{letter_id}",
        response_model=Letter,
        responses={
            200: answer("It was this one.", examples.PURGED_LETTER),
            **problems(404, 422, 503),
        },
    )
    async def purge_letter(letter_id: LetterId) -> JSONResponse:
        """Remove one for good. Nothing else holds its request: what can be replayed is gone."""
        settled = await letters.purge([unquote(letter_id)])
        return JSONResponse(_need_one(settled).model_dump(mode="json"))

    @router.delete(
        "",
        response_model=Purged,
        responses={200: answer("These are gone.", examples.PURGED), **problems(422, 503)},
    )
    async def purge_letters(meant: Annotated[LetterChoice, Query()]) -> JSONResponse:
        """Remove many for good: those of these ids, or that all criteria fit, or with `all` all.

        Only one of these ways; without any, and with a parameter that there isn't, none is
        removed: 422. Which ones it would be, the list says, by the same criteria.
        """
        settled = await letters.purge(meant.to_filter())
        purged = Purged(
            items=settled.letters,
            missing=tuple(sorted(settled.missing)),
            complete=settled.complete,
        )
        return JSONResponse(purged.model_dump(mode="json"))

    return router


def _read_settled(settled: Settled, edited: Submission | None) -> Replayed:
    if settled.refused:
        why = settled.refused[0][1]
        raise ProblemError(422, ErrorCode.INVALID_REQUEST, why, fields=(("", why),))
    letter = _need_one(settled)
    return Replayed(
        id=letter.id,
        process_id=edited.request.process_id if edited else letter.process_id,
        status="QUEUED",
        message="The request is queued again" + (", as edited." if edited else "."),
    )


def _need_one(settled: Settled) -> Letter:
    if not settled.letters:
        raise _not_found() if settled.complete else _unseen()
    return settled.letters[0]


def _not_found() -> ProblemError:
    return ProblemError(
        404, "NOT_FOUND", "There is no such dead letter; it may have been replayed or purged."
    )


def _unseen() -> ProblemError:
    text = (
        "It is not among the first dead letters, and more can't be looked at: settle those first."
    )
    return ProblemError(503, "LETTERS_UNSEEN", text, retry_after_s=60)
