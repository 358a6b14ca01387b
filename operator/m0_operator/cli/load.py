"""How much there is to do: from the videos, the queues and the release's limit."""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m0_operator.cli.port import QueueState, Videos
from m0_operator.cli.render import finished
from m0_operator.domain.views import parse_time
from m0_operator.domain.wanted import VideoFilter

if TYPE_CHECKING:
    from m0_operator.cli.cluster import ClusterRoom

WINDOW_S = 600
PAGE = 500


async def count(room: Videos, now: datetime) -> tuple[int, int]:
    """(videos that have not ended, those that ended within the window)."""
    active = ended = 0
    token = ""
    while True:
        page = await room.list(VideoFilter(), limit=PAGE, token=token)
        for item in page.items:
            moment = parse_time(item.finished_at)
            if not finished(item):
                active += 1
            elif moment is not None and (now - moment).total_seconds() <= WINDOW_S:
                ended += 1
        if not page.token:
            return active, ended
        token = page.token


async def measure(room: "ClusterRoom") -> QueueState:
    """What the cluster and the broker say; what can't be told is a note, not an error."""
    from datetime import UTC  # noqa: PLC0415

    from m0_wire.errors import BrokerUnavailableError  # noqa: PLC0415

    from m0_operator.adapters.queue_kind import learn_facts  # noqa: PLC0415
    from m0_operator.adapters.queue_probe import open_probe  # noqa: PLC0415
    from m0_operator.cli.errors import CliError  # noqa: PLC0415
    from m0_operator.cli.release import read_limit  # noqa: PLC0415
    from m0_operator.domain.priorities import judge_priorities  # noqa: PLC0415
    from m0_operator.errors import ClusterUnavailableError  # noqa: PLC0415

    active, ended = await count(room, datetime.now(UTC))
    release = await room.release()
    notes: list[str] = []
    config: dict[str, Any] | None = None
    if release.name:
        try:
            config = await room.cluster.fetch_config_map(release.name)
        except ClusterUnavailableError as error:
            notes.append(f"the limit can't be read: {error}")
    else:
        config = _read_own_config()
    limit = read_limit(release, config)
    waiting = dead = None
    kind = ""
    queue = release.queue("M0_PRIORITY_QUEUE")
    try:
        url = await room.amqp_url()
        async with open_probe(url, timeout_s=room.where.timeout_s) as probe:
            waiting = await probe.depth(queue)
            dead = await probe.depth(release.queue("M0_DEADLETTER_QUEUE"))
        if waiting is None:
            notes.append(f"there is no queue {queue}")
        else:
            facts = await learn_facts(url, queue, room.where.timeout_s)
            kind = f"{facts.kind or 'of unknown kind'}; {judge_priorities(facts).sentence}"
    except BrokerUnavailableError as error:
        known = await room.explain_broker(error)
        notes.append(f"{known}; {known.hint}")
    except CliError as error:
        notes.append(f"{error}; {error.hint}")
    return QueueState(
        waiting,
        active,
        ended,
        WINDOW_S,
        kind=kind,
        dead=dead,
        limit=limit,
        notes=tuple(notes),
    )


def _read_own_config() -> dict[str, Any]:
    """What the operator's pod has of the ConfigMap, as a file."""
    text = ""
    with suppress(OSError):
        text = Path(os.environ.get("M0_MAX_ACTIVE_JOBS_FILE", "")).read_text()
    return {"data": {"max-active-jobs": text}}
