"""Secrets of the ``local`` stage: files in ``data_dir``, made at first start, mode 0600, never in git.

On AWS pepper and audit key live in Secrets Manager and the signing key in KMS; nothing here runs there.
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
    """Return the content of ``path``. Write what ``make`` returns, readable by its owner alone, if there is no file.

    Several functions start at once, each in a process or container of its own. The content is written to a private
    file first and then linked to its name, which fails if another starter was faster. So every starter returns the
    same content, and none reads half a key.

    Raises:
        Misconfigured: as for ``read_private``, or ``path`` is a link to nothing.
        ServiceUnavailable: it cannot be written.

    """
    with suppress(FileNotFoundError):
        return read_private(path)
    with _draft(path, make()) as draft, suppress(FileExistsError):  # the faster starter's content is the one
        os.link(draft, path)
    try:
        return read_private(path)
    except FileNotFoundError:
        message = f"{path}: must be a file with mode 0600, and is a link to a file that does not exist"
        raise Misconfigured(message) from None


def read_private(path: Path) -> bytes:
    """Return the content of ``path``, and take every permission on it away from other users of this machine.

    A copy, such as a restored backup, often has other permissions than the file that this service has made.

    Raises:
        FileNotFoundError: there is no such file.
        Misconfigured: it cannot be read, or its permissions cannot be changed (ASVS 5.0 13.3.2).

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
    """Write ``path`` so that every reader sees the old content or the new one, never a part.

    Raises:
        ServiceUnavailable: it cannot be written, and is as it was.

    """
    with _draft(path, content) as draft:
        draft.replace(path)


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """Write ``content`` to a private file beside ``path``, of which nothing is left when the block is through."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    except OSError as error:
        # A disk that is full, or read only: the state of the machine and no bug, and it can change.
        raise ServiceUnavailable from error
    finally:
        with suppress(OSError):  # it was never made, or has its final name
            draft.unlink()
