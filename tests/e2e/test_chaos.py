"""A few cells of the crash matrix; `make chaos` plays all of it."""

from collections.abc import Iterator

import pytest
from chaos.cells import SMALL
from chaos.films import films_in_store
from chaos.judge import audit
from chaos.play import Films, play
from chaos.stage import Stage
from devstack import DevStack


@pytest.fixture(scope="module")
def films(stack: DevStack) -> Iterator[Films]:
    with films_in_store(stack) as found:
        yield found


@pytest.mark.parametrize("name", SMALL)
def test_every_request_ends_as_it_must_when(stack: DevStack, films: Films, name: str) -> None:
    stage = Stage(stack)
    results = play(stage, films, SMALL[name])
    assert [result.wrong for result in results] == [""] * len(results)
    assert audit(stage, results) == []
