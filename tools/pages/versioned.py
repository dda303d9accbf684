"""The files of public/ as CloudFront serves them: the pages, and all other files in a folder named by their content.

Browsers may keep the files of that folder, because changed files are in another folder. A page names the folder, so
browsers ask for the page each time. Scripts import each other by relative paths, which stay right in the folder. So
public/ itself needs no build step.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

#: Media types by suffix. Browsers reject a script of another type, because of ``X-Content-Type-Options: nosniff``.
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
#: ``Cache-Control`` of files that never change under their name (RFC 8246), and of pages.
IMMUTABLE: Final = "public, max-age=31536000, immutable"
REVALIDATED: Final = "no-cache"
_REFERENCE: Final = re.compile(r'(?P<attribute>\b(?:href|src)=")(?P<path>[^"#?:]+)(?=["#?])')


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file and its header fields. ``key`` is its path without a slash at the beginning."""

    key: str
    content: bytes
    media_type: str
    cache_control: str


def versioned_files(folder: Path) -> list[PublishedFile]:
    """Return the files to publish, the pages last: a page that was published before the files it names would not work.

    Args:
        folder: the folder with the pages.

    Raises:
        ValueError: a file has a suffix without a media type, or a page is not in the folder itself.

    """
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)}
    pages = {name for name in contents if name.endswith(".html")}
    for name in contents:
        if Path(name).suffix not in MEDIA_TYPES:
            message = f"{name}: its suffix has no media type. Add one to MEDIA_TYPES in tools/pages/versioned.py"
            raise ValueError(message)
    if nested := [name for name in pages if "/" in name]:
        message = f"{', '.join(nested)}: a page must be in {folder} itself, because CloudFront knows each page's path"
        raise ValueError(message)
    assets = contents.keys() - pages
    place = f"assets/{_version({name: contents[name] for name in assets})}"

    def move(reference: re.Match[str]) -> str:
        is_asset = reference["path"] in assets
        return f"{reference['attribute']}{place}/{reference['path']}" if is_asset else reference[0]

    return [
        *(_published(f"{place}/{name}", contents[name], IMMUTABLE) for name in sorted(assets)),
        *(
            _published(name, _REFERENCE.sub(move, contents[name].decode()).encode(), REVALIDATED)
            for name in sorted(pages)
        ),
    ]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _version(contents: dict[str, bytes]) -> str:
    """Return 16 hexadecimal digits that change with each name and each byte."""
    digests = (f"{sha256(content).hexdigest()} {name}\n" for name, content in sorted(contents.items()))
    return sha256("".join(digests).encode()).hexdigest()[:16]


def _published(key: str, content: bytes, cache_control: str) -> PublishedFile:
    return PublishedFile(key, content, MEDIA_TYPES[Path(key).suffix], cache_control)
