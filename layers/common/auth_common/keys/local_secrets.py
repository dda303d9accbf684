"""Secrets of the ``local`` stage: files in ``data_dir`` with mode 0600, created at the first start and never in git.

This module does not run on AWS, where pepper and audit key are in Secrets Manager and the signing key is in KMS.
"""

import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from auth_common.errors import Misconfigured, ServiceUnavailable

_log = logging.getLogger(__name__)

_OWNER_ONLY_MODE: Final = 0o600


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the content of ``path``. If there is no file, create one with mode 0600 and the return value of ``make``.

    Several functions start concurrently, each in its own process or container. Each writes a draft file first and then
    links it to ``path``, which fails if another process was faster. So all processes return the same content, and none
    reads an incomplete file.

    Raises:
        Misconfigured: as for ``read_private``, or ``path`` is a link to a file that does not exist.
        ServiceUnavailable: the file cannot be written.

    """
    with suppress(FileNotFoundError):
        return read_private(path)
    # If another process was faster, its content is returned.
    with _draft(path, make()) as draft, suppress(FileExistsError):
        os.link(draft, path)
    try:
        return read_private(path)
    except FileNotFoundError:
        message = f"{path}: must be a file with mode 0600, but is a link to a file that does not exist"
        raise Misconfigured(message) from None


def read_private(path: Path) -> bytes:
    """Return the content of ``path``. If other users of this machine have permissions on the file, remove them.

    A copy, such as a restored backup, often has more permissions than the file that this service has created.

    Raises:
        FileNotFoundError: there is no such file.
        Misconfigured: the file cannot be read, or its permissions cannot be changed (ASVS 5.0 13.3.2).

    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                os.fchmod(file.fileno(), _OWNER_ONLY_MODE)
                _log.warning("%s had mode %04o and has 0600 now: other users may have read this secret", path, mode)
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"{path}: must be a file with mode 0600 that belongs to the service's user: {error.strerror}"
        raise Misconfigured(message) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the content of ``path`` in one step: every reader sees the complete old content or the complete new one.

    Raises:
        ServiceUnavailable: the file cannot be written. It is unchanged.

    """
    with _draft(path, content) as draft:
        draft.replace(path)


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """Write ``content`` to a private file in the same folder, yield its path, and delete the file after the block."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    except OSError as error:
        # A full or read-only disk is a temporary state of the machine and not a bug.
        raise ServiceUnavailable from error
    finally:
        # The file does not exist if its creation failed, or if it was renamed to its final name.
        with suppress(OSError):
            draft.unlink()
