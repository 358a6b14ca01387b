"""Spans of operator and gateway, where an endpoint for them is configured."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from m0_operator import __version__
from m0_operator.settings import QueueSettings

if TYPE_CHECKING:
    from m0_wire.tracing import Tracing

logger = logging.getLogger(__name__)


def open_tracing(service: str, settings: QueueSettings) -> "Tracing | None":
    """Whoever records spans; None where nobody does."""
    if not settings.otlp_endpoint:
        return None
    # Imported late: nobody else needs the library.
    from m0_wire.tracing import Tracing  # noqa: PLC0415

    about = {"service.version": __version__}
    if pod := os.environ.get("HOSTNAME"):
        about["service.instance.id"] = pod
    try:
        return Tracing(service, ratio=settings.trace_ratio, say=_complain, about=about)
    except Exception as error:  # noqa: BLE001 - no film is to wait for its trace
        _complain(f"{type(error).__name__}: {error}")
        return None


async def close_tracing(tracing: "Tracing | None") -> None:
    """Send what is left; takes a few seconds at most."""
    if tracing is not None:
        await asyncio.to_thread(tracing.close)


def _complain(reason: str) -> None:
    logger.warning("Traces not sent", extra={"reason": reason})
