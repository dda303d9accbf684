"""Run all attacks one after the other, and print their outcomes."""

import sys
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from auth_common.events.vocabulary import SecurityEvent
from local_runtime.cloudformation import TemplateError
from tools.attacks.address_takeover import change_the_address_of_a_victim
from tools.attacks.alarms import load_alarms
from tools.attacks.attack import Attack, Outcome, carry_out
from tools.attacks.client_ips import forge_client_ips
from tools.attacks.forgery import forge_access_tokens
from tools.attacks.guessing import guess_a_code, guess_one_password, spray_a_password, stuff_credentials
from tools.attacks.hijacking import prepare_accounts_of_victims
from tools.attacks.mail_requests import enumerate_accounts_by_reset, flood_mailboxes
from tools.attacks.probing import scan_for_others_data
from tools.attacks.quiet_hour import simulate_ordinary_use
from tools.attacks.replay import replay_a_refresh_token, replay_tokens_of_another_service
from tools.attacks.service_clients import use_a_service_token_as_a_users, use_introspection_as_an_oracle
from tools.attacks.spam import spam_registrations
from tools.attacks.target import TEMPLATE, NotStarted, running_target
from tools.attacks.theft import guess_in_a_stolen_session, use_a_stolen_access_token
from tools.attacks.users import SetUpFailed

ATTACKS: Final = (
    Attack(
        name="brute force",
        prepare=guess_one_password,
        events=frozenset(
            {
                SecurityEvent.AUTHN_LOGIN_FAIL,
                SecurityEvent.AUTHN_LOGIN_LOCK,
                SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED,
            }
        ),
        alarms=frozenset({"failed-logins"}),
    ),
    Attack(
        name="credential stuffing",
        prepare=stuff_credentials,
        events=frozenset({SecurityEvent.AUTHN_LOGIN_FAIL}),
        alarms=frozenset({"failed-logins", "credential-stuffing"}),
    ),
    Attack(
        name="password spraying",
        prepare=spray_a_password,
        events=frozenset({SecurityEvent.AUTHN_LOGIN_FAIL}),
        alarms=frozenset({"password-spraying"}),
    ),
    Attack(
        name="refresh-token replay",
        prepare=replay_a_refresh_token,
        events=frozenset({SecurityEvent.AUTHN_TOKEN_REUSE, SecurityEvent.AUTHN_TOKEN_REJECTED}),
        alarms=frozenset({"token-reuse"}),
    ),
    Attack(
        name="session theft, password guessing",
        prepare=guess_in_a_stolen_session,
        events=frozenset(
            {
                SecurityEvent.AUTHN_STEP_UP_FAIL,
                SecurityEvent.AUTHN_STEP_UP_FAIL_MAX,
                SecurityEvent.AUTHN_PASSWORD_CHANGE_FAIL,
                SecurityEvent.AUTHN_TOKEN_REJECTED,
            }
        ),
        alarms=frozenset({"failed-step-ups"}),
    ),
    Attack(
        name="session theft, access token",
        prepare=use_a_stolen_access_token,
        events=frozenset({SecurityEvent.AUTHZ_FAIL, SecurityEvent.AUTHN_TOKEN_REVOKED}),
        alarms=frozenset({"authorization-failures"}),
    ),
    Attack(
        name="takeover by a change of the address",
        prepare=change_the_address_of_a_victim,
        events=frozenset({SecurityEvent.AUTHZ_FAIL, SecurityEvent.USER_EMAIL_VERIFY_FAIL}),
        alarms=frozenset({"authorization-failures"}),
    ),
    Attack(
        name="forged access tokens",
        prepare=forge_access_tokens,
        events=frozenset({SecurityEvent.AUTHN_TOKEN_REJECTED}),
        alarms=frozenset({"rejected-tokens"}),
    ),
    Attack(
        name="service token as a user's",
        prepare=use_a_service_token_as_a_users,
        events=frozenset({SecurityEvent.AUTHN_TOKEN_REJECTED, SecurityEvent.AUTHN_CLIENT_FAIL}),
        alarms=frozenset({"client-authentication"}),
    ),
    Attack(
        name="introspection as an oracle",
        prepare=use_introspection_as_an_oracle,
        events=frozenset({SecurityEvent.AUTHZ_INTROSPECTION_FAIL}),
        alarms=frozenset({"foreign-introspection"}),
    ),
    Attack(
        name="replay of tokens for another service",
        prepare=replay_tokens_of_another_service,
        events=frozenset({SecurityEvent.AUTHN_TOKEN_REJECTED}),
        alarms=frozenset({"rejected-tokens"}),
    ),
    Attack(
        name="forged client IPs",
        prepare=forge_client_ips,
        events=frozenset({SecurityEvent.AUTHN_TOKEN_REJECTED, SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED}),
        alarms=frozenset({"proxy-rejected"}),
    ),
    Attack(
        name="IDOR scan",
        prepare=scan_for_others_data,
        events=frozenset({SecurityEvent.AUTHZ_FAIL}),
        alarms=frozenset({"authorization-failures"}),
    ),
    Attack(
        name="registration spam",
        prepare=spam_registrations,
        events=frozenset(
            {SecurityEvent.USER_CREATED, SecurityEvent.USER_CREATION_FAIL, SecurityEvent.INPUT_VALIDATION_FAIL}
        ),
        alarms=frozenset({"registration-spam"}),
    ),
    Attack(
        name="account pre-hijacking",
        prepare=prepare_accounts_of_victims,
        events=frozenset(
            {
                SecurityEvent.USER_EMAIL_VERIFY_FAIL,
                SecurityEvent.AUTHN_PASSWORD_RESET_REQUESTED,
                SecurityEvent.USER_DELETED,
                SecurityEvent.USER_EMAIL_VERIFIED,
                SecurityEvent.AUTHN_TOKEN_REJECTED,
            }
        ),
        alarms=frozenset({"registration-spam"}),
    ),
    Attack(
        name="code guessing",
        prepare=guess_a_code,
        events=frozenset({SecurityEvent.USER_EMAIL_VERIFY_FAIL, SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED}),
        alarms=frozenset({"failed-logins"}),
    ),
    Attack(
        name="account enumeration by reset",
        prepare=enumerate_accounts_by_reset,
        events=frozenset(
            {
                SecurityEvent.AUTHN_PASSWORD_RESET_REQUESTED,
                SecurityEvent.USER_EMAIL_VERIFICATION_REQUESTED,
                SecurityEvent.USER_EMAIL_VERIFY_FAIL,
            }
        ),
        alarms=frozenset({"mail-requests"}),
    ),
    Attack(
        name="reset flooding",
        prepare=flood_mailboxes,
        events=frozenset({SecurityEvent.AUTHN_PASSWORD_RESET_REQUESTED, SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED}),
        alarms=frozenset({"mail-requests"}),
    ),
)
QUIET_HOUR: Final = Attack(
    name="a quiet hour",
    prepare=simulate_ordinary_use,
    events=frozenset({SecurityEvent.AUTHN_LOGIN_SUCCESS, SecurityEvent.SENSITIVE_READ}),
    alarms=frozenset(),
)


def carry_out_all() -> Iterator[Outcome]:
    """Yield the outcome of every attack, and of the quiet hour, on one local service.

    Raises:
        NotStarted: the service did not start.
        SetUpFailed: the preparation of an attack failed.
        TemplateError: the template has an alarm that ``alarms`` cannot evaluate.

    """
    alarms = load_alarms(TEMPLATE)
    with running_target() as target:
        for number, attack in enumerate((*ATTACKS, QUIET_HOUR), start=1):
            yield carry_out(attack, target.with_client_ip(f"198.51.100.{number}"), alarms)


def main() -> int:
    """Print the outcome of each attack. Return the exit status: 1 if an attack succeeded or was not detected."""
    status = 0
    try:
        for outcome in carry_out_all():
            sys.stdout.write(f"{describe(outcome)}\n\n")
            sys.stdout.flush()
            status = 1 if outcome.faults else status
    except (NotStarted, SetUpFailed, TemplateError) as error:
        sys.stderr.write(f"attack: {error}\n")
        return 1
    return status


def describe(outcome: Outcome) -> str:
    """Return ``outcome`` as a table for the terminal."""
    rows = [
        ("requests", [f"{outcome.statuses.total():>4}"]),
        ("responses", _counted({f"{code} {HTTPStatus(code).phrase}": n for code, n in outcome.statuses.items()})),
        ("events", _counted({f"{name} {reason}".rstrip(): n for (name, reason), n in outcome.events.items()})),
        ("alarms", [_alarm(outcome, alarm.name, alarm.threshold) for alarm in outcome.alarms] or ["none"]),
        ("verdict", [f"FAILED: {fault}" for fault in outcome.faults] or [_verdict(outcome.attack)]),
    ]
    lines = [outcome.attack.name]
    for title, cells in rows:
        lines += [f"  {label:<10}{cell}" for label, cell in zip([title, *[""] * len(cells)], cells, strict=False)]
    return "\n".join(lines)


def _counted(counts: dict[str, int]) -> list[str]:
    return [f"{number:>4} {label}" for label, number in Counter(counts).most_common()]


def _alarm(outcome: Outcome, name: str, threshold: float) -> str:
    return f"{name} ({outcome.peaks[name]:g} of {threshold:g}; docs/runbooks/{name}.md)"


def _verdict(attack: Attack) -> str:
    return "no breach, all events and alarms" if attack.alarms else "no false alarm"
