"""Structured logs: a constant message, values as fields, one JSON object a line."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from m0_contract.redact import redact

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """All that this task logs while it is open has these fields; `note` adds to them."""
    token = _about.set({**(_about.get() or {}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def note(**fields: object) -> None:
    """What has turned out since `about`: the lines that follow have it too."""
    known = _about.get()
    if known is not None:
        known.update(fields)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """All fields of a line; its own win, and what says nothing is left out."""
    own = {key: value for key, value in vars(record).items() if key not in _OWN}
    given = {key: value for key, value in (_about.get() or {}).items() if value is not None}
    return {
        key: redact(value) if isinstance(value, str) else value
        for key, value in (given | own).items()
    }


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what was given as `extra` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": when,
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line | _fields(record), default=_show, ensure_ascii=False)


def _show(value: object) -> str:
    return redact(str(value))


class TextFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        shown = (f"{key}={_show(value)}" for key, value in _fields(record).items())
        return " ".join([redact(super().format(record)), *shown])


def configure_logging(level: str, form: Literal["json", "text"]) -> None:
    """Send all logs to standard error in one form; quieten the chatty libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if form == "json"
        else TextFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # aiormq logs whole frames, httpx each URL, kopf one line per event of each object.
    for name in ("aio_pika", "httpx", "gql", "kopf.objects", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # One line a second while the broker is away; whoever uses the connection says it, and why.
    logging.getLogger("aio_pika.robust_connection").setLevel(logging.ERROR)
    # What it calls an error, a broker that is away, reaches us as an exception and is told once.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    logging.getLogger("kopf").setLevel(max(logging.INFO, logging.getLogger().level))
