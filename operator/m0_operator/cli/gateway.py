"""The control room through M0's gateway: no kubeconfig, no broker, a token at most."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx

from m0_operator.cli.errors import CliError, Exit, usage
from m0_operator.cli.findings import Finding
from m0_operator.cli.gateway_answers import (
    build_candidates,
    build_criteria,
    build_path_id,
    need_cluster,
    read_answer,
    read_events,
    read_log,
)
from m0_operator.cli.port import Happening, QueueState, Settlement
from m0_operator.cli.where import Where
from m0_operator.domain.deadletter import build_failure_id
from m0_operator.domain.letters import LetterFilter
from m0_operator.domain.views import VideoSummary, VideoView
from m0_operator.domain.wanted import VideoFilter
from m0_operator.gateway.models import LetterDetail, LetterList, Purged, VideoChange
from m0_operator.gateway.submission import Submission
from m0_operator.services.jobs import StopReceipt, Update, VideoNotFoundError, VideoPage
from m0_operator.services.pod_logs import LogPart

JOBS, LETTERS = "/api/v1/jobs", "/api/v1/dead-letters"
IDS = 100
"""In one request: a URL has an end."""

RECONNECT_S = 0.5
SILENCE_S = 60.0
"""The gateway says something at least each 15 s."""


@asynccontextmanager
async def open_gateway(where: Where) -> AsyncIterator["GatewayRoom"]:
    """The room, while the context is open.

    Raises:
        CliError: the URL is none.
    """
    headers = {"Accept": "application/problem+json, application/json"}
    if where.token:
        headers["Authorization"] = f"Bearer {where.token}"
    if not where.gateway.startswith(("http://", "https://")):
        raise usage(f"--gateway {where.gateway}: not an http(s) URL")
    try:
        client = httpx.AsyncClient(
            base_url=where.gateway.rstrip("/"), headers=headers, timeout=where.timeout_s
        )
    except httpx.InvalidURL as error:
        raise usage(f"--gateway {where.gateway}: {error}") from error
    async with client:
        yield GatewayRoom(client, where)


class GatewayRoom:
    """Implements `port.Room`, as far as the gateway goes."""

    def __init__(self, client: httpx.AsyncClient, where: Where) -> None:
        self._client = client
        self._where = where

    # ── Videos ────────────────────────────────────────────────────────────────
    async def submit(self, submission: Submission, *, direct: bool) -> str:
        """Hand a request over."""
        if direct:
            raise need_cluster("--direct")
        body = submission.body
        if submission.priority:
            # The gateway takes the priority off again: it belongs to the queue.
            document = json.loads(body) | {"priority": submission.priority}
            body = json.dumps(document, ensure_ascii=False).encode()
        answer = await self._ask("POST", "/api/v1/process_video", content=body)
        return str(answer["message"])

    async def list(self, wanted: VideoFilter, *, limit: int, token: str) -> VideoPage:
        """A page of videos."""
        query: dict[str, Any] = {
            "phase": sorted(wanted.phases),
            "modality": sorted(wanted.modalities),
            "code": sorted(wanted.codes),
            "process_id_prefix": wanted.prefix,
            "limit": min(limit, 500),
            "continue": token,
        }
        if wanted.since is not None:
            query["since"] = wanted.since.isoformat()
        answer = await self._ask("GET", JOBS, params=query)
        items = tuple(VideoSummary.model_validate(item) for item in answer["items"])
        return VideoPage(items, answer["continue"])

    async def get(self, name: str) -> VideoView:
        """One in full."""
        return VideoView.model_validate(await self._ask_for("GET", name))

    async def _ask_for(self, method: str, name: str, **more: Any) -> Any:
        """What the gateway says of a video, called by its id or by its resource's name."""
        for candidate in build_candidates(name):
            try:
                return await self._ask(method, f"{JOBS}/{quote(candidate, safe='')}", **more)
            except CliError as error:
                if error.code is not Exit.NOT_FOUND:
                    raise
        raise VideoNotFoundError(name)

    async def follow(self, name: str) -> AsyncGenerator[Update, None]:
        """One as it is and as it changes; goes on after a stream that breaks off."""
        view = await self.get(name)
        path = f"{JOBS}/{build_path_id(view)}/events"
        last = ""
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            limits = httpx.Timeout(self._where.timeout_s, read=SILENCE_S)
            try:
                async with self._client.stream(
                    "GET", path, headers=headers, timeout=limits
                ) as answer:
                    if answer.status_code == 204:
                        return
                    if answer.status_code != 200:
                        await answer.aread()
                        read_answer(answer, self._where.gateway)
                    async for kind, data, number in read_events(answer.aiter_lines()):
                        if kind == "end":
                            return
                        last = number or last
                        yield Update(VideoView.model_validate_json(data), kind == "deleted")
            except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError):
                pass
            except httpx.HTTPError as error:
                raise self._away(error) from error
            # It has ended without an `end`: the gateway goes, and another one comes.
            await asyncio.sleep(RECONNECT_S)

    async def stop(self, name: str) -> StopReceipt:
        """End it."""
        answer = await self._ask_for("DELETE", name)
        view = await self.get(name)
        return StopReceipt(view, "stopped" if answer["status"] == "STOPPED" else "stopping")

    async def suspend(self, name: str, *, suspend: bool) -> VideoView:
        """Hold it back, or let it go on."""
        change = VideoChange(suspend=suspend).model_dump_json()
        return VideoView.model_validate(await self._ask_for("PATCH", name, content=change))

    async def retry(self, view: VideoView, priority: int | None) -> str:
        """Replay its dead letter."""
        letter = build_failure_id(view.uid)
        settled = await self.replay(
            LetterFilter(ids=frozenset({letter})), edit=None, priority=priority
        )
        if not settled.letters:
            raise CliError(
                Exit.NOT_FOUND,
                f"its dead letter {letter} is gone",
                "send the request again: m0 submit -f FILE; with a kubeconfig retry does that",
            )
        return f"its dead letter {letter} is replayed"

    async def events(self, view: VideoView) -> tuple[Happening, ...] | None:
        """The gateway doesn't know."""
        del view
        return None

    async def logs(
        self, view: VideoView, *, follow: bool, tail: int | None
    ) -> AsyncGenerator[LogPart, None]:
        """What the pods of its latest Job have written, as the gateway gives it."""
        path = f"{JOBS}/{build_path_id(view)}/logs"
        query = {"follow": follow} | ({} if tail is None else {"tail": tail})
        # It says nothing as long as the pod doesn't.
        limits = httpx.Timeout(self._where.timeout_s, read=None if follow else SILENCE_S)
        try:
            async with self._client.stream("GET", path, params=query, timeout=limits) as answer:
                if not answer.is_success:
                    await answer.aread()
                    read_answer(answer, self._where.gateway)
                async for part in read_log(answer.aiter_text()):
                    yield part
        except httpx.HTTPError as error:
            raise self._away(error) from error

    # ── Dead letters ──────────────────────────────────────────────────────────
    async def letters(self, wanted: LetterFilter, limit: int) -> LetterList:
        """Those that are meant."""
        query = {"limit": min(limit, 500), **build_criteria(wanted)}
        return LetterList.model_validate(await self._ask("GET", LETTERS, params=query))

    async def letter(self, letter_id: str) -> LetterDetail | None:
        """One in full."""
        try:
            answer = await self._ask("GET", f"{LETTERS}/{quote(letter_id, safe='')}")
        except CliError as error:
            if error.code is Exit.NOT_FOUND:
                return None
            raise
        return LetterDetail.model_validate(answer)

    async def replay(
        self, wanted: LetterFilter, *, edit: Submission | None, priority: int | None
    ) -> Settlement:
        """One after the other."""
        if wanted.ids is None:
            found = await self.letters(wanted, 500)
            ids = [item.id for item in found.items]
            complete = found.complete and found.matched <= len(ids)
        else:
            ids, complete = sorted(wanted.ids), True
        done, missing = [], []
        for letter_id in ids:
            letter = await self.letter(letter_id)
            if letter is None:
                missing.append(letter_id)
                continue
            await self._replay(letter, edit, priority)
            done.append(letter)
        return Settlement(tuple(done), missing=tuple(missing), complete=complete)

    async def _replay(
        self, letter: LetterDetail, edit: Submission | None, priority: int | None
    ) -> None:
        content = edit.body if edit else b""
        if priority is not None:
            try:
                document = json.loads(content or letter.body)
            except ValueError as error:
                text = "a new priority needs a body that is JSON"
                raise CliError(Exit.REFUSED, f"{letter.id}: {text}") from error
            content = json.dumps(document | {"priority": priority}, ensure_ascii=False).encode()
        path = f"{LETTERS}/{quote(letter.id, safe='')}/replay"
        await self._ask("POST", path, content=content)

    async def purge(self, wanted: LetterFilter) -> Settlement:
        """Remove them for good."""
        criteria = build_criteria(wanted)
        ways: list[dict[str, Any]] = [criteria or {"all": True}]
        if wanted.ids is not None:
            ids = sorted(wanted.ids)
            ways = [{"id": ids[at : at + IDS]} for at in range(0, len(ids), IDS)]
        # Each is a pass over the whole queue.
        limits = httpx.Timeout(self._where.timeout_s, read=SILENCE_S)
        found = [
            Purged.model_validate(await self._ask("DELETE", LETTERS, params=way, timeout=limits))
            for way in ways
        ]
        return Settlement(
            tuple(item for purged in found for item in purged.items),
            missing=tuple(name for purged in found for name in purged.missing),
            complete=all(purged.complete for purged in found),
        )

    # ── M0 itself ─────────────────────────────────────────────────────────────
    async def queue(self) -> QueueState:
        """What the gateway can tell: what is in the cluster, and the dead letters."""
        from datetime import UTC, datetime  # noqa: PLC0415

        from m0_operator.cli.load import WINDOW_S, count  # noqa: PLC0415

        active, finished = await count(self, datetime.now(UTC))
        dead = (await self.letters(LetterFilter(), 1)).matched
        note = "how much waits in the queue the gateway does not tell"
        return QueueState(None, active, finished, WINDOW_S, dead=dead, notes=(note,))

    async def diagnose(self) -> AsyncIterator[Finding]:
        """Look at everything, as far as the gateway lets."""
        from m0_operator.cli.gateway_doctor import diagnose  # noqa: PLC0415

        async for finding in diagnose(self, self._where.gateway):
            yield finding

    async def health(self) -> dict[str, str]:
        """What the gateway depends on: each `ok`, or what is wrong."""
        answer = await self._ask("GET", "/health")
        return dict(answer["dependencies"])

    async def version(self) -> str:
        """The gateway tells its interface's."""
        return ""

    # ── HTTP ──────────────────────────────────────────────────────────────────
    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        return read_answer(answer, self._where.gateway)

    def _away(self, error: httpx.HTTPError) -> CliError:
        text = str(error) or type(error).__name__
        return CliError(
            Exit.UNREACHABLE,
            f"the gateway {self._where.gateway} can't be reached: {text}",
            "is the URL right, and the port 9000?",
        )
