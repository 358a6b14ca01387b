"""What the gateway's answers mean: documents, refusals, events."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx

from m0_operator.cli.errors import NO_LOG, WAIT_FOR_LOG, CliError, Exit, usage
from m0_operator.domain.letters import LetterFilter
from m0_operator.domain.views import VideoView
from m0_operator.gateway.models import MARK
from m0_operator.services.pod_logs import LogPart

BY_STATUS = {
    401: (Exit.REFUSED, "M0_TOKEN has the token"),
    403: (Exit.REFUSED, "this needs a token that may do more than look"),
    404: (Exit.NOT_FOUND, ""),
    409: (Exit.REFUSED, ""),
    410: (Exit.REFUSED, ""),
    413: (Exit.USAGE, ""),
    422: (Exit.USAGE, ""),
    501: (Exit.REFUSED, "with a kubeconfig it needs no gateway"),
}
BY_CODE = {"NO_POD": f"{NO_LOG}; {WAIT_FOR_LOG}, if there is to be one"}


def read_answer(answer: httpx.Response, gateway: str) -> Any:
    """The answer's JSON.

    Raises:
        CliError: it is a refusal, in the gateway's own words.
    """
    try:
        document = answer.json()
    except ValueError:
        document = None
    if answer.is_success and isinstance(document, dict):
        return document
    if not isinstance(document, dict) or "code" not in document:
        text = f"{gateway} answers {answer.status_code}, and not as M0's gateway does"
        raise CliError(Exit.UNREACHABLE, text, "is the URL right, and the gateway of this version?")
    code, hint = BY_STATUS.get(answer.status_code, (Exit.UNREACHABLE, ""))
    detail = document.get("detail")
    if not isinstance(detail, str):
        detail = "; ".join(f"{e['field']}: {e['message']}" for e in document.get("errors") or ())
    hint = BY_CODE.get(document["code"], hint)
    raise CliError(code, f"{document['code']}: {detail}", hint)


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str, str]]:
    """(event, data, id) of server-sent events."""
    event: dict[str, str] = {}
    async for line in lines:
        if not line:
            if "data" in event:
                yield event.get("event", ""), event["data"], event.get("id", "")
            event = {}
            continue
        name, _, value = line.partition(":")
        event[name] = value.removeprefix(" ")


async def read_log(texts: AsyncIterator[str]) -> AsyncIterator[LogPart]:
    """The lines of each pod.

    Raises:
        CliError: the gateway says that this is not all.
    """
    pod, rest = "", ""
    async for text in texts:
        *lines, rest = (rest + text).split("\n")
        own: list[str] = []
        for line in lines:
            if not line.startswith(MARK):
                own.append(line)
                continue
            if own:
                yield LogPart(pod, tuple(own))
            pod, own = line.removeprefix(MARK), []
            if " " in pod:
                raise CliError(Exit.UNREACHABLE, f"the log {pod}")
        if own:
            yield LogPart(pod, tuple(own))
    if rest:
        yield LogPart(pod, (rest,))


def build_criteria(wanted: LetterFilter) -> dict[str, Any]:
    """A filter as the query has it, but for ids."""
    given = {name: getattr(wanted, name) for name in ("code", "stage", "process_id")}
    query = {name: value for name, value in given.items() if value is not None}
    return query | ({} if wanted.since is None else {"since": wanted.since.isoformat()})


def build_candidates(name: str) -> list[str]:
    """What a process_id may be where a resource's name was given instead."""
    plain = name.rpartition("/")[2] if name.startswith(("vcj/", "videochunkjob")) else name
    rest = plain.removeprefix("video-")
    return [plain, rest] if rest != plain else [plain]


def build_path_id(view: VideoView) -> str:
    """The video in a path, such that it means no other."""
    given = view.process_id
    return quote(f'"{given}"' if isinstance(given, str) else str(given), safe="")


def need_cluster(what: str, hint: str = "") -> CliError:
    """The gateway has nothing of that kind."""
    text = f"{what} does not go through the gateway: it needs a kubeconfig"
    return usage(text, hint or "without --gateway and M0_GATEWAY_URL the kubeconfig is used")
