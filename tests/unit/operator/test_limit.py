"""The number of active videos, changed while the operator runs."""

from pathlib import Path

import pytest
from m0_operator.services.limit import LimitFile
from m0_operator.services.slots import Slots

from .conftest import World, request_body


def test_it_follows_the_file(tmp_path: Path) -> None:
    path, slots = tmp_path / "limit", Slots(4)
    for text in ("7", " 2\n"):
        path.write_text(text)
        LimitFile(path, slots).read()
        assert slots.limit == int(text)


@pytest.mark.parametrize("text", ["", "many", "0", "-1", "1.5", None])
def test_what_is_no_number_is_said_once_and_changes_nothing(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path, slots = tmp_path / "limit", Slots(4)
    if text is not None:
        path.write_text(text)
    limit = LimitFile(path, slots)
    limit.read()
    limit.read()
    assert slots.limit == 4
    assert len(caplog.records) == 1


async def test_a_lower_limit_ends_nothing_and_a_higher_one_counts_at_once(world: World) -> None:
    for number in range(4):
        await world.send(request_body(number))
    world.slots.limit = 2
    assert len(world.cluster.resources) == 4
    await world.send(request_body(9))
    assert "video-9" not in world.cluster.resources
    world.slots.limit = 5
    await world.intake.step()
    assert "video-9" in world.cluster.resources
