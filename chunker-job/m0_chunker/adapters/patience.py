"""Waiting a little for a broker or a backend that is away, and saying so."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from m0_chunker.logs import event

ATTEMPTS = 4
FIRST_DELAY_S = 0.5


async def patiently(
    do: Callable[[], Awaitable[None]], whom: str, unavailable: type[Exception]
) -> None:
    """Do it again, with pauses that double, as long as somebody is away.

    Args:
        do: what is idempotent.
        whom: it needs, for the log.
        unavailable: what it raises then.

    Raises:
        Exception: `unavailable`, once too often; at once, whatever else `do` raises.
    """
    for attempt in range(ATTEMPTS):
        try:
            await do()
        except unavailable as error:
            if attempt + 1 == ATTEMPTS:
                raise
            wait_s = FIRST_DELAY_S * 2**attempt
            event(f"{whom} is away", logging.WARNING, reason=str(error), again_in_s=wait_s)
            await asyncio.sleep(wait_s)
        else:
            return
