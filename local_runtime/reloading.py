"""Reloading: after a change of the code or the template, the next request uses the new version."""

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
        # Watch the folder, because an editor that replaces the file would end a watch of the file itself.
        watchers.create_task(_watch([template.parent], lambda path: path == template, on_change, recursive=False))


async def _watch(
    paths: Iterable[Path], is_watched: Callable[[Path], bool], on_change: Callable[[], None], *, recursive: bool
) -> None:
    # Excludes bytecode and editors' temporary files.
    default_filter = DefaultFilter()

    def is_relevant(change: Change, path: str) -> bool:
        return default_filter(change, path) and is_watched(Path(path))

    try:
        # Until the task is cancelled.
        async for _ in awatch(*paths, watch_filter=is_relevant, recursive=recursive):  # pragma: no branch
            on_change()
    except OSError as error:  # for example the system's limit on watches
        _log.warning("reloading does not work: %s", error)
