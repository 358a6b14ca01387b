"""A range comes whole, each byte once, over however many broken connections."""

import pytest
from m0_chunker.errors import ChunkerError, ThrottledError
from m0_chunker.storage.pump import ATTEMPTS, PIECE_BYTES, Pace, Pump, patiently
from m0_contract.errors import ErrorCode

DATA = bytes(range(256)) * 4096


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Connection:
    """Gives `steps`: (bytes, seconds) one after the other, then breaks as it is told."""

    def __init__(self, clock, offset, steps, error=None):
        self.clock, self.at, self.steps, self.error = clock, offset, list(steps), error
        self.closed = False

    def read1(self, size):
        if not self.steps:
            if self.error:
                raise self.error
            return b""
        count, seconds = self.steps.pop(0)
        self.clock.now += seconds
        data = DATA[self.at : self.at + min(size, count)]
        self.at += len(data)
        return data

    def close(self):
        self.closed = True


def lost():
    return ChunkerError(ErrorCode.SOURCE_UNREACHABLE, "reset")


class World:
    """Connections that behave as listed, then one that gives everything."""

    def __init__(self, *behaviours):
        self.behaviours = list(behaviours)
        self.clock, self.asked, self.slept, self.opened = Clock(), [], [], []
        self.pump = Pump(self.open, pace=Pace(1000, 10), sleep=self.slept.append, clock=self.clock)

    def open(self, offset, length):
        self.asked.append((offset, length))
        behaviour = self.behaviours.pop(0) if self.behaviours else ([(2**30, 0.1)] * 99, None)
        if isinstance(behaviour, Exception):
            raise behaviour
        self.opened.append(Connection(self.clock, offset, *behaviour))
        return self.opened[-1]

    def fetch(self, offset=100, length=500_000):
        got = bytearray()
        self.pump.fetch(offset, length, got.extend)
        assert got == DATA[offset : offset + length]


def test_goes_on_where_it_broke():
    world = World(([(300, 0), (77, 0)], lost()), ([(5, 0)], None))
    world.fetch()
    assert world.asked == [(100, 500_000), (477, 499_623), (482, 499_618)]
    assert all(connection.closed for connection in world.opened)


def test_a_crawling_connection_is_given_up_for_another():
    world = World(([(100, 4)] * 50, None))
    world.fetch()
    assert world.asked == [(100, 500_000), (400, 499_700)], "3 × 100 bytes in 12 seconds"


def test_a_slow_one_that_is_fast_enough_is_kept():
    world = World(([(5000, 4)] * 100, None))
    world.fetch()
    assert len(world.asked) == 1


def test_bursts_after_a_pause_do_not_hide_that_it_crawls_now():
    world = World(([(100_000, 1)] + [(1, 5)] * 50, None))
    world.fetch()
    assert world.asked[1][0] < 100_110


def test_many_breaks_are_survived_as_long_as_something_comes():
    world = World(*[([(PIECE_BYTES, 0)], lost())] * 3, *[([(PIECE_BYTES // 4, 0)], lost())] * 3)
    world.fetch(0, 1_000_000)
    assert world.slept, "those that brought little are waited for"


def test_in_vain_it_ends_after_so_many_attempts():
    world = World(*[lost() for _ in range(99)])
    with pytest.raises(ChunkerError):
        world.fetch()
    assert len(world.asked) == ATTEMPTS
    assert len(world.slept) == ATTEMPTS - 1
    assert all(0.1 <= delay <= 2 for delay in world.slept)


def test_who_asks_for_rest_gets_more_of_it():
    world = World(*[ThrottledError(ErrorCode.SOURCE_UNREACHABLE, "SlowDown")] * 2)
    world.fetch()
    assert all(delay >= 0.5 for delay in world.slept)
    assert len(world.slept) == 2


@pytest.mark.parametrize("code", [ErrorCode.SOURCE_CHANGED, ErrorCode.SOURCE_FORBIDDEN])
def test_what_no_retry_can_help_is_not_retried(code):
    world = World(([(300, 0)], lost()), ChunkerError(code, "no"))
    with pytest.raises(ChunkerError) as caught:
        world.fetch()
    assert caught.value.code is code
    assert len(world.asked) == 2


def test_stopping_ends_it():
    world = World(*[lost() for _ in range(99)])
    world.pump.stop()
    with pytest.raises(ChunkerError):
        world.fetch()
    assert len(world.asked) == 1


def test_the_first_answer_is_waited_for_patiently():
    failures = [lost(), lost()]

    def ask():
        if failures:
            raise failures.pop()
        return "here"

    assert patiently(ask, lambda _: None) == "here"
    with pytest.raises(ChunkerError, match="no"):
        patiently(lambda: (_ for _ in ()).throw(ChunkerError(ErrorCode.NOT_MEDIA, "no")))
