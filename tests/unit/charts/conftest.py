import pytest
from unit.charts.rendering import HELM


@pytest.fixture(scope="session", autouse=True)
def _helm_is_there() -> None:
    """No chart goes untested because helm is missing."""
    assert HELM.exists(), f"{HELM} is missing; this brings it: python3 hack/cluster tools"
