"""Secrets of the ``local`` stage: files in ``data_dir``, made at first start, mode 0600, never in git.

On AWS pepper and audit key live in Secrets Manager and the signing key in KMS; nothing here runs there.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the content of ``path``; where there is none, write what ``make`` returns, readable by its owner alone.

    Several functions start at once, each in a process or container of its own. The content is written to a private
    file first and then linked to its name, which fails if somebody was faster: every starter ends up with one content,
    and nobody ever reads half a key.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another starter won; its content counts
            os.link(draft, path)
    finally:
        draft.unlink()
    return path.read_bytes()
