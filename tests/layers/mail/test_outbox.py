"""The outbox: what a queued mail stores, and what an attacker who has the database can read of it."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from auth_common.database.tables import audit_salts, mails
from auth_common.errors import MailNotConfigured
from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.outbox import DECOY, queue_mail, require_mail
from auth_common.mail.sealing import MailContent, open_mail, seal_mail
from auth_common.transactions import transaction
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, erase, sign_up

pytestmark = pytest.mark.mail

CONTENT = MailContent(recipient=EMAIL, locale="de", variables={"token": "the-token", "code": "K7MX-2PQR"})


def queue(user_id=None, kind=MailKind.VERIFY_EMAIL, recipient=EMAIL, **variables):
    used = variables or CONTENT.variables
    transaction(
        lambda connection: queue_mail(
            connection, kind, recipient=recipient, user_id=user_id, locale="de", variables=used
        )
    )


def salt_of(database, user_id):
    ((salt,),) = database.execute(select(audit_salts.c.salt).where(audit_salts.c.user_id == user_id))
    return salt


@pytest.mark.aurora_dsql
@pytest.mark.threat("database-mail-content")
@pytest.mark.parametrize("has_account", [True, False])
def test_queued_mail_is_stored_encrypted_until_its_lifetime(database, has_account):
    user_id = UUID(sign_up().id) if has_account else None
    database.execute(mails.delete())  # the mail of the registration
    queue(user_id)
    (row,) = database.execute(select(mails))
    assert (row.kind, row.user_id, row.state, row.attempts) == ("verify_email", user_id, "queued", 0)
    assert row.expires_at - row.created_at == MAIL_RULES[MailKind.VERIFY_EMAIL].lifetime
    assert not any(secret in row.sealed for secret in (EMAIL.encode(), b"the-token", b"K7MX-2PQR"))
    salt = salt_of(database, user_id) if user_id else None
    assert open_mail(row.sealed, mail_id=row.id, salt=salt) == CONTENT


@pytest.mark.usefixtures("environment")
def test_sealed_mail_opens_only_as_itself_under_its_own_key():
    mail_id, salt = uuid4(), b"s" * 32
    sealed = seal_mail(CONTENT, mail_id=mail_id, salt=salt)
    assert open_mail(sealed, mail_id=mail_id, salt=salt) == CONTENT
    assert open_mail(sealed, mail_id=uuid4(), salt=salt) is None
    assert open_mail(sealed, mail_id=mail_id, salt=b"t" * 32) is None
    assert open_mail(sealed, mail_id=mail_id, salt=None) is None
    for tampered in (b"", sealed[:11], sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        assert open_mail(tampered, mail_id=mail_id, salt=salt) is None


@pytest.mark.sqlite
@pytest.mark.usefixtures("database")
def test_two_mails_of_the_same_content_look_different():
    mail_id = uuid4()
    assert seal_mail(CONTENT, mail_id=mail_id, salt=None) != seal_mail(CONTENT, mail_id=mail_id, salt=None)


@pytest.mark.sqlite
def test_decoy_is_stored_like_a_mail(database):
    queue(recipient=DECOY)
    (row,) = database.execute(select(mails))
    assert open_mail(row.sealed, mail_id=row.id, salt=None) == replace(CONTENT, recipient="")


@pytest.mark.sqlite
def test_mail_is_rolled_back_with_its_change(database):
    def fail(connection):
        queue_mail(
            connection,
            MailKind.VERIFY_EMAIL,
            recipient=EMAIL,
            user_id=None,
            locale="en",
            variables=CONTENT.variables,
        )
        raise LookupError

    with pytest.raises(LookupError):
        transaction(fail)
    assert database.count(mails) == 0


@pytest.mark.sqlite
def test_mail_to_a_user_who_was_erased_meanwhile_is_not_stored(database):
    user_id = UUID(sign_up().id)
    erase()
    queue(user_id)
    assert database.count(mails) == 0


def test_without_a_transport_nothing_is_queued(database, monkeypatch):
    require_mail()
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    queue()
    assert database.count(mails) == 0
    with pytest.raises(MailNotConfigured):
        require_mail()


@pytest.mark.parametrize("variables", [{"token": "t"}, {"token": "t", "code": "c", "name": "n"}])
@pytest.mark.sqlite
@pytest.mark.usefixtures("database")
def test_mail_with_other_variables_than_its_kind_is_a_bug(variables):
    with pytest.raises(ValueError, match="token"):
        queue(**variables)


def test_each_kind_has_rules():
    assert set(MAIL_RULES) == set(MailKind)
