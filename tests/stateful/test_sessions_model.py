"""Accounts, sessions and their tokens as a state machine: any sequence of requests, commands, waits and faults.

The example that hypothesis prints is a list of steps, the shortest that it has found. ``make fuzz`` looks for long.
"""

from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tests.stateful.machine import Kind, Machine, Step, steps, ways
from tests.stateful.model import DAY, HOUR, LIMITS, Model
from tests.stateful.operations import (
    ChangePassword,
    EndSession,
    EndSessions,
    ListSessions,
    LogIn,
    LogOut,
    Operation,
    Refresh,
    Register,
    StepUp,
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
PAUSES = [7, 7, 7, 11 * 60, 11 * 60, 11 * 60, 5 * HOUR, 25 * HOUR, 8 * DAY, 31 * DAY]

# --- What a step may need of the model --------------------------------------------------------------------------------


def accounts(model: Model):
    return model.accounts.values()


def live_sessions(model: Model):
    return [session for session in model.sessions if session.is_live(model.now)]


def refreshable_sessions(model: Model):
    return [session for session in live_sessions(model) if session.newest_received]


def working_access_tokens(model: Model):
    return [token for token in model.access_tokens if token.is_accepted(model.now)]


def access_tokens(model: Model):
    """Return those that work more often, because more can happen, and some that do not."""
    working = working_access_tokens(model)
    return [*working * 2, *[token for token in model.access_tokens if token not in working][-2:]]


def step_ups(model: Model, token):
    """Return the step-up token of the session, more often than none and than others."""
    own = token.session.step_up
    others = [step_up for step_up in model.step_up_tokens if step_up is not own]
    return [*([own] * 3 if own and own.text else []), None, *others[-2:]]


def password_change(token, *, is_right=True):
    """Return the change to another password, with the right current one or a wrong one."""
    password = token.session.account.password
    others = [other for other in PASSWORDS if other != password]
    return ChangePassword(token, password, others[0]) if is_right else ChangePassword(token, *others)


# --- The steps, by kind -----------------------------------------------------------------------------------------------


def log_in(model: Model):
    return [Step(LogIn(account.email, account.password)) for account in accounts(model)]


def refresh(model: Model):
    """As a client that uses the newest token that it has received."""
    return [Step(Refresh(session.newest_received)) for session in refreshable_sessions(model)]


def refresh_again(model: Model):
    """As a client or an attacker with an old token: within the grace, or beyond it."""
    tokens = (token for session in live_sessions(model) for token in session.refresh_tokens)
    spent = (token for token in tokens if token.text and token.spent_at is not None)
    return [Step(Refresh(token), wait=seconds) for token, seconds in product(spent, [0, 7, 14])]


def wait(model: Model):
    """Pass time, if it can end something."""
    locked = [counter for counter in model.counters.values() if counter.is_locked(model.now)]
    return [Step(wait=seconds) for seconds in PAUSES] if live_sessions(model) or locked else []


def manage_sessions(model: Model):
    """As a caller who ends sessions, also those of others."""
    for token in access_tokens(model):
        yield Step(ListSessions(token))
        yield Step(LogOut(token))
        for step_up in step_ups(model, token):
            yield Step(EndSessions(token, step_up, keep_current=True))
            yield Step(EndSessions(token, step_up, keep_current=False))
            yield from (Step(EndSession(token, session, step_up)) for session in model.sessions)


def use_step_up_later(model: Model):
    """As a user who reads for a while: the access token still works, but the step-up token may have expired."""
    for token, seconds in product(working_access_tokens(model), [7, 11 * 60]):
        step_up = token.session.step_up
        if step_up and step_up.text and token.is_accepted(model.now + seconds):
            yield Step(EndSessions(token, step_up, keep_current=True), wait=seconds)


def run_command(model: Model):
    """As an operator."""
    return [Step(command) for command in commands(model)]


def commands(model: Model):
    """Return the commands that change something for a user."""
    for account in {session.account: None for session in live_sessions(model)}:
        yield from (disable(account), end_sessions(account), give_role(account, "admin"))
    yield from (enable(account) for account in accounts(model) if account.status == "disabled")


def try_password(_model: Model):
    """As an attacker who guesses, or a newcomer."""
    for email, password in product(EMAILS, PASSWORDS):
        yield Step(Register(email, password))
        yield Step(LogIn(email, password))


def step_up(model: Model):
    """As a user, or as an attacker with a stolen access token, who uses the step-up token at once, or too late."""
    for token in access_tokens(model):
        yield from [Step(StepUp(token, token.session.account.password))] * 2
        yield Step(StepUp(token, "not the password"))


def guess_in_session(model: Model):
    """As an attacker with a stolen access token."""
    for token in working_access_tokens(model):
        yield Step(StepUp(token, "not the password"), times=4)
        yield Step(password_change(token, is_right=False), times=2)


def change_password(model: Model):
    for token, is_right in product(access_tokens(model), [True, False]):
        yield Step(password_change(token, is_right=is_right))


def overtake(model: Model):
    """Do something while an operation of several transactions is under way."""
    slow: list[Operation] = [Register(EMAILS[1], PASSWORDS[1])]
    slow += [LogIn(account.email, account.password) for account in accounts(model)]
    slow += [password_change(token) for token in working_access_tokens(model)]
    slow += [StepUp(token, token.session.account.password) for token in working_access_tokens(model)]
    # These give no password: one under way would be a failure for them, which no order explains.
    quick: list[Operation] = [Register(EMAILS[1], PASSWORDS[0])]
    quick += [Refresh(session.newest_received) for session in refreshable_sessions(model)]
    quick += [EndSessions(token, token.session.step_up) for token in working_access_tokens(model)]
    quick += commands(model)
    for first, second, pause_at in product(slow, quick, range(2, 6)):
        yield Step(first, overtaken_by=second, pause_at=pause_at)


#: How often each kind of step is chosen, relative to the others.
TOKENS: dict[Kind, int] = {wait: 2, refresh: 4, refresh_again: 3, log_in: 1}
EVERYTHING: dict[Kind, int] = {
    **TOKENS,
    manage_sessions: 3,
    use_step_up_later: 2,
    run_command: 3,
    try_password: 3,
    step_up: 3,
    guess_in_session: 3,
    change_password: 3,
    overtake: 2,
}


class Sessions(Machine):
    """Begins with a session whose refresh token has been exchanged twice."""

    @initialize()
    def sign_up(self):
        for operation in (Register(EMAILS[0], PASSWORDS[0]), LogIn(EMAILS[0], PASSWORDS[0])):
            self.do(operation)
        for _ in range(2):
            self.do(Refresh(self.model.sessions[0].refresh_tokens[-1]))

    @rule(step=steps, way=ways)
    def take(self, step, way):
        self.take_step(step, way)


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
@pytest.mark.parametrize(("weights", "number"), [(TOKENS, 6), (EVERYTHING, 12)], ids=["tokens", "everything"])
def test_service_behaves_like_the_model(service, weights, number):
    machine: Any = partial(Sessions, service, weights)
    run_state_machine_as_test(machine, settings=examples(number, stateful_step_count=40))
