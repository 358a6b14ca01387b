"""How long a film will still take, and how long things took."""

import time

import pytest
from m0_chunker.tally import Tally, Timed


@pytest.mark.parametrize(
    ("began_s", "done_s", "total_s", "left_s"),
    [
        (0.0, 25.0, 100.0, 30.0),
        (50.0, 75.0, 100.0, 10.0),
        (0.0, 110.0, 100.0, 0.0),
        (None, 0.0, 100.0, None),
        (0.0, 0.0, 100.0, None),
        (0.0, 25.0, None, None),
    ],
    ids=["from the start", "resumed", "longer than it said", "before", "no time", "no length"],
)
def test_what_is_left_takes_as_long_as_what_was_done(
    monkeypatch: pytest.MonkeyPatch,
    began_s: float | None,
    done_s: float,
    total_s: float | None,
    left_s: float | None,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1010.0)
    tally = Tally(done_s=done_s, total_s=total_s, started=1000.0, began_s=began_s)
    assert tally.left_s() == left_s


def test_what_is_done_is_counted_and_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.5, 3.25])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    timed = Timed()
    timed.since(1.0)
    timed.since(2.0)
    assert (timed.times, timed.seconds) == (2, 1.75)
