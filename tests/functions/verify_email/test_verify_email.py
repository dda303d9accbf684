"""POST /email/verify and /email/verification: what users of genuine clients notice."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from sqlalchemy import update

from auth_common.database.tables import mail_tokens, users
from tests.support.databases import start_fresh_environment
from tests.support.events import json_event
from tests.support.factories import EMAIL, PASSWORD, get_user, log_in, log_out, refresh, register, registration, sign_up
from tests.support.functions import call
from tests.support.mail_links import is_verified, newest_mail, queued_mails, request_verification, verify_email

pytestmark = [pytest.mark.accounts]


def test_registration_sends_a_link_and_a_code(database):
    assert register().json["email_verified"] is False
    (mail,) = queued_mails(database)
    assert (mail.kind, mail.recipient) == ("verify_email", EMAIL)
    assert len(mail.token) == 46
    assert len(mail.code) == 9


@pytest.mark.aurora_dsql
def test_link_with_the_password_verifies_the_address(database, log_lines):
    person = sign_up()
    assert verify_email(token=newest_mail(database, EMAIL, "verify_email").token, password=PASSWORD).status == 204
    assert get_user(person.id, token=person.access_token).json["email_verified"] is True
    assert ("user_email_verified", "by_mail") in [
        (event["name"], event.get("reason")) for event in log_lines.security_events
    ]


@pytest.mark.sqlite
def test_link_with_an_access_token_verifies_the_address(database, person):
    token = newest_mail(database, EMAIL, "verify_email").token
    assert verify_email(token=token, access_token=person.access_token).status == 204
    assert is_verified(database)


@pytest.mark.parametrize("spell", [str, str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
def test_code_in_any_spelling_verifies_the_address(database, spell):
    register()
    code = newest_mail(database, EMAIL, "verify_email").code
    assert verify_email(email=EMAIL.upper(), code=spell(code), password=PASSWORD).status == 204
    assert is_verified(database)


@pytest.mark.sqlite
def test_letters_that_look_like_digits_are_read_as_digits(database, monkeypatch):
    monkeypatch.setattr("secrets.choice", lambda _: "1")
    register()
    assert verify_email(email=EMAIL, code="ilIL-1111", password=PASSWORD).status == 204


@pytest.mark.sqlite
def test_verification_changes_no_session_and_ends_the_other_links(database, person):
    assert request_verification().status == 202
    first, second = (mail.token for mail in queued_mails(database, EMAIL))
    assert verify_email(token=first, password=PASSWORD).status == 204
    assert verify_email(token=second, password=PASSWORD).code == "invalid_or_expired_code"
    assert verify_email(token=first, password=PASSWORD).code == "invalid_or_expired_code"
    assert get_user(person.id, token=person.access_token).status == 200
    assert refresh(person.refresh_token).status == 200
    assert database.count(mail_tokens) == 0


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"password": PASSWORD},
        {"token": "mt_x"},
        {"email": EMAIL, "password": PASSWORD},
        {"code": "0000-0000", "password": PASSWORD},
        {"token": "mt_x", "email": EMAIL, "code": "0000-0000", "password": PASSWORD},
        {"token": "mt_x", "code": "0000-0000", "password": PASSWORD},
        {"token": "mt_x" * 100, "password": PASSWORD},
    ],
    ids=str,
)
def test_request_without_exactly_one_proof_and_an_account_proof_is_rejected(database, body):
    assert verify_email(**body).status == 422


@pytest.mark.sqlite
def test_invalid_access_token_is_rejected_with_401(database, person):
    token = newest_mail(database, EMAIL, "verify_email").token
    for access_token in ("", "x", person.access_token[:-10]):
        response = verify_email(token=token, access_token=access_token)
        assert (response.status, response.code) == (401, "invalid_token")
    assert not is_verified(database)


@pytest.mark.sqlite
def test_access_token_of_a_revoked_session_verifies_nothing(database, person):
    log_out(person.access_token)
    token = newest_mail(database, EMAIL, "verify_email").token
    assert verify_email(token=token, access_token=person.access_token).code == "invalid_token"
    assert not is_verified(database)


@pytest.mark.sqlite
def test_profile_claims_contain_only_a_verified_address(database, monkeypatch):
    monkeypatch.setenv("TOKEN_PROFILE_CLAIMS", "true")
    start_fresh_environment()

    def claims():
        return jwt.decode(log_in().json["access_token"], options={"verify_signature": False})

    register()
    before = claims()
    assert (before["email_verified"], "email" in before) == (False, False)
    verify_email(token=newest_mail(database, EMAIL, "verify_email").token, password=PASSWORD)
    assert (claims()["email_verified"], claims()["email"]) == (True, EMAIL)


@pytest.mark.sqlite
def test_without_mail_the_routes_return_503_and_registration_works(database, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    assert register().status == 201
    assert log_in().status == 200
    assert queued_mails(database) == []
    assert database.count(mail_tokens) == 0
    for response in (
        request_verification(),
        verify_email(token="mt_x", password=PASSWORD),
        verify_email(email=EMAIL, code="0000-0000", password=PASSWORD),
        register(email="other@example.com", address_token="mt_x"),
    ):
        assert (response.status, response.code) == (503, "mail_not_configured")


@pytest.mark.sqlite
@pytest.mark.asvs("6.4.1")
def test_link_expires_after_a_day_and_code_after_ten_minutes(database):
    register()
    mail = newest_mail(database, EMAIL, "verify_email")
    ((expires_at, code_expires_at),) = database.execute(
        mail_tokens.select().with_only_columns(mail_tokens.c.expires_at, mail_tokens.c.code_expires_at)
    )
    assert timedelta(hours=23) < expires_at - datetime.now(UTC) <= timedelta(hours=24)
    assert timedelta(minutes=9) < code_expires_at - datetime.now(UTC) <= timedelta(minutes=10)
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(mail_tokens).values(code_expires_at=past))
    assert verify_email(email=EMAIL, code=mail.code, password=PASSWORD).code == "invalid_or_expired_code"
    database.execute(update(mail_tokens).values(expires_at=past))
    assert verify_email(token=mail.token, password=PASSWORD).code == "invalid_or_expired_code"
    assert not is_verified(database)


@pytest.mark.parametrize(
    ("accept_language", "locale"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("fr, de;q=0.8, en;q=0.9", "en"),
        ("fr", "en"),
        ("", "en"),
        ("de;q=x, \x00, ,;;q=1,*", "en"),
        ("de," * 2_000, "de"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.sqlite
def test_registration_stores_the_preferred_language_of_mails(database, accept_language, locale):
    headers = {"Accept-Language": accept_language}
    assert call("register", json_event("POST", "/users", registration(), headers=headers)).status == 201
    assert database.execute(users.select().with_only_columns(users.c.locale)) == [(locale,)]
