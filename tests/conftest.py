"""The running development stack, for the tests that need one."""

import pytest
from devstack import DevStack
from hypothesis import HealthCheck, settings

# What it checks is said like what tests check themselves.
pytest.register_assert_rewrite("cutting")

# How long something takes says more about what else the machine does than about the code.
settings.register_profile("m0", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("m0")


@pytest.fixture(scope="session")
def stack() -> DevStack:
    """The running stack; fails, never skips, when there is none."""
    return DevStack()
