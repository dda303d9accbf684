"""Notices that an attacker can cause again and again: logins from new clients, and lockouts. They are limited."""

from sqlalchemy import Connection

from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import DECOY, queue_mail
from auth_common.notices.account_notices import event_variables, queue_notice, receives_notices
from auth_common.settings import settings
from auth_common.throttling.mail_requests import count_new_login, may_send_lockout_notice
from auth_common.users.store import User


def queue_new_login_notice(connection: Connection, user: User) -> None:
    """Queue the notice of a login from a new client (``is_new_client``), at most one in an hour.

    A later notice says how many logins had none.
    """
    if receives_notices(user):
        further_logins = count_new_login(connection, user_id=user.id)
        if further_logins is not None:
            queue_notice(connection, MailKind.NEW_LOGIN, user=user, further_logins=str(further_logins))


def queue_lockout_notice(connection: Connection, *, email: str, user: User | None) -> None:
    """Queue the notice of a lockout, at most one in a day.

    An attacker can measure the round trips to the database. So an account that gets no notice, and an address without
    an account, cause the same statements, with a mail that is not sent.

    Args:
        connection: a transaction.
        email: the normalised address of the login.
        user: the account with this address. None if there is none.

    """
    if not settings().sends_mail():
        return
    if not may_send_lockout_notice(connection, email=email, user_id=user.id if user else None):
        return
    is_sent = user is not None and user.status == "active" and receives_notices(user)
    queue_mail(
        connection,
        MailKind.ACCOUNT_LOCKED,
        recipient=email if is_sent else DECOY,
        user_id=user.id if user else None,
        locale=user.locale if user else None,
        variables=event_variables(),
    )
