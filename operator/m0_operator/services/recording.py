"""One look at a resource, and how its new status is put on record: once, and said in events."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

from m0_operator.domain.observed import Observed
from m0_operator.domain.status import Status, announcements, build_merge_patch
from m0_operator.errors import ClusterConflictError, ClusterUnavailableError, OperatorError
from m0_operator.services.ports import Cluster
from m0_operator.services.slots import Slots
from m0_operator.services.telemetry import Telemetry

logger = logging.getLogger(__name__)

TRIES = 5
_OF_PROGRESS = frozenset({"progress", "message"})


class Look:
    """What was read of a resource, and what its status has become since.

    Attributes:
        written: the status that is on record.
        status: the status that is to be.
    """

    def __init__(self, raw: dict[str, Any], observed: Observed) -> None:
        self.raw = raw
        self.observed = observed
        self.version = observed.resource.version
        self.written = observed.resource.status
        self.status = self.written


class Recorder:
    """Writes statuses."""

    def __init__(self, cluster: Cluster, slots: Slots, telemetry: Telemetry) -> None:
        self._cluster = cluster
        self._slots = slots
        self._telemetry = telemetry

    async def write(self, look: Look) -> None:
        """Patch the status if it differs from what was last written, then say so in events."""
        old, new = look.written, look.status
        patch = build_merge_patch(old.to_json(), new.to_json())
        # This can wait for the next change: by itself it is not worth a write.
        if patch.keys() <= {"acknowledged"}:
            return
        raw = await self._cluster.patch_status(
            look.observed.resource.name,
            look.version,
            patch,
            progress_only=patch.keys() <= _OF_PROGRESS,
        )
        look.version = raw["metadata"].get("resourceVersion", "")
        look.written = new
        self._slots.observe(replace(look.observed.resource, status=new))
        self._telemetry.recorded(look.observed, old, new)
        await self._announce(look, old, new)

    async def write_by_all_means(self, look: Look) -> None:
        """Write what others were told, so that they aren't told twice."""
        for attempt in range(TRIES):
            try:
                await self.write(look)
                return
            except ClusterConflictError:
                raw = await self._cluster.fetch_resource(look.observed.resource.name)
                if raw is None or raw["metadata"]["uid"] != look.observed.resource.uid:
                    return
                look.version = raw["metadata"]["resourceVersion"]
            except ClusterUnavailableError:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)

    async def _announce(self, look: Look, old: Status, new: Status) -> None:
        for announcement in announcements(old, new):
            try:
                await self._cluster.announce(look.raw, announcement)
            except OperatorError as error:
                logger.warning("Event not posted", extra={"reason": str(error)})
