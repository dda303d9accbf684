"""Reloading: a change of the code or of the template counts at the next request."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from watchfiles import Change, DefaultFilter, awatch

_log = logging.getLogger(__name__)

_FOLDERS: Final = ("functions", "layers")


async def watch(template: Path, on_change: Callable[[], None]) -> None:
    """Call ``on_change`` after each change of the template or of the folders functions/ and layers/ beside it."""
    folders = [folder for name in _FOLDERS if (folder := template.parent / name).is_dir()]
    async with asyncio.TaskGroup() as watchers:
        if folders:
            watchers.create_task(_watch(folders, lambda _: True, on_change, recursive=True))
        # The folder and not the file: editors replace a file, and the watch would stay with the old one.
        watchers.create_task(_watch([template.parent], lambda path: path == template, on_change, recursive=False))


async def _watch(
    paths: Iterable[Path], matters: Callable[[Path], bool], on_change: Callable[[], None], *, recursive: bool
) -> None:
    ignored = DefaultFilter()  # bytecode, editors' temporary files

    def is_relevant(change: Change, path: str) -> bool:
        return ignored(change, path) and matters(Path(path))

    try:
        # Until the task is cancelled.
        async for _ in awatch(*paths, watch_filter=is_relevant, recursive=recursive):  # pragma: no branch
            on_change()
    except OSError as error:  # the system's limit on watches: serving goes on
        _log.warning("changes are not noticed: %s", error)
