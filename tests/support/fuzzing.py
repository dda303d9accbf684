"""The number of examples that a test with generated input tries."""

from typing import Any

from hypothesis import settings


def scaled(number: int) -> int:
    """Return ``number``, multiplied if the hypothesis profile is ``long``."""
    return number * settings().max_examples // settings.get_profile("repeatable").max_examples


def examples(number: int, **changes: Any) -> settings:
    """Return hypothesis settings for ``number`` examples, or for more in the profile ``long``."""
    return settings(max_examples=scaled(number), **changes)
