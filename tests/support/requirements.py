"""What a test needs besides Python: where it is missing, the test is skipped, and in CI it fails."""

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test with ``reason`` unless ``condition`` holds; under REQUIRE_ALL_TESTS=1 (CI) fail it instead."""
    if condition:
        return
    if os.environ.get("REQUIRE_ALL_TESTS") == "1":
        pytest.fail(f"{reason} (REQUIRE_ALL_TESTS=1 forbids skipping)", pytrace=False)
    pytest.skip(reason)
