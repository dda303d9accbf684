"""``make attack``: each attack fails and raises its alarms. A quiet hour raises none."""

import runpy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from local_runtime.cloudformation import TemplateError
from tools.attacks import campaign, users
from tools.attacks.address_takeover import change_the_address_of_a_victim
from tools.attacks.alarms import Alarm, Alarms, load_alarms
from tools.attacks.attack import Outcome, carry_out
from tools.attacks.campaign import ATTACKS, QUIET_HOUR, carry_out_all, describe, main
from tools.attacks.client_ips import forge_client_ips
from tools.attacks.forgery import forge_access_tokens
from tools.attacks.guessing import guess_a_code, guess_one_password, spray_a_password
from tools.attacks.hijacking import prepare_accounts_of_victims
from tools.attacks.mail_requests import enumerate_accounts_by_reset, flood_mailboxes
from tools.attacks.probing import scan_for_others_data
from tools.attacks.quiet_hour import simulate_ordinary_use
from tools.attacks.replay import replay_a_refresh_token, replay_tokens_of_another_service
from tools.attacks.service_clients import use_a_service_token_as_a_users, use_introspection_as_an_oracle
from tools.attacks.spam import spam_registrations
from tools.attacks.target import TEMPLATE, NotLoopback, NotStarted, Response, Target, runtime_environment
from tools.attacks.theft import guess_in_a_stolen_session, use_a_stolen_access_token
from tools.attacks.users import SetUpFailed, run_accounts_command

#: All attacks share one service, so they must run in one process.
pytestmark = [pytest.mark.events, pytest.mark.xdist_group("attack")]


@pytest.fixture(scope="module")
def outcomes():
    with pytest.MonkeyPatch.context() as patch:
        # Measuring the coverage of the service would make it slow. Other tests measure it.
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        return {outcome.attack.name: outcome for outcome in carry_out_all()}


@pytest.mark.threat(
    *("function-password-guessing", "function-stolen-access-token", "function-mail-flood", "function-code-guessing"),
    *("function-pre-hijacking", "function-account-enumeration", "client-token-as-user", "client-guessing"),
)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_fails_and_raises_its_events_and_alarms(outcomes, attack):
    outcome = outcomes[attack.name]
    assert outcome.faults == []
    assert attack.alarms
    assert attack.alarms <= {alarm.name for alarm in outcome.alarms}
    assert outcome.statuses.total() > 0


@pytest.mark.threat("logs-silenced-alarms")
def test_quiet_hour_raises_no_alarm(outcomes):
    outcome = outcomes[QUIET_HOUR.name]
    assert outcome.faults == []
    assert outcome.alarms == ()
    seen = {name for name, _ in outcome.events}
    assert {"user_created", "authn_login_fail", "authn_token_revoked", "sensitive_read"} <= seen


def test_each_alarm_on_our_own_metrics_is_raised_by_an_attack(outcomes):
    """Except the alarms on a broken database, on the provider of mail, and on what users report after an attack."""
    raised = {alarm.name for outcome in outcomes.values() for alarm in outcome.alarms}
    every = {alarm.name for alarm in load_alarms(TEMPLATE).evaluated}
    assert every - raised == {
        *("audit-write-failures", "mail-bounces", "mail-delays", "mail-failures", "mail-paused", "secured-accounts"),
    }


def test_description_of_an_attack_names_its_events_and_alarms(outcomes):
    text = describe(outcomes["credential stuffing"])
    assert "45 authn_login_fail unknown_user" in text
    assert "credential-stuffing (45 of 20; docs/runbooks/credential-stuffing.md)" in text
    assert "no breach, all events and alarms" in text
    assert "no false alarm" in describe(outcomes[QUIET_HOUR.name])


class CompliantService:
    """A service that accepts each registration, and gives every other response the status and code of the test."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.status = 200
        self.code = None
        self.url = "http://localhost:1"

    def with_client_ip(self, _client_ip, **_lock):
        return self

    def send(self, method, path, *_body, **_token):
        tokens = {"access_token": TOKEN, "refresh_token": "r", "step_up_token": "s"}
        ceremony = {"challenge_id": "c", "options": OPTIONS}
        document = {"id": "x", **tokens, **ceremony, "keys": [JWK], "code": self.code, "email_verified": True}
        successes = {("POST", "/users"): 201}
        if self.status == 200:
            successes["POST", "/email/verify"] = 204
        return Response(successes.get((method, path), self.status), document)

    def send_form(self, path, _parameters):
        return self.send("POST", path)

    def mails_to(self, _email):
        pages = ("verify-email", "register-again", "reset-password", "confirm-email")
        links = [f"http://localhost:1/{page}.html#token=mt_{self.status}" for page in pages]
        return [{"links": links, "codes": ["7K3M-9PQR"]}]


# The README's example. The token has expired, and its key is deleted.
JWK = {"x": "z7U-MGuMADR8ntLxqDDa0a7G_JH0aEJYGaKXoWDwiwQ", "y": "cEP6x8SwGbXvXM8N2ckkdpnZWERepZZGT2o5zde7ZqY"}
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiAieCJ9.AAAA"


#: Of both ceremonies of a passkey.
OPTIONS = {
    "challenge": "AAAA",
    "rp": {"id": "localhost"},
    "rpId": "localhost",
    "user": {"id": "AAAA"},
    "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
}


@pytest.fixture
def compliant_service(environment, monkeypatch):
    from auth_common.keys.local_keys import local_signing_key  # noqa: PLC0415 - creates the key of the expired forgery

    local_signing_key()
    monkeypatch.setattr("tools.attacks.quiet_hour.run_accounts_command", lambda *_: None)
    monkeypatch.setattr("tools.attacks.service_clients.run_clients_command", lambda *_: {"client_secret": "s"})
    return CompliantService(environment)


REJECTED_CHANGES = ["the victim cannot revoke other sessions", "the victim cannot change the password"]
FORGERIES = (
    "HS256 with the public key",
    "another key",
    "expired",
    "its own key in the header",
    "no algorithm",
    "tampered",
)
NOT_REVOKED = [f"the {credential} was not revoked" for credential in ("current refresh token", "session")]
STOLEN_SESSION, STOLEN_TOKEN = (f"the stolen {thing} was not revoked" for thing in ("session", "access token"))


EXCESS = [f"a client got a {name} that is not registered" for name in ("scope", "resource")]
SERVICE_TOKEN_ACCEPTED = [
    *(
        f"{route} accepted the token of a service"
        for route in (
            *("GET /users/x", "GET /sessions", "GET /webauthn/credentials", "GET /audit/events"),
            *("POST /logout", "POST /step-up", "POST /webauthn/register/begin", "DELETE /sessions"),
        )
    ),
    *EXCESS,
]
NOT_STOPPED, LINK_ENDED = "the requests of one client IP were not stopped", "the victim's own link was ended"
HIJACKED = [
    "the victim's click verified the account of the attacker",
    "the victim got the account of the attacker",
    *(f"the attacker's {thing} was accepted" for thing in ("password", "session", "refresh token", "passkey")),
]


@pytest.mark.parametrize(
    ("prepare", "status", "code", "breaches"),
    [
        (spray_a_password, 200, None, ["unexpected response 200 None"]),
        (guess_one_password, 200, None, ["unexpected response 200 None", "the guessing was not stopped"]),
        (
            guess_one_password,
            429,
            None,
            ["unexpected response 429 None", "the user was locked out on their own device"],
        ),
        (scan_for_others_data, 200, None, ["unexpected response 200 None"]),
        (forge_client_ips, 200, None, ["unexpected response 200", "forged client IPs evaded the rate limit"]),
        (forge_client_ips, 401, None, ["forged client IPs evaded the rate limit"]),
        (replay_a_refresh_token, 200, None, ["a used refresh token was accepted", *NOT_REVOKED]),
        (
            *(replay_tokens_of_another_service, 401, None),
            ["the attacker's own login failed", "the victim's session was revoked"],
        ),
        (forge_access_tokens, 200, None, [f"{kind}: unexpected response 200" for kind in FORGERIES]),
        (spam_registrations, 200, None, ["a second account for one e-mail address", "a client chose its own role"]),
        (guess_in_a_stolen_session, 200, None, ["unexpected response 200 None", STOLEN_SESSION, *REJECTED_CHANGES]),
        (
            *(guess_in_a_stolen_session, 400, "invalid_current_password"),
            ["the guessing was not stopped", STOLEN_SESSION, "the victim cannot log in"],
        ),
        (use_a_stolen_access_token, 200, None, ["unexpected response 200 None", *REJECTED_CHANGES, STOLEN_TOKEN]),
        (
            *(use_a_stolen_access_token, 403, "step_up_required"),
            ["the victim's session was revoked", "the victim cannot log in", STOLEN_TOKEN],
        ),
        (
            *(change_the_address_of_a_victim, 200, None),
            ["unexpected response 200 None", "the mail to the new address was enough to confirm the change"],
        ),
        (
            *(change_the_address_of_a_victim, 403, "step_up_required"),
            ["the victim cannot log in with the old address", "the victim cannot confirm the change"],
        ),
        (
            *(guess_a_code, 200, None),
            ["unexpected response 204 None", "the guessing was not stopped", "the address was verified"],
        ),
        (
            *(guess_a_code, 429, "too_many_attempts"),
            ["the address was verified", "the guesses ended the link of the mail"],
        ),
        (use_a_service_token_as_a_users, 200, None, [*SERVICE_TOKEN_ACCEPTED, "a guessed secret was accepted"]),
        (use_a_service_token_as_a_users, 401, None, [*EXCESS, "a client with a valid secret was locked out"]),
        (
            use_introspection_as_an_oracle,
            401,
            None,
            [
                "an introspection told about an access token for another service",
                "an introspection told about a refresh token",
                "an introspection revoked the session",
            ],
        ),
        (flood_mailboxes, 200, None, ["unexpected response 200 None", NOT_STOPPED, LINK_ENDED]),
        (flood_mailboxes, 202, None, [NOT_STOPPED, "the mailbox of the victim was flooded", LINK_ENDED]),
        (enumerate_accounts_by_reset, 200, None, ["unexpected response 200 None"]),
        (prepare_accounts_of_victims, 200, None, HIJACKED),
    ],
)
def test_breach_is_reported(compliant_service, prepare, status, code, breaches):
    run = prepare(compliant_service)
    compliant_service.status, compliant_service.code = status, code
    assert run() == breaches


def test_account_that_the_victim_cannot_use_is_a_breach(compliant_service, monkeypatch):
    monkeypatch.setattr("tools.attacks.hijacking.log_in", lambda *_: users.Tokens("a", "r"))
    run = prepare_accounts_of_victims(compliant_service)
    compliant_service.status = 401
    assert "the victim cannot log in" in run()
    send = compliant_service.send

    def reject_claims(method, path, body=None, **tokens):
        return Response(400, {}) if "address_token" in (body or {}) else send(method, path, body, **tokens)

    monkeypatch.setattr(compliant_service, "send", reject_claims)
    assert run() == ["the victim cannot register"]


def test_difference_between_addresses_is_a_breach(compliant_service, monkeypatch):
    send = compliant_service.send

    def reject_unknown(method, path, body=None, **tokens):
        if "unknown" in (body or {}).get("email", ""):
            return Response(404, {})
        return send(method, path, body, **tokens)

    monkeypatch.setattr(compliant_service, "send", reject_unknown)
    run = enumerate_accounts_by_reset(compliant_service)
    compliant_service.status = 202
    shown = [f"the service shows that an address is {kind}" for kind in ("verified", "unverified")]
    assert run() == [*shown, "unexpected response 404 None"]


def test_missing_mail_raises_an_error(compliant_service, monkeypatch):
    monkeypatch.setattr("tools.attacks.users._PAUSE_SECONDS", 0)
    with pytest.raises(SetUpFailed, match="no mail with a link to another-page"):
        users.newest_mail(compliant_service, "person@example.com", "another-page")


def test_quiet_hour_reports_wrong_and_missing_rejections(compliant_service, monkeypatch):
    assert set(simulate_ordinary_use(compliant_service)()) == {"not rejected: 200", "not rejected: 201"}
    run = simulate_ordinary_use(compliant_service)
    for name in ("log_in", "refresh"):
        monkeypatch.setattr(f"tools.attacks.quiet_hour.{name}", lambda *_: users.Tokens("a", "r"))
    compliant_service.status = 403
    assert any(breach.startswith("rejected: 403") for breach in run())


def test_failed_preparation_of_an_attack_raises_an_error(compliant_service):
    compliant_service.status = 503
    with pytest.raises(SetUpFailed, match="503 instead of 200"):
        replay_a_refresh_token(compliant_service)


def test_failed_accounts_command_raises_an_error(environment):
    target = Target("http://localhost:1", environment, environment / "log")
    with pytest.raises(SetUpFailed, match="no user has the address"):
        run_accounts_command(target, ["role", "nobody@example.com", "admin"])


SPRAYING = next(attack for attack in ATTACKS if attack.name == "password spraying")


def alarm(name):
    return Alarm(name=name, threshold=1, peak=lambda _: 1)


def outcome(**changes):
    good = Outcome(
        attack=SPRAYING,
        statuses=Counter({401: 3}),
        events=Counter({("authn_login_fail", "wrong_password"): 3}),
        alarms=(alarm("password-spraying"),),
        peaks={"password-spraying": 3},
        breaches=[],
    )
    return replace(good, **changes)


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"breaches": ["got in"]}, ["got in"]),
        ({"statuses": Counter({401: 1, 500: 2})}, ["unexpected response 500"]),
        ({"events": Counter()}, ["no event authn_login_fail"]),
        ({"alarms": ()}, ["no alarm password-spraying"]),
        ({"alarms": (alarm("password-spraying"), alarm("failed-logins"))}, []),
        ({"attack": replace(SPRAYING, alarms=frozenset())}, ["false alarm password-spraying"]),
    ],
    ids=["none", "breach", "server error", "no event", "no alarm", "a further alarm", "false alarm"],
)
def test_outcome_has_a_fault_for_each_unexpected_result(changes, faults):
    assert outcome(**changes).faults == faults


@pytest.mark.parametrize(
    ("results", "status"), [([{}], 0), ([{}, {"alarms": ()}], 1), ([{"breaches": ["got in"]}, {}], 1)]
)
def test_exit_status_is_1_if_an_outcome_has_faults(monkeypatch, capsys, results, status):
    monkeypatch.setattr(campaign, "carry_out_all", lambda: (outcome(**changes) for changes in results))
    assert main() == status
    printed = capsys.readouterr().out
    assert printed.count("password spraying") == len(results)
    assert ("FAILED: " in printed) == bool(status)


@pytest.mark.parametrize("error", [NotStarted, SetUpFailed, TemplateError])
def test_error_that_stops_the_campaign_is_printed(monkeypatch, capsys, error):
    def fail():
        raise error("the reason")

    monkeypatch.setattr(campaign, "carry_out_all", fail)
    assert main() == 1
    assert capsys.readouterr().err == "attack: the reason\n"


def test_python_m_runs_the_campaign(monkeypatch):
    monkeypatch.setattr(campaign, "main", lambda: 7)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tools.attacks", run_name="__main__")
    assert ended.value.code == 7


def test_only_the_loopback_interface_can_be_attacked(tmp_path):
    for url in ("http://localhost:8000", "http://127.0.0.1:1", "http://127.9.9.9:1", "http://[::1]:1"):
        assert Target(url, tmp_path, tmp_path / "log").url == url
    elsewhere = ("http://192.0.2.1:8000", "http://0.0.0.0:8000", "http://[2001:db8::1]:80")
    for url in (*elsewhere, "https://no-such-host.invalid", "x"):
        with pytest.raises(NotLoopback):
            Target(url, tmp_path, tmp_path / "log")


def test_environment_ignores_the_shells_database_and_settings(tmp_path):
    shell = {"PATH": "/bin", "DATABASE_URL": "postgresql://real", "STAGE": "prod", "PORT": "8000", "BCRYPT_COST": "12"}
    made = runtime_environment({**shell, "POWERTOOLS_METRICS_NAMESPACE": "Elsewhere"}, data_dir=tmp_path)
    assert made.items() >= {"PATH": "/bin", "PORT": "0", "DATA_DIR": str(tmp_path), "BCRYPT_COST": "4"}.items()
    assert made.keys().isdisjoint({"DATABASE_URL", "STAGE", "POWERTOOLS_METRICS_NAMESPACE"})


def test_runtime_that_does_not_start_raises_its_output(monkeypatch):
    monkeypatch.setattr("tools.attacks.target.runtime_environment", lambda *_, **__: {"PORT": "no port", "PATH": ""})
    with pytest.raises(NotStarted, match="PORT must be a number"):
        next(carry_out_all())


def test_lines_and_statuses_before_the_attack_are_not_counted(tmp_path):
    log = tmp_path / "log"
    log.write_text('{"message": "old", "security_event": {}}\n')
    target = Target("http://localhost:1", tmp_path, log)

    def prepare(target):
        target.statuses[201] += 1

        def run():
            with log.open("a") as file:
                file.write('{"message": "new", "security_event": {}}\n')
            target.statuses[401] += 1
            return []

        return run

    quiet = replace(QUIET_HOUR, prepare=prepare, events=frozenset())
    result = carry_out(quiet, target, Alarms(evaluated=(), on_aws_metrics=()))
    assert (result.statuses, result.events) == ({401: 1}, {("new", ""): 1})
