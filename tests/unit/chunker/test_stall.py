"""A film that is a trap: libav stands still or reads on and on, and the process ends anyway.

No such film of today's libav is known; one is acted by what opens films.
"""

import time

import pytest

STANDS = "time.sleep(600)"
READS_ON = """
    while True:
        file.seek(0)
        while file.read(65_536):
            pass
"""
TRAP = """
import time
from m0_chunker import cli, work

def trap(file, *_, **__):
    {what}

work.open_film = trap
cli.main()
"""


@pytest.mark.parametrize("what", [STANDS, READS_ON], ids=["stands still", "reads on and on"])
def test_a_trap_ends_in_a_word(run_instead, make_film, what):
    film = make_film("plain.mp4", seconds=2.0)
    began = time.monotonic()
    run = run_instead(TRAP.format(what=what.strip()), film, 2, env={"M0_STALL_S": "1"})
    assert time.monotonic() - began < 10
    assert run.code == 65, run.stderr
    failure = run.outcome["failure"]
    assert failure["code"] == "SOURCE_CORRUPT"
    assert "for 1 s" in failure["message"]
    assert "Traceback" not in run.stderr
