"""Find passwords, tokens, hashes and keys in the output of tests.

Code that issues a secret in a test (``functions.call``, the factories, the ``database`` fixture) passes it to
``remember``. After each test, its whole output is searched for these secrets: the output of the functions, of libraries
and of child processes. A secret in it fails the test (``pytest_runtest_makereport`` in tests/conftest.py).
"""

import base64
import json
from collections.abc import Iterable, Iterator

#: Shorter texts occur in any log by chance.
_MIN_LENGTH = 8

_PASSWORDS = {"password", "current_password", "new_password"}
_TOKENS = {"access_token", "refresh_token", "mfa_token", "step_up_token", "address_token"}
_SECRETS = {*_PASSWORDS, *_TOKENS, "client_secret"}
_remembered: set[str] = set()


def remember(*secrets: str | bytes) -> None:
    """Search the output of the current test for ``secrets``."""
    for secret in secrets:
        if len(secret) >= _MIN_LENGTH:
            _remembered.update(_spellings(secret))


def forget() -> None:
    """Forget all secrets, at the end of a test."""
    _remembered.clear()


def lines_with_secrets(output: str) -> list[str]:
    """Return the lines of ``output`` that contain a remembered secret, in plain, JSON, ``repr``, hex or base64 form."""
    # One search of the whole output takes less time than a search of each line.
    found = [secret for secret in _remembered if secret in output]
    return [line for line in output.splitlines() if any(secret in line for secret in found)] if found else []


def secrets_in(document: object) -> Iterator[str]:
    """Yield the secrets in the body of a request or a response: each value whose field is named like a secret."""
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
