from pathlib import Path

import pytest
from unit.charts.rendering import DEV_STACK, DEV_VALUES, GOLDEN, HELM, OPERATOR, Manifest, render


@pytest.fixture(scope="session", autouse=True)
def _helm_is_there() -> None:
    """No chart goes untested because helm is missing."""
    assert HELM.exists(), f"{HELM} is missing; this brings it: python3 hack/cluster tools"


def with_values(path: Path) -> list[Manifest]:
    return render(OPERATOR, "-f", path)


@pytest.fixture(scope="session")
def dev() -> list[Manifest]:
    return with_values(DEV_VALUES)


@pytest.fixture(scope="session")
def full() -> list[Manifest]:
    return with_values(GOLDEN / "values-everything.yaml")


@pytest.fixture(scope="session")
def least() -> list[Manifest]:
    return with_values(GOLDEN / "values-least.yaml")


@pytest.fixture(scope="session")
def stack() -> list[Manifest]:
    return render(DEV_STACK)
