"""What the cluster tells: a resource or one of our Jobs has changed. Each only wakes reconcile."""

from collections.abc import Mapping
from typing import Any, Protocol

import kopf
from m0_contract.resource import GROUP, LABEL_RESOURCE, PLURAL, VERSION


class Listener(Protocol):
    """What the handlers call, with an object's metadata."""

    def hear_resource(self, meta: Mapping[str, Any], *, deleted: bool) -> None:
        """A VideoChunkJob has changed or gone."""
        ...

    def hear_job(self, meta: Mapping[str, Any], *, deleted: bool) -> None:
        """The Job of a resource has changed or gone."""
        ...


async def on_resource(
    type: str | None,  # noqa: A002 - kopf passes it by this name
    meta: kopf.Meta,
    memo: kopf.Memo,
    **_: object,
) -> None:
    """A VideoChunkJob has changed."""
    listener: Listener = memo.listener
    listener.hear_resource(meta, deleted=type == "DELETED")


async def on_job(
    type: str | None,  # noqa: A002 - kopf passes it by this name
    meta: kopf.Meta,
    memo: kopf.Memo,
    **_: object,
) -> None:
    """One of our Jobs has changed."""
    listener: Listener = memo.listener
    listener.hear_job(meta, deleted=type == "DELETED")


def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account, or a person's kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def build_registry() -> kopf.OperatorRegistry:
    """The whole surface of the operator towards the cluster."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(on_resource)
    kopf.on.event("batch", "v1", "jobs", labels={LABEL_RESOURCE: kopf.PRESENT}, registry=registry)(
        on_job
    )
    return registry


def build_kopf_settings() -> kopf.OperatorSettings:
    """Kopf only watches for us: it posts, scans, peers and persists nothing."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.networking.request_timeout = 30
    # By default kopf, and with it the operator, gives up after a minute without the API server.
    settings.networking.error_backoffs = (1, 2, 3, 5, *(10,) * 10_000)
    settings.watching.server_timeout = 600
    # Finished resources are kept in thousands; all of them in one answer would fill the memory.
    settings.watching.chunk_size = 250
    # Kopf has a worker for each object, which waits for more: a limit would make all others wait
    # with it, and their events come too late.
    settings.queueing.idle_timeout = 0.5
    settings.watching.label_selectors["jobs.batch"] = LABEL_RESOURCE
    settings.process.ultimate_exiting_timeout = None
    return settings
