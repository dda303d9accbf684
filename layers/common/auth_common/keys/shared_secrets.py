"""Secrets that all environments share: in Secrets Manager on deployed stages, in files on the ``local`` stage.

They are not in environment variables, because every AWS user who may view a function's configuration could read them.
Each function may read only the secrets that it uses (template.yaml).
"""

import secrets
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from auth_common.aws_calls import call_aws
from auth_common.errors import Misconfigured
from auth_common.keys.local_secrets import read_or_create, read_private
from auth_common.settings import settings

#: 256 bits if the secret is random bytes. Secrets Manager makes longer secrets, because they are letters and digits.
_MIN_BYTES: Final = 32
_PEPPER_FILE: Final = "pepper"
_AUDIT_KEY_FILE: Final = "audit-key"
_FILES: Final = (_PEPPER_FILE, _AUDIT_KEY_FILE)


@lru_cache(maxsize=1)
def pepper() -> bytes:
    """Return the HMAC key of password hashing (``passwords.hashing``).

    Raises:
        Misconfigured: a deployed stage has no ``PEPPER_SECRET_ARN``, or the secret is too short or cannot be read.
        ServiceUnavailable: Secrets Manager throttles or rejects the call, or is unavailable.
        StorageNotMounted: the ``local`` stage has no storage.

    """
    return _shared_secret(settings().pepper_secret_arn, setting="PEPPER_SECRET_ARN", file=_PEPPER_FILE)


@lru_cache(maxsize=1)
def audit_key() -> bytes:
    """Return the secret from which the keys of ``keyed_hashes`` and of the audit log are derived.

    Raises:
        Misconfigured, ServiceUnavailable, StorageNotMounted: as for ``pepper``.

    """
    return _shared_secret(settings().audit_key_secret_arn, setting="AUDIT_KEY_SECRET_ARN", file=_AUDIT_KEY_FILE)


def check_secret_files(folder: Path) -> None:
    """Check the secrets that are files in ``folder``. A missing file is accepted, because its first use creates it.

    Raises:
        Misconfigured: a secret is too short or cannot be read.

    """
    for name in _FILES:
        with suppress(FileNotFoundError):
            _require_length(folder / name, read_private(folder / name))


def secret_text(arn: str, *, setting: str) -> str:
    """Return the text of a secret in Secrets Manager.

    Args:
        arn: the ARN of the secret.
        setting: the name of the setting that contains ``arn``, for the error text.

    Raises:
        Misconfigured: the secret is binary data.
        ServiceUnavailable: as for ``pepper``.

    """
    text = call_aws("secretsmanager", "get_secret_value", SecretId=arn).get("SecretString")
    if not isinstance(text, str):
        message = f"{setting}: the secret must be text, not binary data"
        raise Misconfigured(message)
    return text


def _shared_secret(arn: str | None, *, setting: str, file: str) -> bytes:
    if arn is not None:
        value = secret_text(arn, setting=setting).encode()
        if len(value) < _MIN_BYTES:
            message = f"{setting}: the secret must have at least {_MIN_BYTES} bytes"
            raise Misconfigured(message)
        return value
    if settings().stage != "local":
        message = f"{setting}: a deployed stage needs the ARN of a secret in Secrets Manager"
        raise Misconfigured(message)
    path = settings().storage() / file
    return _require_length(path, read_or_create(path, lambda: secrets.token_bytes(_MIN_BYTES)))


def _require_length(path: Path, value: bytes) -> bytes:
    if len(value) < _MIN_BYTES:
        message = (
            f"{path}: must have at least {_MIN_BYTES} bytes and has {len(value)}. Restore the file from a backup: "
            "values made with another secret cannot be verified. Delete the file only if there are no accounts yet"
        )
        raise Misconfigured(message)
    return value
