"""Accounts, sessions, passkeys, tokens and clients as a state machine.

It takes any sequence of requests, commands, waits and faults.

If the test fails, hypothesis prints the shortest list of steps that fails. ``make fuzz`` tries many long lists.
"""

from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tests.stateful.client_operations import (
    ASSERTION_SECONDS,
    AddClient,
    EndOldCredential,
    Introspect,
    RemoveClient,
    RequestToken,
    RotateCredential,
)
from tests.stateful.machine import Kind, Machine, Step, steps, transports
from tests.stateful.model import DAY, HOUR, LIMITS, AccessToken, Assertion, Credential, Model, ServiceToken
from tests.stateful.operations import (
    ChangePassword,
    ListSessions,
    LogIn,
    LogOut,
    Operation,
    Refresh,
    Register,
    RevokeRefreshToken,
    RevokeSession,
    RevokeSessions,
    StepUp,
    disable,
    enable,
    give_role,
    revoke_sessions,
)
from tests.stateful.passkey_operations import (
    AddPasskey,
    LogInWithPasskey,
    RemovePasskey,
    RemovePasskeysByOperator,
    StepUpWithPasskey,
)
from tests.stateful.service import Service
from tests.support.clients import RESOURCE
from tests.support.databases import start_fresh_environment
from tests.support.fuzzing import examples

pytestmark = [pytest.mark.sessions, pytest.mark.passwords, pytest.mark.throttling, pytest.mark.unmeasured]

EMAILS = ["person@example.com", "other@example.com"]
PASSWORDS = ["violet anchor seventeen drums", "copper lantern eleven rivers", "marble ferry twelve orchards"]
#: More passkeys of an account do not make a difference.
MAX_PASSKEYS = 2
#: In seconds. None ends so close to an expiry that the duration of a request would matter.
PAUSES = [7, 7, 7, 11 * 60, 11 * 60, 11 * 60, 5 * HOUR, 25 * HOUR, 8 * DAY, 31 * DAY]

# --- Parts of the model -----------------------------------------------------------------------------------------------


def accounts(model: Model):
    return model.accounts.values()


def live_sessions(model: Model):
    return [session for session in model.sessions if session.is_live(model.now)]


def refreshable_sessions(model: Model):
    return [session for session in live_sessions(model) if session.newest_received]


def working_access_tokens(model: Model):
    return [token for token in model.access_tokens if token.is_accepted(model.now)]


def access_tokens(model: Model):
    """Return valid access tokens twice, because more can happen with them, and two that are not valid."""
    working = working_access_tokens(model)
    return [*working * 2, *[token for token in model.access_tokens if token not in working][-2:]]


def step_ups(model: Model, token):
    """Return step-up tokens for a request: that of the session more often than none, and than those of others."""
    own = token.session.step_up
    others = [step_up for step_up in model.step_up_tokens if step_up is not own]
    return [*([own] * 3 if own and own.text else []), None, *others[-2:]]


def usable_passkeys(model: Model):
    """Return the passkeys that users have, also those that were deleted."""
    return [passkey for passkey in model.passkeys if passkey.credential]


def password_change(token, *, is_right=True):
    """Return the change to another password, with the right current one or a wrong one.

    An account with a passkey also needs the step-up token.
    """
    password = token.session.account.password
    new, wrong = [other for other in PASSWORDS if other != password][:2]
    return ChangePassword(token, password if is_right else wrong, new, token.session.step_up)


# --- The steps, by kind -----------------------------------------------------------------------------------------------


def log_in(model: Model):
    return [Step(LogIn(account.email, account.password)) for account in accounts(model)]


def log_in_again(model: Model):
    """Return logins that carry an access token, with right and wrong passwords."""
    for account, token in product(accounts(model), access_tokens(model)):
        yield from [Step(LogIn(account.email, account.password, token))] * 3
        yield Step(LogIn(account.email, "not the password", token))


def refresh(model: Model):
    """Return refreshes by clients with the newest token that they have received, some of them for another service."""
    sessions = refreshable_sessions(model)
    return [Step(Refresh(each.newest_received, resource)) for each in sessions for resource in (None, None, RESOURCE)]


def refresh_again(model: Model):
    """Return refreshes with spent tokens, within the grace period and after it."""
    tokens = (token for session in live_sessions(model) for token in session.refresh_tokens)
    spent = (token for token in tokens if token.text and token.spent_at is not None)
    return [Step(Refresh(token), wait=seconds) for token, seconds in product(spent, [0, 7, 14])]


def revoke_refresh_token(model: Model):
    """Return revocations by refresh tokens, also by spent ones and by those of sessions that are not valid."""
    newest = [session.newest_received for session in model.sessions if session.newest_received]
    return [Step(RevokeRefreshToken(token)) for token in [*newest * 3, *model.refresh_tokens]]


def presented(model: Model):
    """Return what a service may send: a valid credential or an old one, or an assertion, also a used one."""
    valid = model.client.credentials if model.client else []
    for credential in [*[each for each in model.credentials if each in valid] * 3, *model.credentials[-2:]]:
        if credential.secret:
            yield credential
        elif credential.key is not None:
            yield Assertion(credential, str(len(model.assertions)), model.now + ASSERTION_SECONDS)
    yield from model.assertions[-2:]


def introspect(model: Model):
    """Return introspections of tokens for the other service, and of its own tokens."""
    tokens: list[AccessToken | ServiceToken] = [token for token in model.access_tokens if token.resource]
    tokens += model.service_tokens[-3:]
    return [Step(Introspect(token, each)) for token, each in product(tokens, presented(model))]


def request_token(model: Model):
    """Return requests of the other service for tokens of its own."""
    return [Step(RequestToken(each)) for each in presented(model)]


def fail_as_client(model: Model):
    """Return series of wrong secrets."""
    return [Step(RequestToken(Credential(None, "cs_not-the-secret")), times=times) for times in (1, 4)]


def change_client(model: Model):
    """Return commands that register the other service, change its credentials or remove it."""
    new_key = len(model.credentials) + 1
    keys = [None, None, new_key]
    if model.client and model.client.credentials[0].key is not None:
        keys += [new_key, new_key, model.client.credentials[0].key]
    yield from (Step(AddClient(key)) for key in (keys if model.client is None else [None]))
    if model.client:
        yield from (Step(RotateCredential(key, now)) for key, now in product(keys, [False, False, True]))
        yield from [Step(EndOldCredential())] * 3
        yield from [Step(RemoveClient())] * 3


def overtake_client(model: Model):
    """Return requests for a token, each overtaken by a change of its client."""
    changes: list[Operation] = [RotateCredential(None, ends_old_now=True), EndOldCredential(), RemoveClient()]
    for each, change in product(presented(model), changes if model.client else []):
        yield from (Step(RequestToken(each), overtaken_by=change, pause_at=pause_at) for pause_at in range(1, 4))


def wait(model: Model):
    """Return waits, if something can expire meanwhile."""
    locked = [counter for counter in model.counters.values() if counter.is_locked(model.now)]
    can_expire = live_sessions(model) or model.service_tokens or locked
    return [Step(wait=seconds) for seconds in PAUSES] if can_expire else []


def manage_sessions(model: Model):
    """Return requests that list and revoke sessions, also those of other users."""
    for token in access_tokens(model):
        yield Step(ListSessions(token))
        yield Step(LogOut(token))
        for step_up in step_ups(model, token):
            yield Step(RevokeSessions(token, step_up, keep_current=True))
            yield Step(RevokeSessions(token, step_up, keep_current=False))
            yield from (Step(RevokeSession(token, session, step_up)) for session in model.sessions)


def use_step_up_later(model: Model):
    """Return requests after a wait in which the step-up token may expire, but the access token does not."""
    for token, seconds in product(working_access_tokens(model), [7, 11 * 60]):
        step_up = token.session.step_up
        if step_up and step_up.text and token.is_accepted(model.now + seconds):
            yield Step(RevokeSessions(token, step_up, keep_current=True), wait=seconds)


def run_command(model: Model):
    """Return commands of operators."""
    return [Step(command) for command in commands(model)]


def commands(model: Model):
    """Return the commands that change something for a user."""
    for account in {session.account: None for session in live_sessions(model)}:
        yield from (disable(account), revoke_sessions(account), give_role(account, "admin"))
        if model.has_passkey(account):
            yield RemovePasskeysByOperator(account.email)
    yield from (enable(account) for account in accounts(model) if account.status == "disabled")


def try_password(_model: Model):
    """Return registrations and logins with right and wrong passwords."""
    for email, password in product(EMAILS, PASSWORDS):
        yield Step(Register(email, password))
        yield Step(LogIn(email, password))


def step_up(model: Model):
    """Return step-ups with the right password and with a wrong one."""
    for token in access_tokens(model):
        yield from [Step(StepUp(token, token.session.account.password))] * 2
        yield Step(StepUp(token, "not the password"))


def guess_in_session(model: Model):
    """Return series of wrong proofs of identity in a session."""
    for token in working_access_tokens(model):
        yield Step(StepUp(token, "not the password"), times=4)
        yield Step(password_change(token, is_right=False), times=2)


def change_password(model: Model):
    for token, is_right in product(access_tokens(model), [True, False]):
        yield Step(password_change(token, is_right=is_right))


def add_passkey(model: Model):
    for token in access_tokens(model):
        if len(model.passkeys_of(token.session.account)) < MAX_PASSKEYS:
            yield from (Step(AddPasskey(token, step_up)) for step_up in step_ups(model, token))


def remove_passkey(model: Model):
    """Return deletions of passkeys, also of those of other users, and of deleted ones."""
    for token, passkey in product(access_tokens(model), model.passkeys):
        yield from (Step(RemovePasskey(token, passkey, step_up)) for step_up in step_ups(model, token))


def log_in_with_passkey(model: Model):
    """Return logins with a passkey, alone and as second factor, also with passkeys that were deleted."""
    for passkey in usable_passkeys(model):
        for password in (None, None, passkey.account.password, "not the password"):
            yield Step(LogInWithPasskey(passkey, password))


def step_up_with_passkey(model: Model):
    """Return step-ups with a passkey, also with deleted ones and those of other users."""
    for token, passkey in product(access_tokens(model), usable_passkeys(model)):
        if model.has_passkey(token.session.account):
            is_own = passkey.account is token.session.account
            yield from [Step(StepUpWithPasskey(token, passkey))] * (3 if is_own else 1)


def overtake(model: Model):
    """Return slow operations, each overtaken by a quick one between two of its transactions."""
    slow: list[Operation] = [Register(EMAILS[1], PASSWORDS[1])]
    slow += [LogIn(account.email, account.password) for account in accounts(model)]
    slow += [LogIn(a.email, a.password, token) for a, token in product(accounts(model), working_access_tokens(model))]
    slow += [password_change(token) for token in working_access_tokens(model)]
    slow += [StepUp(token, token.session.account.password) for token in working_access_tokens(model)]
    slow += [LogInWithPasskey(passkey) for passkey in usable_passkeys(model)]
    slow += passkey_changes(model)
    # None of them checks a password. It would find the attempt of the slow operation counted, which no order explains.
    quick: list[Operation] = [Register(EMAILS[1], PASSWORDS[0])]
    for session in refreshable_sessions(model):
        quick += [Refresh(session.newest_received, RESOURCE), RevokeRefreshToken(session.newest_received)]
    quick += [RevokeSessions(token, token.session.step_up) for token in working_access_tokens(model)]
    quick += [*passkey_changes(model), *commands(model)]
    for first, second in product(slow, quick):
        # A passkey needs two requests.
        for pause_at in range(2, 12 if isinstance(first, AddPasskey | LogInWithPasskey) else 6):
            yield Step(first, overtaken_by=second, pause_at=pause_at)


def passkey_changes(model: Model):
    """Return new and deleted passkeys of users with a step-up token."""
    for token in working_access_tokens(model):
        if token.session.step_up and token.session.step_up.is_accepted(token.session, model.now):
            own = model.passkeys_of(token.session.account)
            if len(own) < MAX_PASSKEYS:
                yield AddPasskey(token, token.session.step_up)
            yield from (RemovePasskey(token, passkey, token.session.step_up) for passkey in own)


#: How often each kind of step is drawn, relative to the others.
TOKENS: dict[Kind, int] = {wait: 2, refresh: 4, refresh_again: 3, log_in: 2, revoke_refresh_token: 1, introspect: 2}
CLIENTS: dict[Kind, int] = {
    **TOKENS,
    introspect: 5,
    request_token: 4,
    change_client: 4,
    fail_as_client: 1,
    overtake_client: 1,
    run_command: 1,
}
EVERYTHING: dict[Kind, int] = {
    **TOKENS,
    log_in_again: 3,
    manage_sessions: 3,
    use_step_up_later: 2,
    run_command: 3,
    try_password: 3,
    step_up: 3,
    guess_in_session: 3,
    change_password: 3,
    overtake: 2,
}
PASSKEYS: dict[Kind, int] = {
    **TOKENS,
    add_passkey: 3,
    remove_passkey: 2,
    log_in_with_passkey: 4,
    step_up_with_passkey: 4,
    step_up: 1,
    manage_sessions: 2,
    run_command: 2,
    try_password: 1,
    change_password: 2,
    overtake: 3,
}


class Sessions(Machine):
    """The machine. Each example begins with a session whose refresh token has been exchanged twice.

    If there are steps with passkeys, the account has one.
    """

    @initialize()
    def sign_up(self):
        for operation in (AddClient(), Register(EMAILS[0], PASSWORDS[0]), LogIn(EMAILS[0], PASSWORDS[0])):
            self.do(operation)
        for resource in (RESOURCE, None):
            self.do(Refresh(self.model.sessions[0].refresh_tokens[-1], resource))
        if add_passkey in self.weights:
            (session,) = self.model.sessions
            self.do(AddPasskey(session.access_tokens[-1], session.step_up))

    @rule(step=steps, transport=transports)
    def take(self, step, transport):
        self.take_step(step, transport)


@pytest.fixture
def service(database, monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN_RESOURCES", RESOURCE)
    for name, limit in LIMITS.items():
        monkeypatch.setenv(name, str(limit))
    start_fresh_environment()
    service = Service(database, tmp_path / "service.log")
    yield service
    service.stop()


@pytest.mark.hypothesis  # hypothesis adds this marker to @given only. `make fuzz` selects by it.
@pytest.mark.xdist_group("stateful")  # The environments of all tests are forked from one process.
@pytest.mark.parametrize(
    ("weights", "number"),
    [(TOKENS, 4), (EVERYTHING, 5), (PASSKEYS, 4), (CLIENTS, 3)],
    ids=["tokens", "everything", "passkeys", "clients"],
)
def test_service_behaves_like_the_model(service, weights, number):
    machine: Any = partial(Sessions, service, weights)
    run_state_machine_as_test(machine, settings=examples(number, stateful_step_count=40))
