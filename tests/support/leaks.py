"""A watch over everything that the suite writes: no password, token, hash or key may be in it.

Whoever issues a secret in a test (``functions.call``, the factories, the ``database`` fixture) gives it to
``remember``. When a test is over, its whole output is searched, that of the functions, of libraries and of child
processes alike, and a finding fails the test (``pytest_runtest_makereport`` in tests/conftest.py).
"""

import base64
import json
from collections.abc import Iterable, Iterator

#: A shorter text is found in any log by chance.
_SHORTEST = 8

_PASSWORDS = {"password", "current_password", "new_password"}
_SECRETS = {*_PASSWORDS, "access_token", "refresh_token", "mfa_token", "step_up_token"}
_remembered: set[str] = set()


def remember(*secrets: str | bytes) -> None:
    """Watch for ``secrets`` until the running test is over."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            _remembered.update(_spellings(secret))


def forget() -> None:
    """Watch for nothing any more."""
    _remembered.clear()


def leaks(output: str) -> list[str]:
    """Return the lines of ``output`` that hold a remembered secret, in any spelling that a log may give it."""
    return [line for line in output.splitlines() if any(secret in line for secret in _remembered)]


def secrets_in(document: object) -> Iterator[str]:
    """Yield the secrets in a request or an answer: whatever stands under a secret's name, at any depth."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name in _SECRETS and isinstance(value, str):
                yield value
            else:
                yield from secrets_in(value)
    elif isinstance(document, list):
        for item in document:
            yield from secrets_in(item)


def _spellings(secret: str | bytes) -> Iterable[str]:
    if isinstance(secret, bytes):
        return {
            secret.hex(),
            base64.b64encode(secret).decode().rstrip("="),
            base64.urlsafe_b64encode(secret).decode().rstrip("="),
            repr(secret)[2:-1],
        }
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
