"""`m0-operator --check`: whether all that the operator needs can be reached from here.

One line for each thing on standard output; changes nothing. The chart's `helm test` runs it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from m0_contract.resource import GROUP, KIND, PLURAL
from m0_wire.backend import Backend, load_documents
from m0_wire.broker import redact_url
from m0_wire.errors import WireError
from pydantic import ValidationError

from m0_operator.adapters.cluster import KubernetesCluster
from m0_operator.adapters.queue_probe import QueueProbe, open_probe
from m0_operator.domain.job_template import read_job_template
from m0_operator.errors import OperatorError
from m0_operator.settings import OperatorSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        detail: how it is, or what is wrong with it and what to do.
    """

    what: str
    detail: str
    good: bool

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'FAILED':<7} {self.what}: {self.detail}"


async def check(settings: OperatorSettings) -> int:
    """Look at everything and say it; the exit code."""
    failed = 0
    for look in (_template, _broker, _backend, _resources):
        async for finding in look(settings):
            print(finding, flush=True)
            failed += not finding.good
    print(f"{failed} of these need attention." if failed else "All is well.")
    return 1 if failed else 0


async def _template(settings: OperatorSettings) -> AsyncIterator[Finding]:
    what = "job template"
    try:
        template = read_job_template(settings.job_template_file)
    except (OSError, ValidationError) as error:
        yield Finding(what, str(error), good=False)
        return
    yield Finding(what, template.image, good=True)


async def _broker(settings: OperatorSettings) -> AsyncIterator[Finding]:
    url = settings.amqp_url.get_secret_value()
    what = f"broker {redact_url(url)}"
    own = "the operator makes it when it connects; does one run?"
    platform = own if settings.declare_queues else "create it, or set declareQueues"
    try:
        async with open_probe(url) as probe:
            yield Finding(what, "connected", good=True)
            for name in (
                settings.priority_queue,
                settings.results_queue,
                settings.deadletter_queue,
            ):
                yield await _queue(probe, name, platform)
            yield await _queue(probe, settings.progress_queue, own)
    except WireError as error:
        yield Finding(what, str(error), good=False)


async def _queue(probe: QueueProbe, name: str, remedy: str) -> Finding:
    try:
        depth = await probe.depth(name)
    except WireError as error:
        return Finding(f"queue {name}", str(error), good=False)
    if depth is None:
        return Finding(f"queue {name}", f"is not there; {remedy}", good=False)
    return Finding(f"queue {name}", f"{depth} waiting", good=True)


async def _backend(settings: OperatorSettings) -> AsyncIterator[Finding]:
    if not settings.graphql_url:
        yield Finding("backend", "none is configured: no rows, no statuses", good=True)
        return
    what = f"backend {settings.graphql_url}"
    token = settings.graphql_token.get_secret_value() if settings.graphql_token else None
    try:
        documents = load_documents(settings.graphql_documents)
        await Backend(settings.graphql_url, documents=documents, token=token).look()
    except (WireError, ValueError) as error:
        yield Finding(what, str(error), good=False)
        return
    yield Finding(what, "answers", good=True)


async def _resources(settings: OperatorSettings) -> AsyncIterator[Finding]:
    what = f"{PLURAL}.{GROUP} in namespace {settings.namespace}"
    try:
        async with KubernetesCluster(settings.namespace) as cluster:
            found = await cluster.list_versions(KIND)
    except OperatorError as error:
        yield Finding(what, str(error), good=False)
        return
    yield Finding(what, str(len(found)), good=True)
