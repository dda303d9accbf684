"""EMAIL_VERIFICATION=required: no login before the address is verified, and no response that reveals an account."""

import pytest

from auth_common.accounts import administration as accounts
from auth_common.database.tables import users
from auth_common.throttling.limits import CODES_PER_DAY
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, NEW_PASSWORD, PASSWORD, get_health, get_user, log_in, register, sign_up
from tests.support.mail_links import end_mail_pause, newest_mail, queued_mails, request_verification, verify_email
from tests.support.outages import on_each_statement
from tests.support.races import send_burst
from tests.support.throttles import OTHER_CLIENT_IP, use_limits

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]

ACCEPTED = (202, {"status": "accepted"})


@pytest.fixture
def required(database, monkeypatch):
    monkeypatch.setenv("EMAIL_VERIFICATION", "required")
    start_fresh_environment()


def visible(response):
    headers = {name: text for name, text in response.headers.items() if name != "x-request-id"}
    return response.status, response.text, headers


@pytest.mark.usefixtures("required")
@pytest.mark.aurora_dsql
def test_user_logs_in_after_the_verification(database):
    response = register()
    assert (response.status, response.json) == ACCEPTED
    assert verify_email(token=newest_mail(database, EMAIL, "verify_email").token, password=PASSWORD).status == 204
    assert log_in().status == 200


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.usefixtures("required")
def test_login_of_an_unverified_account_looks_like_a_wrong_password(database, hash_costs, log_lines):
    register()
    hash_costs.clear()
    responses = [log_in(), log_in(password="wrong"), log_in("nobody@example.com")]
    problems = [{**response.json, "request_id": None} for response in responses]
    assert problems == problems[:1] * 3
    assert problems[0]["code"] == "invalid_credentials"
    assert hash_costs == [4, 4, 4]
    reasons = [event["reason"] for event in log_lines.security_events if event["name"] == "authn_login_fail"]
    assert reasons == ["email_not_verified", "wrong_password", "unknown_user"]


def test_account_from_before_the_switch_logs_in_and_is_not_verified(database, monkeypatch):
    person = sign_up()
    monkeypatch.setenv("EMAIL_VERIFICATION", "required")
    start_fresh_environment()
    pair = log_in()
    assert pair.status == 200
    assert get_user(person.id, token=pair.json["access_token"]).json["email_verified"] is False


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("setting", [("EMAIL_VERIFICATION", "required"), ("NEUTRAL_REGISTRATION", "true")], ids=str)
def test_new_and_taken_addresses_cause_the_same_response_and_work(database, monkeypatch, setting, hash_costs):
    """A client can measure each round trip to the database."""
    monkeypatch.setenv(*setting)
    start_fresh_environment()
    for name in ("verified", "disabled", "unverified"):
        register(email=f"{name}@example.com")
    accounts.mark_email_verified("verified@example.com")
    accounts.disable_user("disabled@example.com")
    get_health()
    seen = []
    for name in ("verified", "disabled", "unverified", "new"):
        hash_costs.clear()
        statements: list[str] = []
        with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
            response = register(email=f"{name}@example.com", password=NEW_PASSWORD)
        seen.append((visible(response), list(hash_costs), len(statements)))
    assert seen == seen[:1] * 4
    assert seen[0][0][0] == 202


@pytest.mark.usefixtures("required")
def test_user_of_a_taken_address_gets_a_mail_that_fits_the_account(database, monkeypatch):
    use_limits(monkeypatch, mail_per_source=100)
    for name in ("verified", "disabled", "unverified"):
        register(email=f"{name}@example.com")
    accounts.mark_email_verified("verified@example.com")
    accounts.disable_user("disabled@example.com")
    before = len(queued_mails(database))
    assert register(email="verified@example.com").status == 202
    assert len(queued_mails(database)) == before, "the new account has got a mail within five minutes"
    for name in ("verified", "disabled", "unverified"):
        end_mail_pause(database, "registration", f"{name}@example.com")
    for _ in range(2):  # the second one is within five minutes
        for name in ("verified", "disabled", "unverified"):
            assert register(email=f"{name}@example.com", password=NEW_PASSWORD).status == 202
    sent = [(mail.recipient, mail.kind) for mail in queued_mails(database)][before:]
    assert sent == [("verified@example.com", "address_taken"), ("unverified@example.com", "register_again")]
    end_mail_pause(database, "registration", "verified@example.com")
    register(email="verified@example.com")
    assert len(queued_mails(database)) == before + 3


@pytest.mark.usefixtures("required")
def test_enabled_account_must_still_be_verified(database):
    """An operator's command must not open an account that an attacker has registered with a victim's address."""
    register()
    accounts.disable_user(EMAIL)
    accounts.enable_user(EMAIL)
    assert log_in().status == 401
    accounts.mark_email_verified(EMAIL)
    assert log_in().status == 200


@pytest.mark.usefixtures("required")
def test_disabled_account_stays_disabled_when_marked_verified(database):
    register()
    accounts.disable_user(EMAIL)
    assert accounts.mark_email_verified(EMAIL).status == "disabled"
    assert log_in().status == 401
    accounts.enable_user(EMAIL)
    assert log_in().status == 200


def test_verified_account_is_enabled_under_required(database, monkeypatch):
    sign_up()
    accounts.mark_email_verified(EMAIL)
    monkeypatch.setenv("EMAIL_VERIFICATION", "required")
    start_fresh_environment()
    accounts.disable_user(EMAIL)
    accounts.enable_user(EMAIL)
    assert log_in().status == 200


def test_required_without_mail_is_rejected_at_start(database, monkeypatch, log_lines):
    monkeypatch.setenv("EMAIL_VERIFICATION", "required")
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    assert register().status == 503
    assert "EMAIL_VERIFICATION" in log_lines.text


@pytest.mark.usefixtures("required")
def test_lost_race_for_an_address_gets_the_same_response(database):
    assert send_burst(8, lambda _: register()) == {202: 8}
    assert database.count(users) == 1


def fill_code_counter(email):
    for _ in range(CODES_PER_DAY):
        assert send_wrong_code(email).status == 400


def send_wrong_code(email):
    return verify_email(email=email, code="0000-0000", password=PASSWORD)


def lock_login(email):
    while log_in_as_attacker(email).status == 401:
        pass


def log_in_as_attacker(email):
    return log_in(email, password="wrong", sourceIp=OTHER_CLIENT_IP)


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.usefixtures("required")
@pytest.mark.parametrize(
    ("fill", "look"),
    [
        (lock_login, log_in_as_attacker),
        (fill_code_counter, send_wrong_code),
        (request_verification, request_verification),
        (lambda email: register(email=email), lambda email: register(email=email)),
    ],
    ids=["login", "code", "verification", "registration"],
)
def test_counters_do_not_reveal_which_registration_created_an_account(monkeypatch, fill, look):
    """An attacker counts something for an address, registers it, and looks whether the counter was deleted."""
    use_limits(monkeypatch, login_per_account=5, login_per_source=100, mail_per_source=100)
    register(email="taken@example.com")
    accounts.mark_email_verified("taken@example.com")
    get_health()
    seen = []
    for email in ("taken@example.com", "new@example.com"):
        fill(email)
        assert register(email=email).status == 202
        statements: list[str] = []
        with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
            response = look(email)
        seen.append((response.status, len(statements)))
    assert seen[0] == seen[1]


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.usefixtures("required")
def test_lockout_does_not_reveal_to_its_client_which_registration_created_an_account(monkeypatch):
    """The client IP of a registration is known, so the account's lockouts do not apply to it. Not before the proof."""
    use_limits(monkeypatch, login_per_account=5)
    register(email="taken@example.com")
    accounts.mark_email_verified("taken@example.com")
    seen = []
    for email in ("taken@example.com", "new@example.com"):
        lock_login(email)
        register({"sourceIp": "192.0.2.77"}, email=email)
        seen.append(log_in(email, sourceIp="192.0.2.77").status)
    assert seen == [429, 429]


@pytest.mark.usefixtures("required")
def test_address_that_was_locked_before_the_registration_can_be_verified(database, monkeypatch):
    use_limits(monkeypatch, login_per_account=5)
    lock_login(EMAIL)
    register()
    mail = newest_mail(database, EMAIL, "verify_email")
    another = {"sourceIp": "192.0.2.77"}
    assert verify_email(token=mail.token, password=PASSWORD, identity=another).status == 204
    assert log_in(**another).status == 200
