"""Accounts, sessions and refresh tokens as a state machine: any sequence of requests, commands, waits and faults.

The example that hypothesis prints is a list of steps, the shortest that it has found. ``make fuzz`` looks for long.
"""

from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tests.stateful.machine import Machine, one_of, there_is, ways
from tests.stateful.model import DAY, HOUR, LIMITS, Model
from tests.stateful.operations import (
    ChangePassword,
    EndSession,
    EndSessions,
    ListSessions,
    LogIn,
    LogOut,
    Refresh,
    Register,
    disable,
    enable,
    end_sessions,
    give_role,
)
from tests.stateful.service import Service
from tests.support.databases import start_fresh_environment
from tests.support.fuzzing import examples

pytestmark = [pytest.mark.sessions, pytest.mark.passwords, pytest.mark.throttling]

EMAILS = ["person@example.com", "other@example.com"]
PASSWORDS = ["violet anchor seventeen drums", "copper lantern eleven rivers", "marble ferry twelve orchards"]
#: None leads to a moment at which the model and the service may differ by the time that a request takes.
PAUSES = [7, 7, 11 * 60, 11 * 60, 11 * 60, 5 * HOUR, 25 * HOUR, 8 * DAY, 31 * DAY]

emails = st.sampled_from(EMAILS)
passwords = st.sampled_from(PASSWORDS)


# --- What a rule may draw from the model ------------------------------------------------------------------------------


def accounts(model: Model):
    return model.accounts.values()


def live_sessions(model: Model):
    return [session for session in model.sessions if session.is_live(model.now)]


def ends(model: Model):
    """Return what time alone ends."""
    return [*live_sessions(model), *(counter for counter in model.counters.values() if counter.is_locked(model.now))]


def refreshable_sessions(model: Model):
    return [session for session in live_sessions(model) if session.newest_received]


def spent_refresh_tokens(model: Model):
    tokens = (token for session in live_sessions(model) for token in session.refresh_tokens)
    return [token for token in tokens if token.text and token.spent_at is not None]


def working_access_tokens(model: Model):
    return [token for token in model.access_tokens if token.is_accepted(model.now)]


def access_tokens(model: Model):
    """Return all, and those that work more often, because more can happen."""
    return [*working_access_tokens(model) * 3, *model.access_tokens]


def session_operations(model: Model):
    """Return what a caller can do to sessions, also to those of others."""
    for token in access_tokens(model):
        yield ListSessions(token)
        yield LogOut(token)
        yield EndSessions(token, keep_current=True)
        yield EndSessions(token, keep_current=False)
        yield from (EndSession(token, session) for session in model.sessions)


def commands(model: Model):
    """Return the commands that change something for a user."""
    for account in {session.account: None for session in live_sessions(model)}:
        yield from (disable(account), end_sessions(account), give_role(account, "admin"))
    yield from (enable(account) for account in accounts(model) if account.status == "disabled")


def slow_operations(model: Model):
    """Return operations of several transactions: others can come between."""
    yield Register(EMAILS[1], PASSWORDS[1])
    yield from (LogIn(account.email, account.password) for account in accounts(model))
    yield from (password_change(token) for token in working_access_tokens(model))


def quick_operations(model: Model):
    """Return operations that give no password: one under way would be a failure for them, which no order explains."""
    yield Register(EMAILS[1], PASSWORDS[0])
    yield from (Refresh(session.newest_received) for session in refreshable_sessions(model))
    yield from (EndSessions(token) for token in working_access_tokens(model))
    yield from commands(model)


def password_change(token, *, is_right=True):
    """Return the change to another password, with the right current one or a wrong one."""
    password = token.session.account.password
    others = [other for other in PASSWORDS if other != password]
    return ChangePassword(token, password, others[0]) if is_right else ChangePassword(token, *others)


# --- The rules, by feature --------------------------------------------------------------------------------------------


class Tokens(Machine):
    """Logins, and what becomes of their refresh tokens."""

    @initialize()
    def sign_up(self):
        self.do(Register(EMAILS[0], PASSWORDS[0]))
        self.do(LogIn(EMAILS[0], PASSWORDS[0]))

    @rule(account=one_of(accounts), way=ways)
    def log_in(self, account, way):
        self.do(LogIn(account.email, account.password), way)

    @precondition(there_is(refreshable_sessions))
    @rule(session=one_of(refreshable_sessions), times=st.integers(1, 3), way=ways)
    def refresh(self, session, times, way):
        """As a client that uses the newest token that it has received."""
        for _ in range(times):
            self.do(Refresh(session.newest_received), way)

    @precondition(there_is(spent_refresh_tokens))
    @rule(token=one_of(spent_refresh_tokens), seconds=st.sampled_from([0, 7, 14]), way=ways)
    def refresh_again(self, token, seconds, way):
        """As a client or an attacker with an old token: within the grace, or beyond it."""
        self.wait_for(seconds)
        self.do(Refresh(token), way)

    @precondition(there_is(ends))
    @rule(seconds=st.sampled_from(PAUSES))
    def wait(self, seconds):
        self.wait_for(seconds)


class Revocations(Machine):
    """Users and operators end sessions."""

    @precondition(there_is(working_access_tokens))
    @rule(operation=one_of(session_operations), way=ways)
    def manage_sessions(self, operation, way):
        self.do(operation, way)

    @precondition(there_is(commands))
    @rule(command=one_of(commands), way=ways)
    def run_command(self, command, way):
        self.do(command, way)


class Passwords(Machine):
    """Passwords are guessed and changed."""

    @rule(operation=st.sampled_from([Register, LogIn]), email=emails, password=passwords, way=ways)
    def try_any_password(self, operation, email, password, way):
        self.do(operation(email, password), way)

    @precondition(there_is(working_access_tokens))
    @rule(token=one_of(access_tokens), is_right=st.booleans(), way=ways)
    def change_password(self, token, is_right, way):
        self.do(password_change(token, is_right=is_right), way)


class Everything(Tokens, Revocations, Passwords):
    """All features at once."""

    @precondition(there_is(working_access_tokens))
    @rule(first=one_of(slow_operations), second=one_of(quick_operations), pause_at=st.integers(2, 5))
    def overtake(self, first, second, pause_at):
        self.do_meanwhile(first, second, pause_at=pause_at)


@pytest.fixture
def service(database, monkeypatch, tmp_path):
    for name, limit in LIMITS.items():
        monkeypatch.setenv(name, str(limit))
    start_fresh_environment()
    service = Service(database, tmp_path / "service.log")
    yield service
    service.stop()


@pytest.mark.hypothesis  # hypothesis marks functions with @given only; `make fuzz` chooses by it
@pytest.mark.xdist_group("stateful")  # environments of all tests are forked from one process
@pytest.mark.parametrize(("rules", "number"), [(Tokens, 4), (Everything, 8)])
def test_service_behaves_like_the_model(service, rules, number):
    machine: Any = partial(rules, service)
    run_state_machine_as_test(machine, settings=examples(number, stateful_step_count=40))
