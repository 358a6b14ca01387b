from collections.abc import Iterator

import pytest
from fakes.collector import Collector, collecting
from unit.chunker.conftest import make_film, run_chunker, run_instead

__all__ = ["make_film", "run_chunker", "run_instead"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found
