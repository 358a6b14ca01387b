"""Chunkers as processes of their own, which can't run away from the test that is to kill them."""

import fcntl
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

PIPE_BYTES = 4096
"""A dozen chunk messages; with more of them unheard, a chunker waits."""


def hold_back(process: "subprocess.Popen[Any]") -> None:
    """Have it wait when it is far ahead of what is heard of it."""
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def hear(process: "subprocess.Popen[Any]", messages: int) -> str:
    """What it says until so many chunks are announced, or until it ends.

    By the descriptor, not by the stream: nothing is read ahead, `communicate` gives the rest.
    """
    assert process.stdout is not None
    said = b""
    while said.count(b"\n") < messages and (more := os.read(process.stdout.fileno(), 256)):
        said += more
    return said.decode()
