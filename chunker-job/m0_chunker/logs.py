"""Logs on stderr: readable on a terminal, one JSON object a line elsewhere.

A record is a constant message with values as fields (`extra={"fields": {...}}`).
"""

import json
import logging
import sys
import time
from functools import lru_cache
from typing import Any

from m0_contract.redact import redact

log = logging.getLogger("m0.chunker")


# Each call of json.dumps with options makes an encoder.
_to_json = json.JSONEncoder(ensure_ascii=False, default=lambda value: redact(str(value))).encode


@lru_cache(maxsize=8)
def format_second(second: int) -> str:
    """A second of Unix time in UTC, `2026-11-26T02:17:18`: small chunks come hundreds in one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class _JsonFormatter(logging.Formatter):
    def __init__(self, base: dict[str, Any]) -> None:
        super().__init__()
        self.base = base

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": f"{format_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": redact(record.getMessage()),
            **self.base,
            **{
                key: redact(value) if isinstance(value, str) else value
                for key, value in getattr(record, "fields", {}).items()
            },
        }
        if record.exc_info:
            document["exception"] = redact(self.formatException(record.exc_info))
        return _to_json(document)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        values = "  ".join(f"{key}={value}" for key, value in fields.items() if value is not None)
        mark = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        text = f"{mark}{record.getMessage():<22} {values}".rstrip()
        return redact(
            f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
        )


def set_up_logs(**base: object) -> None:
    """Send this program's log to stderr.

    Args:
        base: fields of every JSON record, e.g. process_id, attempt.
    """
    # What no record of ours says need not be found out for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    fields = {key: value for key, value in base.items() if value is not None}
    handler.setFormatter(_TextFormatter() if sys.stderr.isatty() else _JsonFormatter(fields))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(logging.INFO)
    # botocore logs request headers at DEBUG, and libraries warn about retries that we
    # count ourselves; what matters of theirs is raised.
    for name in ("botocore", "urllib3", "azure", "aiormq", "aio_pika", "gql", "httpx", "libav"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def event(message: str, level: int = logging.INFO, **fields: object) -> None:
    """Log a constant `message` with values as fields; never a credential or a signed URL."""
    if log.isEnabledFor(level):  # nobody wants to know which line of code it was
        said = {"fields": fields}
        log.handle(log.makeRecord(log.name, level, "", 0, message, (), None, extra=said))
