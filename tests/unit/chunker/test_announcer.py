"""The announcer's patience with a broker that goes away for a moment."""

from m0_chunker.adapters.announcer import ATTEMPTS, FIRST_DELAY_S
from m0_wire.broker import RECONNECT_S


def test_it_tries_for_longer_than_it_takes_to_connect_anew() -> None:
    tries_for_s = sum(FIRST_DELAY_S * 2**number for number in range(ATTEMPTS - 1))
    assert tries_for_s >= 3 * RECONNECT_S
