"""The control room over a kubeconfig, and the broker where it is needed."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from m0_contract.resource import VideoChunkJobSpec
from m0_wire.broker import redact_url
from m0_wire.errors import BrokerUnavailableError, SecretsError
from m0_wire.secrets import load_secrets

from m0_operator.adapters.broker import AmqpPublisher
from m0_operator.adapters.letters import AmqpLetterQueue
from m0_operator.adapters.terminal import KubernetesTerminal, NoClusterError
from m0_operator.cli.errors import CliError, Exit, refuse, usage
from m0_operator.cli.findings import Finding
from m0_operator.cli.happenings import read_events
from m0_operator.cli.port import Happening, QueueState, Settlement
from m0_operator.cli.release import UNKNOWN, Release, read_release, read_secret
from m0_operator.cli.where import Where
from m0_operator.domain.deadletter import build_failure_id
from m0_operator.domain.headers import unpack_headers
from m0_operator.domain.letters import LetterFilter
from m0_operator.domain.resource_builder import build_applied
from m0_operator.domain.views import VideoView
from m0_operator.domain.wanted import VideoFilter
from m0_operator.errors import ClusterForbiddenError, ClusterUnavailableError
from m0_operator.gateway.models import LetterDetail, LetterList
from m0_operator.gateway.submission import Submission
from m0_operator.services.dead_letters import DeadLetterBox, Settled
from m0_operator.services.jobs import (
    StopReceipt,
    Update,
    VideoNotFoundError,
    VideoPage,
    Videos,
)
from m0_operator.services.pod_logs import LogPart, PodLogs

NO_BROKER = "give --amqp-url or M0_AMQP_URL"


@asynccontextmanager
async def open_cluster(where: Where) -> AsyncIterator["ClusterRoom"]:
    """The room, while the context is open.

    Raises:
        CliError: there is no usable kubeconfig.
    """
    try:
        async with KubernetesTerminal(
            where.namespace,
            kubeconfig=where.kubeconfig,
            context=where.context,
            timeout_s=where.timeout_s,
        ) as cluster:
            yield ClusterRoom(cluster, where)
    except NoClusterError as error:
        raise CliError(
            Exit.UNREACHABLE,
            f"no usable kubeconfig: {error}",
            "give --kubeconfig or KUBECONFIG, or go through the gateway: --gateway URL",
        ) from error


class ClusterRoom:
    """Implements `port.Room`."""

    def __init__(self, cluster: KubernetesTerminal, where: Where) -> None:
        self.cluster = cluster
        self.where = where
        self._videos = Videos(cluster)
        self._release: Release | None = None

    # ── Videos ────────────────────────────────────────────────────────────────
    async def submit(self, submission: Submission, *, direct: bool) -> str:
        """Hand a request over; a sentence."""
        if direct:
            manifest = build_applied(submission.request, self.cluster.namespace)
            made = await self.cluster.create_resource(manifest)
            return f"{made['metadata']['name']} is created, without a message"
        return await self._publish(submission.body, submission.priority, {})

    async def _publish(self, body: bytes, priority: int, headers: Mapping[str, Any]) -> str:
        queue = (await self.release()).queue("M0_PRIORITY_QUEUE")
        publisher = AmqpPublisher(
            await self.amqp_url(), queue, name="m0", timeout_s=self.where.timeout_s
        )
        try:
            await publisher.publish(body, headers=headers, priority=priority)
        except BrokerUnavailableError as error:
            raise await self.explain_broker(error) from error
        finally:
            await publisher.close()
        return f"queued in {queue} with priority {priority}"

    async def list(self, wanted: VideoFilter, *, limit: int, token: str) -> VideoPage:
        """A page of videos."""
        return await self._videos.list(wanted, limit=limit, token=token)

    async def get(self, name: str) -> VideoView:
        """One in full."""
        return await self._videos.get(await self._id(name))

    async def follow(self, name: str) -> AsyncGenerator[Update, None]:
        """One as it is and as it changes."""
        following = await self._videos.follow(await self._id(name))
        async with aclosing(following.updates) as updates:
            async for update in updates:
                yield update

    async def stop(self, name: str) -> StopReceipt:
        """End it."""
        return await self._videos.stop(await self._id(name))

    async def suspend(self, name: str, *, suspend: bool) -> VideoView:
        """Hold it back, or let it go on."""
        return await self._videos.suspend(await self._id(name), suspend=suspend)

    async def _id(self, name: str) -> str:
        """What the services understand: a resource's name stands for its process_id."""
        name = name.rpartition("/")[2] if name.startswith(("vcj/", "videochunkjob")) else name
        raw = await self.cluster.fetch_resource(name) if name.startswith("video-") else None
        given = ((raw or {}).get("spec") or {}).get("processId")
        if given is None:
            return name
        return f'"{given}"' if isinstance(given, str) else str(given)

    async def retry(self, view: VideoView, priority: int | None) -> str:
        """Replay its dead letter; where that is gone, send the request itself again."""
        letter = build_failure_id(view.uid)
        ids = frozenset({letter})
        settled = await self._settle(LetterFilter(ids=ids), priority=priority)
        if settled.letters:
            return f"its dead letter {letter} is replayed"
        if not settled.complete:
            refuse(f"{letter} is not among the first dead letters", "settle some of those first")
        raw = await self.cluster.fetch_resource(view.name)
        if raw is None or raw["metadata"]["uid"] != view.uid:
            raise VideoNotFoundError(view.name)
        spec = VideoChunkJobSpec.model_validate(raw["spec"])
        origin = spec.origin
        body = origin.body_bytes if origin else spec.to_request().to_json().encode()
        given = priority if priority is not None else origin.priority if origin else 0
        headers = unpack_headers(origin.headers) if origin else {}
        said = await self._publish(body, given, headers)
        return f"its dead letter is gone; the request itself is {said}"

    async def events(self, view: VideoView) -> tuple[Happening, ...] | None:
        """What happened to it, to its Job and its pods."""
        try:
            return await read_events(self.cluster, view)
        except ClusterForbiddenError:
            return None

    async def logs(
        self, view: VideoView, *, follow: bool, tail: int | None
    ) -> AsyncGenerator[LogPart, None]:
        """What the pods of its latest Job have written."""
        parts = await PodLogs(self.cluster).open(view, follow=follow, tail=tail)
        async with aclosing(parts):
            async for part in parts:
                yield part

    # ── Dead letters ──────────────────────────────────────────────────────────
    async def _box(self) -> DeadLetterBox:
        release = await self.release()
        queue = AmqpLetterQueue(
            await self.amqp_url(),
            release.queue("M0_DEADLETTER_QUEUE"),
            release.queue("M0_PRIORITY_QUEUE"),
            timeout_s=self.where.timeout_s,
        )
        return DeadLetterBox(queue)

    async def letters(self, wanted: LetterFilter, limit: int) -> LetterList:
        """Those that are meant."""
        box = await self._box()
        try:
            found = await box.list(wanted, limit=limit)
        except BrokerUnavailableError as error:
            raise await self.explain_broker(error) from error
        return LetterList(items=found.letters, matched=found.matched, complete=found.complete)

    async def letter(self, letter_id: str) -> LetterDetail | None:
        """One in full."""
        box = await self._box()
        try:
            full = await box.show(letter_id)
        except BrokerUnavailableError as error:
            raise await self.explain_broker(error) from error
        return None if full is None else LetterDetail.from_letter(full)

    async def replay(
        self, wanted: LetterFilter, *, edit: Submission | None, priority: int | None
    ) -> Settlement:
        """Hand them to the operator again."""
        body = edit.body if edit else None
        return _settlement(await self._settle(wanted, edit=body, priority=priority))

    async def _settle(
        self, wanted: LetterFilter, *, edit: bytes | None = None, priority: int | None = None
    ) -> Settled:
        box = await self._box()
        try:
            return await box.replay(wanted, edit=edit, priority=priority)
        except BrokerUnavailableError as error:
            raise await self.explain_broker(error) from error

    async def purge(self, wanted: LetterFilter) -> Settlement:
        """Remove them for good."""
        box = await self._box()
        try:
            return _settlement(await box.purge(wanted))
        except BrokerUnavailableError as error:
            raise await self.explain_broker(error) from error

    # ── M0 itself ─────────────────────────────────────────────────────────────
    async def queue(self) -> QueueState:
        """How much there is to do."""
        from m0_operator.cli.load import measure  # noqa: PLC0415

        return await measure(self)

    async def diagnose(self) -> AsyncIterator[Finding]:
        """Look at everything."""
        from m0_operator.cli.doctor import diagnose  # noqa: PLC0415

        async for finding in diagnose(self):
            yield finding

    async def version(self) -> str:
        """What runs there."""
        deployment = await self.cluster.fetch_operator()
        if deployment is None:
            return ""
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])

    async def release(self) -> Release:
        """The release's settings, as far as the user may see them."""
        if self._release is None:
            try:
                deployment = await self.cluster.fetch_operator()
            except ClusterUnavailableError:
                # The broker may be all that is needed: without the cluster the defaults hold.
                deployment = None
            self._release = read_release(deployment, os.environ)
        return self._release or UNKNOWN

    async def amqp_url(self) -> str:
        """The broker's, from the caller or from the release's Secret.

        Raises:
            CliError: neither has it.
        """
        if self.cluster.inside and not self.where.amqp_url:
            self.where.amqp_url = await _read_own_url()
        if self.where.amqp_url:
            return self.where.amqp_url
        release = await self.release()
        if "M0_AMQP_URL" in release.values:
            return release.values["M0_AMQP_URL"]
        if "M0_AMQP_URL" not in release.secrets:
            text = f"no broker is known: no release of M0 in {self.cluster.namespace} names one"
            raise usage(text, f"{NO_BROKER}; `m0 submit --direct` needs none")
        name, key = release.secrets["M0_AMQP_URL"]
        try:
            found = read_secret(await self.cluster.fetch_secret(name), key)
        except ClusterForbiddenError as error:
            text = f"the broker's URL is in the Secret {name}, which you may not read"
            raise CliError(Exit.REFUSED, text, NO_BROKER) from error
        if not found:
            text = f"the Secret {name} has no {key}, where the broker's URL should be"
            raise CliError(Exit.REFUSED, text, "the operator can't start without it")
        return found

    async def explain_broker(self, error: BrokerUnavailableError) -> CliError:
        """The error, with where the URL came from and what to do."""
        url = redact_url(await self.amqp_url())
        if "ACCESS_REFUSED" in str(error):
            hint = "user or password is wrong"
        else:
            hint = "is it up, and reachable from here?"
        if not self.where.amqp_url:
            hint += f" The URL is the release's own, made for inside of the cluster: {NO_BROKER},"
            hint += " such as of a port-forward"
        return CliError(Exit.UNREACHABLE, f"the broker {url}: {error}", hint)


async def _read_own_url() -> str:
    """In M0's own pod a cloud's secret store may have it; empty where none is named."""
    try:
        await asyncio.to_thread(load_secrets)
    except SecretsError as error:
        raise CliError(
            Exit.UNREACHABLE, str(error), "the operator can't start without it"
        ) from error
    return os.environ.get("M0_AMQP_URL", "")


def _settlement(settled: Settled) -> Settlement:
    return Settlement(
        settled.letters, settled.refused, tuple(sorted(settled.missing)), settled.complete
    )
