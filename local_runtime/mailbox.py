"""``/mail.html``: the mails that the functions have written as ``.eml`` files, for a developer without a mail server.

Mails contain links and codes that change accounts, so only this machine may read them. A proxy on this machine can make
a request from elsewhere look like one from here. So a request also needs the key in a file of the data folder, which
only the developer can read. The routes are not in the template, so no deployment has them.
"""

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import escape
from ipaddress import ip_address
from pathlib import Path
from string import Template
from typing import Any, Final, Self
from urllib.parse import urlencode

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from local_runtime.hosts import is_own_host

PAGE_PATH: Final = "/mail.html"
JSON_PATH: Final = "/mail.json"
PATHS: Final = frozenset({PAGE_PATH, JSON_PATH})

#: The newest mails that the page and the document list.
_MAX_MAILS: Final = 50
_LINK: Final = re.compile(r"(https?://[^\s<>\"]+)")
#: A line that is a code for a user to type.
_CODE_LINE: Final = re.compile(r"^[0-9A-Z][0-9A-Z-]{4,14}[0-9A-Z]$", re.MULTILINE)
#: What proxies and tunnels add to a request. Such a request comes from another machine.
_ADDED_BY_PROXIES: Final = re.compile(r"forwarded|via|x-forwarded-.*|x-real-ip")
_KEY_FILE: Final = "mailbox-key"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: The HTML of a mail has no scripts, no forms and no images, and an origin of its own. Its links open new tabs.
_MAIL_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'"
)
_NO_KEY: Final = "Open the URL of the mailbox that the runtime has printed at its start.\n"
_PAGE: Final = Template((Path(__file__).parent / "mailbox.html").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What the page shows of a mail."""

    id: str
    time: datetime | None
    sender: str
    recipient: str
    subject: str
    text: str
    html: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the mail in a file.

        Raises:
            OSError: The file cannot be read.

        """
        message = message_from_bytes(file.read_bytes(), _class=EmailMessage, policy=default)
        date = message["Date"]
        return cls(
            id=file.stem,
            time=date.datetime if date else None,
            sender=str(message["From"] or ""),
            recipient=str(message["To"] or ""),
            subject=str(message["Subject"] or ""),
            text=_body(message, "plain"),
            html=_body(message, "html"),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the mail for a program, with the links and codes of its text."""
        return {
            "id": self.id,
            "time": self.time.isoformat() if self.time else None,
            "from": self.sender,
            "to": self.recipient,
            "subject": self.subject,
            "text": self.text,
            "links": _LINK.findall(self.text),
            "codes": _CODE_LINE.findall(self.text),
        }


def read_key(data_dir: Path) -> str:
    """Return the key of the mailbox, and create it at the first start. It stays the same, so a bookmark stays valid.

    Raises:
        OSError: The file cannot be read or written.

    """
    file = data_dir / _KEY_FILE
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_urlsafe(16))
    return file.read_text()


def is_for_mailbox(scope: Scope) -> bool:
    """Return whether a request is for one of ``PATHS``, from this machine and without a proxy or tunnel."""
    headers = Headers(scope=scope)
    return (
        scope["path"] in PATHS
        and is_own_host(headers.getlist("host"))
        and ip_address(scope["client"][0]).is_loopback
        and not any(map(_ADDED_BY_PROXIES.fullmatch, headers.keys()))
    )


class MailboxPage:
    """An ASGI application that serves ``PATHS`` to requests that ``is_for_mailbox`` accepts."""

    def __init__(self, folder: Path, *, key: str) -> None:
        """Store the folder of the mails, which may be missing, and the key that requests need."""
        self._folder = folder
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request, as ASGI requires."""
        response = self._respond(Request(scope))
        response.headers.update(_HEADERS)
        await response(scope, receive, send)

    def _respond(self, request: Request) -> Response:
        if request.method != "GET":
            return PlainTextResponse("Send a GET request.\n", 405, {"Allow": "GET"})
        query = request.query_params
        if not secrets.compare_digest(query.get("key", "").encode(), self._key.encode()):
            return PlainTextResponse(_NO_KEY, 403)
        mails = [mail for mail in self._mails() if query.get("to", mail.recipient) == mail.recipient]
        if request.url.path == JSON_PATH:
            return JSONResponse({"items": [mail.as_json() for mail in mails]})
        chosen = next((mail for mail in mails if mail.id == query.get("id")), None)
        if "part" in query:
            html = chosen.html if chosen else ""
            framed = html.replace("<head>", '<head><base target="_blank">', 1)
            return HTMLResponse(framed, headers={"Content-Security-Policy": _MAIL_POLICY})
        items = "".join(self._item(mail, is_chosen=mail is chosen) for mail in mails)
        page = _PAGE.substitute(
            reload=self._url(),
            items=items or "<li>There is no mail yet.</li>",
            mail=_article(chosen, frame=self._url(id=chosen.id, part="html")) if chosen else "",
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})

    def _mails(self) -> Iterator[Mail]:
        """Yield the mails, the newest first."""
        for file in sorted(self._folder.glob("*.eml"), reverse=True)[:_MAX_MAILS]:
            with suppress(OSError):  # deleted meanwhile
                yield Mail.read(file)

    def _item(self, mail: Mail, *, is_chosen: bool) -> str:
        current = ' aria-current="true"' if is_chosen else ""
        link = f'<a href="{self._url(id=mail.id)}"{current}>{escape(mail.subject)}</a>'
        return f"<li>{link} {escape(mail.recipient)}, {_time(mail)}</li>"

    def _url(self, **query: str) -> str:
        return escape(f"{PAGE_PATH}?{urlencode({**query, 'key': self._key})}")


def _body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""


def _time(mail: Mail) -> str:
    return mail.time.strftime("%H:%M:%S") if mail.time else ""


def _article(mail: Mail, *, frame: str) -> str:
    facts: Mapping[str, str] = {"From": mail.sender, "To": mail.recipient, "Date": str(mail.time or "")}
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    html = (
        f'<iframe title="The mail as HTML" sandbox="allow-popups allow-popups-to-escape-sandbox" '
        f'src="{frame}"></iframe>'
    )
    return (
        f'<article class="card"><h2>{escape(mail.subject)}</h2><dl>{rows}</dl>'
        f"<h3>Text</h3><pre>{_with_links(mail.text)}</pre><h3>HTML</h3>{html}</article>"
    )


def _with_links(text: str) -> str:
    # Every second part is a link.
    parts = (escape(part) for part in _LINK.split(text))
    return "".join(f'<a href="{part}">{part}</a>' if index % 2 else part for index, part in enumerate(parts))
