"""The links in mails. They lead to pages of ``PAGES_URL``, and never to the ``Host`` that a client sent.

A token is in the fragment, which browsers do not send to a server. A page posts the token after a click, because mail
scanners open links.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from auth_common.mail.kinds import MailKind
from auth_common.settings import settings

#: The page to which the link of a kind leads. Empty: the first page, where users log in.
_PAGES: Final = {
    MailKind.VERIFY_EMAIL: "verify-email.html",
    MailKind.ADDRESS_TAKEN: "",
    MailKind.REGISTER_AGAIN: "register-again.html",
    MailKind.RESET_PASSWORD: "reset-password.html",
    MailKind.CONFIRM_NEW_EMAIL: "confirm-email.html",
    MailKind.ACCOUNT_SECURED: "reset-password.html",
}
#: The page for "this was not me".
_UNDO_PAGE: Final = "secure-account.html"


def link_variables(kind: MailKind, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a kind's texts: those of the mail, with links in place of its tokens.

    ``link`` is for what the user asked for, and ``undo_link`` for "this was not me". The latter is empty if there is
    nothing to undo.
    """
    linked = {name: value for name, value in variables.items() if name not in {"token", "undo_token"}}
    if kind in _PAGES:
        linked["link"] = _page_url(_PAGES[kind], variables.get("token", ""))
    if undo_token := variables.get("undo_token", ""):
        linked["undo_link"] = _page_url(_UNDO_PAGE, undo_token)
    elif "undo_token" in variables:
        linked["undo_link"] = ""
    return linked


def _page_url(page: str, token: str) -> str:
    url = settings().page(page)
    return f"{url}#token={quote(token, safe='')}" if token else url
