"""M0's programs as processes with an environment of their own."""

import os
import subprocess
import sys

OURS = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
"""What each has of our own environment: a worktree's code is found by PYTHONPATH."""

TIMEOUT_S = 120


def run_program(
    module: str, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What came of the module's `main`, run to its end with nothing in its environment but this."""
    return subprocess.run(
        [sys.executable, "-c", f"from {module} import main; main()", *map(str, arguments)],
        env={**OURS, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
