"""How long a test looks for counterexamples."""

from typing import Any

from hypothesis import settings


def scaled(number: int) -> int:
    """Return ``number`` of examples, or in the profile ``long`` so many times more."""
    return number * settings().max_examples // settings.get_profile("repeatable").max_examples


def examples(number: int, **changes: Any) -> settings:
    """Return the settings of a test that tries so many examples."""
    return settings(max_examples=scaled(number), **changes)
