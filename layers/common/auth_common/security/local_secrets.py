"""Secrets of the ``local`` stage: files in ``data_dir``, made at first start, mode 0600, never in git.

On AWS pepper and audit key live in Secrets Manager and the signing key in KMS; nothing here runs there.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from auth_common.errors import ServiceUnavailable


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the content of ``path``; where there is none, write what ``make`` returns, readable by its owner alone.

    Several functions start at once, each in a process or container of its own. The content is written to a private
    file first and then linked to its name, which fails if somebody was faster: every starter ends up with one content,
    and nobody ever reads half a key.

    Raises:
        ServiceUnavailable: it cannot be written.

    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with _draft(path, make()) as draft, suppress(FileExistsError):  # another starter won; its content counts
        os.link(draft, path)
    return path.read_bytes()


def replace(path: Path, content: bytes) -> None:
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
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    except OSError as error:
        # A disk that is full, or read only: the state of the machine and no bug, and it can change.
        raise ServiceUnavailable from error
    finally:
        draft.unlink(missing_ok=True)
