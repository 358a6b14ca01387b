"""Structured logs: a constant message, values as fields, one JSON object a line."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what was given as `extra` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": when,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | fields, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {key: value for key, value in vars(record).items() if key not in _OWN}
        return " ".join([super().format(record), *(f"{k}={v}" for k, v in fields.items())])


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
    # What it calls an error, a broker that is away, reaches us as an exception and is told once.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    logging.getLogger("kopf").setLevel(max(logging.INFO, logging.getLogger().level))
