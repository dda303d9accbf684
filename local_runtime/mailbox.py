"""``/mail.html``: the mails that the functions have written as ``.eml`` files, for a developer without a mail server.

Mails contain links and codes that change accounts, so only this machine may read them. The routes are not in the
template, so no deployment has them.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import escape
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
_ADDED_BY_PROXIES: Final = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "via"})
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


def is_for_mailbox(scope: Scope) -> bool:
    """Return whether a request is for one of ``PATHS``, from this machine and without a proxy or tunnel."""
    headers = Headers(scope=scope)
    return (
        scope["path"] in PATHS and is_own_host(headers.getlist("host")) and _ADDED_BY_PROXIES.isdisjoint(headers.keys())
    )


class MailboxPage:
    """An ASGI application that serves ``PATHS`` to requests that ``is_for_mailbox`` accepts."""

    def __init__(self, folder: Path) -> None:
        """Store the folder of the mails, which may be missing."""
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request, as ASGI requires."""
        response = self._respond(Request(scope))
        response.headers.update(_HEADERS)
        await response(scope, receive, send)

    def _respond(self, request: Request) -> Response:
        if request.method != "GET":
            return PlainTextResponse("Send a GET request.\n", 405, {"Allow": "GET"})
        query = request.query_params
        mails = [mail for mail in self._mails() if query.get("to", mail.recipient) == mail.recipient]
        if request.url.path == JSON_PATH:
            return JSONResponse({"items": [mail.as_json() for mail in mails]})
        chosen = next((mail for mail in mails if mail.id == query.get("id")), None)
        if "part" in query:
            html = chosen.html if chosen else ""
            framed = html.replace("<head>", '<head><base target="_blank">', 1)
            return HTMLResponse(framed, headers={"Content-Security-Policy": _MAIL_POLICY})
        page = _PAGE.substitute(
            items="".join(_item(mail, is_chosen=mail is chosen) for mail in mails) or "<li>There is no mail yet.</li>",
            mail=_article(chosen) if chosen else "",
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})

    def _mails(self) -> Iterator[Mail]:
        """Yield the mails, the newest first."""
        for file in sorted(self._folder.glob("*.eml"), reverse=True)[:_MAX_MAILS]:
            with suppress(OSError):  # deleted meanwhile
                yield Mail.read(file)


def _body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""


def _url(**query: str) -> str:
    return escape(f"{PAGE_PATH}?{urlencode(query)}")


def _item(mail: Mail, *, is_chosen: bool) -> str:
    current = ' aria-current="true"' if is_chosen else ""
    link = f'<a href="{_url(id=mail.id)}"{current}>{escape(mail.subject)}</a>'
    return f"<li>{link} {escape(mail.recipient)}, {_time(mail)}</li>"


def _time(mail: Mail) -> str:
    return mail.time.strftime("%H:%M:%S") if mail.time else ""


def _article(mail: Mail) -> str:
    facts: Mapping[str, str] = {"From": mail.sender, "To": mail.recipient, "Date": str(mail.time or "")}
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    frame = (
        f'<iframe title="The mail as HTML" sandbox="allow-popups allow-popups-to-escape-sandbox" '
        f'src="{_url(id=mail.id, part="html")}"></iframe>'
    )
    return (
        f'<article class="card"><h2>{escape(mail.subject)}</h2><dl>{rows}</dl>'
        f"<h3>Text</h3><pre>{_with_links(mail.text)}</pre><h3>HTML</h3>{frame}</article>"
    )


def _with_links(text: str) -> str:
    # Every second part is a link.
    parts = (escape(part) for part in _LINK.split(text))
    return "".join(f'<a href="{part}">{part}</a>' if index % 2 else part for index, part in enumerate(parts))
