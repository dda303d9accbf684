"""Mails that the functions have queued, opened with the service's keys, and requests with their links and codes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from auth_common.database.tables import audit_salts, mails, throttles, users
from auth_common.keys.keyed_hashes import throttle_key
from auth_common.mail.sealing import open_mail
from tests.support import leaks
from tests.support.databases import Database
from tests.support.events import json_event
from tests.support.factories import EMAIL, NEW_PASSWORD, PASSWORD, Account, call_as
from tests.support.functions import Response, call


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A queued mail."""

    kind: str
    recipient: str
    #: The values of the texts' variables.
    token: str
    code: str
    #: The token of the link "this was not me".
    undo_token: str
    #: All of them.
    variables: Mapping[str, str]


def queued_mails(database: Database, recipient: str | None = None) -> list[Mail]:
    """Return the queued mails to ``recipient``, or all of them, the oldest first. Decoys are left out."""
    salts = {row.user_id: row.salt for row in database.execute(select(audit_salts))}
    found = []
    for row in database.execute(select(mails).where(mails.c.sealed.is_not(None)).order_by(mails.c.created_at)):
        content = open_mail(row.sealed, mail_id=row.id, salt=salts.get(row.user_id))
        if content and content.recipient and recipient in {None, content.recipient}:
            secrets = {name: content.variables.get(name, "") for name in ("token", "code", "undo_token")}
            leaks.remember(*secrets.values())
            found.append(Mail(kind=row.kind, recipient=content.recipient, variables=content.variables, **secrets))
    return found


def newest_mail(database: Database, recipient: str, kind: str) -> Mail:
    """Return the newest queued mail of a kind to ``recipient``."""
    return [mail for mail in queued_mails(database, recipient) if mail.kind == kind][-1]


def verify_email(
    *, access_token: str | None = None, identity: Mapping[str, str] | None = None, **body: str
) -> Response:
    """Send ``POST /email/verify``, with an access token if it is given. ``identity`` changes the request's identity."""
    headers = {"Authorization": f"Bearer {access_token}"} if access_token is not None else {}
    return call("verify_email", json_event("POST", "/email/verify", body, headers=headers, **(identity or {})))


def request_verification(email: str = EMAIL, **identity: str) -> Response:
    """Ask for another verification mail."""
    return call("verify_email", json_event("POST", "/email/verification", {"email": email}, **identity))


def request_email_change(
    account: Account, new_email: str, *, user_id: str | None = None, token: str | None = None, **options: Any
) -> Response:
    """Ask to change the address of ``account``, with ``token`` or the access token of its first session."""
    user_id = user_id or account.id
    body = json.dumps({"new_email": new_email}).encode()
    path = f"/users/{user_id}/email"
    options = {"path_parameters": {"id": user_id}, "body": body, **options}
    return call_as(token or account.access_token, "verify_email", "PUT", path, **options)


def change_email(database: Database, account: Account, new_email: str) -> None:
    """Change the address of ``account``, whose password is the usual one."""
    assert request_email_change(account, new_email).status == 202
    token = newest_mail(database, new_email, "confirm_new_email").token
    response = verify_email(token=token, password=PASSWORD)
    assert response.status == 204, response.text


def is_verified(database: Database, email: str = EMAIL) -> bool:
    """Return whether the address of an account is verified."""
    ((verified_at,),) = database.execute(select(users.c.email_verified_at).where(users.c.email == email))
    return verified_at is not None


def end_mail_pause(database: Database, request: str, email: str = EMAIL) -> None:
    """End the five minutes in which no further mail of a kind is sent to an address."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    paused = throttles.c.key == throttle_key("mail_address", request, email)
    database.execute(update(throttles).where(paused).values(expires_at=past))


def request_reset(email: str = EMAIL, **identity: str) -> Response:
    """Ask for a link to reset the password."""
    return call("reset_password", json_event("POST", "/password/reset", {"email": email}, **identity))


def complete_reset(token: str, password: str = NEW_PASSWORD, **identity: str) -> Response:
    """Set a new password by the token of a link."""
    body = {"token": token, "new_password": password}
    return call("reset_password", json_event("POST", "/password/reset/complete", body, **identity))


def secure_account(token: str, **identity: str) -> Response:
    """Say "this was not me" by the token of a notice."""
    return call("secure_account", json_event("POST", "/account/secure", {"token": token}, **identity))
