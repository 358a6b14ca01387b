"""`m0 doctor`: the broker, its queues, and the backend."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import unquote, urlsplit, urlunsplit

from m0_wire.backend import Backend, load_documents
from m0_wire.broker import redact_url
from m0_wire.errors import BrokerUnavailableError, WireError

from m0_operator.adapters.queue_kind import learn_facts
from m0_operator.adapters.queue_probe import QueueProbe, open_probe
from m0_operator.cli.cluster import NO_BROKER, ClusterRoom
from m0_operator.cli.errors import CliError
from m0_operator.cli.findings import Finding
from m0_operator.cli.release import Release, read_secret
from m0_operator.domain.priorities import judge_priorities
from m0_operator.errors import OperatorError

WRONG = "ACCESS_REFUSED"
QUEUES = ("M0_PRIORITY_QUEUE", "M0_RESULTS_QUEUE", "M0_DEADLETTER_QUEUE", "M0_PROGRESS_QUEUE")


async def look_at_broker(room: ClusterRoom) -> AsyncIterator[Finding]:
    """The broker, with the caller's credentials and with the release's own; then the queues."""
    release = await room.release()
    try:
        url = await room.amqp_url()
    except CliError as error:
        yield Finding("broker", "failed" if release.secrets else "unknown", str(error), error.hint)
        return
    given = bool(room.where.amqp_url)
    what = f"broker {redact_url(url)}"
    fix_own = _fix_own(room, release)
    well = False
    try:
        async with open_probe(url, timeout_s=room.where.timeout_s) as probe:
            well = True
            yield Finding(what, "ok", "connected")
            for variable in QUEUES:
                yield await _queue(probe, variable, release)
    except BrokerUnavailableError as error:
        if WRONG in str(error):
            # In M0's own pod the variable is the release's.
            ours = given and not room.cluster.inside
            fix = "correct --amqp-url (M0_AMQP_URL)" if ours else fix_own
            yield Finding(what, "failed", f"refuses user or password: {error}", fix)
        elif given:
            fix = "is it up, and is the URL right?"
            yield Finding(what, "failed", str(error), fix)
        else:
            text = f"the release's own URL can't be reached from here: {error}"
            yield Finding(what, "unknown", text, f"forward its port, and {NO_BROKER}")
    if well:
        async for finding in _kind(room, url, release):
            yield finding
    if given and release.secrets.get("M0_AMQP_URL"):
        async for finding in _own_credentials(room, url, release, fix_own):
            yield finding


def _fix_own(room: ClusterRoom, release: Release) -> str:
    name, key = release.secrets.get("M0_AMQP_URL", ("", ""))
    if not name:
        return "correct the release's broker URL"
    restart = f"kubectl -n {room.cluster.namespace} {release.restart}"
    return f"correct {key} in the Secret {name}, then {restart}"


async def _queue(probe: QueueProbe, variable: str, release: Release) -> Finding:
    name = release.queue(variable)
    try:
        depth = await probe.depth(name)
    except WireError as error:
        return Finding(f"queue {name}", "unknown", str(error))
    if depth is None:
        own = variable == "M0_PROGRESS_QUEUE" or release.values.get("M0_DECLARE_QUEUES") == "true"
        fix = "the operator makes it when it connects" if own else "create it, or set declareQueues"
        return Finding(f"queue {name}", "failed", "is not there", fix)
    if variable == "M0_DEADLETTER_QUEUE" and depth:
        text = f"{depth} waiting: `m0 dlq list` says why"
        return Finding(f"queue {name}", "ok", text)
    return Finding(f"queue {name}", "ok", f"{depth} waiting")


async def _kind(room: ClusterRoom, url: str, release: Release) -> AsyncIterator[Finding]:
    name = release.queue("M0_PRIORITY_QUEUE")
    with suppress(BrokerUnavailableError):
        facts = await learn_facts(url, name, room.where.timeout_s)
        judged = judge_priorities(facts)
        what = f"priorities of {name}"
        if judged.enough:
            yield Finding(what, "ok", judged.sentence)
        else:
            state = "unknown" if facts.unknown else "warn"
            yield Finding(what, "unknown" if state == "unknown" else "warn", judged.sentence)


async def _own_credentials(
    room: ClusterRoom, url: str, release: Release, fix: str
) -> AsyncIterator[Finding]:
    """Whether the release's user and password would do at the broker that the caller names."""
    name, key = release.secrets["M0_AMQP_URL"]
    what = f"the operator's own user at the broker (Secret {name})"
    try:
        own = read_secret(await room.cluster.fetch_secret(name), key)
    except OperatorError as error:
        yield Finding(what, "unknown", str(error))
        return
    if not own:
        yield Finding(what, "failed", f"the Secret {name} has no {key}", fix)
        return
    yours, ours = _virtual_host(url), _virtual_host(own)
    if yours != ours:
        text = (
            f"yours is {yours}, the operator's (Secret {name}) is {ours}: it sees nothing of yours"
        )
        yield Finding("virtual host", "failed", text, "correct --amqp-url (M0_AMQP_URL)")
    try:
        async with open_probe(_with_user(url, own), timeout_s=room.where.timeout_s):
            pass
    except BrokerUnavailableError as error:
        if WRONG in str(error):
            yield Finding(what, "failed", f"is refused: wrong user or password: {error}", fix)
        return
    yield Finding(what, "ok", "is let in")


def _virtual_host(url: str) -> str:
    """Its name; that of a URL without one is `/`."""
    return unquote(urlsplit(url).path.removeprefix("/")) or "/"


def _with_user(url: str, other: str) -> str:
    """The first URL's broker with the second one's user, password and virtual host."""
    parts, user = urlsplit(url), urlsplit(other)
    netloc = f"{user.netloc.rpartition('@')[0]}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit((parts.scheme, netloc, user.path or parts.path, parts.query, ""))


async def look_at_backend(room: ClusterRoom) -> AsyncIterator[Finding]:
    """The GraphQL backend, from here where that is possible."""
    release = await room.release()
    given = os.environ.get("M0_GRAPHQL_URL", "")
    url = given or release.values.get("M0_GRAPHQL_URL", "")
    if not url:
        if release.name:
            yield Finding("backend", "ok", "none is configured: no rows, no statuses")
        return
    what = f"backend {redact_url(url)}"
    token = os.environ.get("M0_GRAPHQL_TOKEN") or None
    secret = release.secrets.get("M0_GRAPHQL_TOKEN")
    if token is None and secret:
        with suppress(OperatorError):
            token = read_secret(await room.cluster.fetch_secret(secret[0]), secret[1])
    try:
        await Backend(url, documents=load_documents(None), token=token).look()
    except (WireError, ValueError) as error:
        if given:
            yield Finding(what, "failed", str(error), "is it up, and the URL and token right?")
        else:
            text = f"can't be reached from here, which says nothing of the cluster: {error}"
            yield Finding(what, "unknown", text, "M0_GRAPHQL_URL says where it is from here")
        return
    yield Finding(what, "ok", "answers")
