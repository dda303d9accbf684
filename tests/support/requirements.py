"""Skip tests that need software which this machine lacks. In CI, fail these tests instead."""

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test with ``reason`` unless ``condition`` holds. With REQUIRE_ALL_TESTS=1 (CI), fail the test."""
    if condition:
        return
    if os.environ.get("REQUIRE_ALL_TESTS") == "1":
        pytest.fail(f"{reason} (REQUIRE_ALL_TESTS=1 forbids skipping)", pytrace=False)
    pytest.skip(reason)
