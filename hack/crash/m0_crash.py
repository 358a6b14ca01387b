"""Crash points that are alive: only in the images' build target `test`.

Each point asks the registry at M0_CRASH_URL (the development backend, `m0_backend/chaos.py`)
what to do: go on, die, or hold until told. Where the registry does not answer, the program goes
on. The question is asked synchronously even in an event loop: nothing else may happen between
what was just done and the end.

A Job asks once which points are armed for it, and only those cost it a question: arms are set
before the request is sent.
"""

import functools
import http.client
import json
import os
import signal
import time
from typing import Any, NoReturn
from urllib.parse import urlsplit

URL = os.environ.get("M0_CRASH_URL", "")
RESOURCE = os.environ.get("M0_RESOURCE", "")
"""Of a Job; the operator has none and says for each point what it is about."""

TIMEOUT_S = 2.0
HOLD_POLL_S = 0.05


def point(name: str, subject: str = "") -> None:
    """Go on, die or wait, as the registry says."""
    if not URL or (RESOURCE and name not in _armed_for_job()):
        return
    ticket = None
    while True:
        answer = _ask("hit", point=name, subject=subject or RESOURCE, ticket=ticket)
        match answer.get("do"):
            case "die":
                die()
            case "hold":
                ticket = answer["ticket"]
                time.sleep(HOLD_POLL_S)
            case _:
                return


def die() -> NoReturn:
    """End at once, as by SIGKILL: no handler, no `finally`, no buffer flushed, no farewell.

    The kernel ignores a SIGKILL that a container's first process sends to itself. `_exit` is as
    abrupt: the system call itself, which runs nothing of ours either.
    """
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(128 + signal.SIGKILL)


@functools.cache
def _armed_for_job() -> frozenset[str]:
    return frozenset(_ask("armed", subject=RESOURCE).get("points", ()))


def _ask(what: str, **question: Any) -> dict[str, Any]:
    parts = urlsplit(URL)
    assert parts.hostname, URL
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        body = json.dumps(question)
        connection.request("POST", f"{parts.path}/{what}", body)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return answer
