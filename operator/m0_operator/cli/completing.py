"""Completing the names of videos in a shell: quick or not at all."""

import asyncio

import click

from m0_operator.cli.port import Room
from m0_operator.cli.where import Desk

WITHIN_S = 3.0
AT_MOST = 200


def complete_videos(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Resources' names and process_ids that begin like this."""
    del parameter

    async def work(room: Room) -> list[str]:
        async with asyncio.timeout(WITHIN_S):
            return await _find(room, incomplete)

    try:
        # No command runs: only its context says where M0 is.
        desk: Desk = context.find_root().obj or Desk()
        return desk.run(work)
    except Exception:  # noqa: BLE001 - whoever types is not to be disturbed
        return []


async def _find(room: Room, incomplete: str) -> list[str]:
    from m0_operator.domain.wanted import VideoFilter  # noqa: PLC0415

    named = incomplete.startswith("v")
    prefix = "" if named else incomplete
    page = await room.list(VideoFilter(prefix=prefix), limit=AT_MOST, token="")
    found = [item.name if named else str(item.process_id) for item in page.items]
    return [text for text in found if text.startswith(incomplete)]
