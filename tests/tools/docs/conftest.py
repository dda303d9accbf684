"""Fixtures for tests of what is generated into the documentation."""

import pytest

from tools.docs import proofs


@pytest.fixture(scope="session")
def collected(request: pytest.FixtureRequest) -> proofs.Proofs:
    """The proofs among all tests. A run of all tests has collected them, otherwise a new process does."""
    config = request.config
    narrowing = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob")
    runs_all = config.getoption("--all") and config.args == config.getini("testpaths")
    if not runs_all or any(map(config.getoption, narrowing)):
        return proofs.collect()
    return proofs.among(request.session.items)
