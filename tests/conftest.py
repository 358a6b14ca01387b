"""The running development stack, for the tests that need one."""

import pytest
from devstack import DevStack


@pytest.fixture(scope="session")
def stack() -> DevStack:
    """The running stack; fails, never skips, when there is none."""
    return DevStack()
