"""The links and codes of mails as a state machine: verification, reset, changed addresses, "this was not me".

A link works once, for its purpose, account and address, and not after a change of its account. No address belongs to
two accounts, also while it is reserved. Nothing of an account works after another registration has replaced it, and
nothing that an attacker may have after the account was secured. The steps, faults and checks are those of
``test_sessions_model.py``.
"""

from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tests.stateful.machine import Kind, Machine, Step, steps, transports
from tests.stateful.mail_operations import (
    ChangeEmailByOperator,
    CompleteReset,
    RegisterAgain,
    RequestEmailChange,
    RequestReset,
    RequestVerification,
    SecureAccount,
    Verify,
)
from tests.stateful.model import HOUR, Model, Session
from tests.stateful.operations import LogIn, Operation, Refresh, Register
from tests.stateful.test_sessions_model import (
    EMAILS,
    PASSWORDS,
    add_passkey,
    change_password,
    commands,
    log_in,
    log_in_with_passkey,
    refresh,
    run_command,
    service,
    step_up,
    step_up_with_passkey,
    step_ups,
    working_access_tokens,
)
from tests.support.fuzzing import examples

__all__ = ["service"]  # a fixture

pytestmark = [pytest.mark.accounts, pytest.mark.passwords, pytest.mark.mail, pytest.mark.unmeasured]

#: An address without an account at first.
NEW_EMAIL = "new@example.com"
ADDRESSES = [*EMAILS, NEW_EMAIL]
#: In seconds. After the first one another mail can be sent. Then codes, links of resets, other links and reservations
#: have expired. No sum of a few of them is close to an expiry or to the end of a lockout, so the duration of a request
#: never matters.
MAIL_PAUSE, *PAUSES = 367, 733, 733, 2203, 25 * HOUR, 73 * HOUR
#: Before two requests at the same time. So the order of what has happened before is known.
OVERTAKE_PAUSE = 11


# --- The steps, by kind -----------------------------------------------------------------------------------------------


def sent_links(model: Model, *purposes: str):
    """Return links that users have: those that are valid for a purpose four times, and the latest other."""
    sent = [token for token in model.mail_tokens if token.text]
    valid = [token for token in sent if token.purpose in purposes and token.is_accepted(model.now)]
    return [*valid * 4, *[token for token in sent if token not in valid][-1:]]


def request_mail(_model: Model):
    """Return requests for a mail. Without a pause, the second one of a kind is silent."""
    for email, pause in product(ADDRESSES, (MAIL_PAUSE, 0)):
        yield from [Step(RequestReset(email), wait=pause), Step(RequestVerification(email), wait=pause)]


def request_email_change(model: Model):
    """Return requests to change an address, also to a taken one, and with step-up tokens that are not valid."""
    for token, email in product(working_access_tokens(model), ADDRESSES):
        for pause, step_up_token in product((0, 0, MAIL_PAUSE), step_ups(model, token)):
            yield Step(RequestEmailChange(token, email, step_up_token), wait=pause)


def wait(model: Model):
    return [Step(wait=seconds) for seconds in PAUSES] if model.mail_tokens else []


def verify(model: Model):
    """Return verifications by link and by code, each with the right and with a wrong proof of the account."""
    for token in sent_links(model, "verify_email", "change_email"):
        password = token.account.password if token.account else PASSWORDS[0]
        proofs: list[Any] = [password, *working_access_tokens(model)[-2:], "not the password"]
        for proof in proofs:
            yield Step(Verify(token, proof))
            if token.code:
                yield Step(Verify(token, proof, token.code))


def guess_code(model: Model):
    """Return series of wrong codes at an address, by an attacker who knows the password."""
    for account in model.accounts.values():
        token = next(token for token in model.mail_tokens if token.email == account.email)
        yield Step(Verify(token, account.password, "0000-0000"), times=4)


def complete_reset(model: Model):
    """Return resets, some of them twice."""
    links = sent_links(model, "reset_password")
    return [Step(CompleteReset(token, PASSWORDS[1]), times=times) for token in links for times in (1, 1, 2)]


def register_again(model: Model):
    """Return registrations that replace an account, some of them twice, or with another address than the link's."""
    for token in sent_links(model, "claim_address"):
        yield from (Step(RegisterAgain(token, token.email, PASSWORDS[2]), times=times) for times in (1, 1, 2))
        yield from (Step(RegisterAgain(token, email, PASSWORDS[2])) for email in EMAILS if email != token.email)


def register(model: Model):
    """Return registrations with addresses that no account has. Some are reserved."""
    return [Step(Register(email, PASSWORDS[0])) for email in ADDRESSES if email not in model.accounts]


def secure(model: Model):
    """Return links "this was not me", some of them twice."""
    links = sent_links(model, "secure_account")
    return [Step(SecureAccount(token), times=times) for token in links for times in (1, 1, 2)]


def change_email_by_operator(model: Model):
    for email, new_email, was_hijacked in product(model.accounts, ADDRESSES, (True, False)):
        yield Step(ChangeEmailByOperator(email, new_email, was_hijacked))


def use_link(model: Model, *, with_password: bool):
    """Return requests with the valid links. A verification has the password or an access token."""
    for token in [token for token in model.mail_tokens if token.text and token.is_accepted(model.now)]:
        if token.purpose == "reset_password":
            yield CompleteReset(token, PASSWORDS[1])
        elif token.purpose == "claim_address":
            yield RegisterAgain(token, token.email, PASSWORDS[2])
        elif token.purpose == "secure_account":
            yield SecureAccount(token)
        elif with_password and token.account:
            yield Verify(token, token.account.password)
        else:
            sessions = [each for each in working_access_tokens(model) if each.session.account is token.account]
            yield from (Verify(token, access_token) for access_token in sessions[-1:])


def overtake(model: Model):
    """Return requests with a link, overtaken by one with the same or another link, or by another change."""
    changes: list[Operation] = [
        RequestEmailChange(token, email, token.session.step_up)
        for token, email in product(working_access_tokens(model), ADDRESSES)
        if token.session.account.is_verified and token.session.step_up and token.session.step_up.text
    ]
    slow: list[Operation] = [RequestReset(EMAILS[0]), *changes, *use_link(model, with_password=True)]
    slow += [LogIn(account.email, account.password) for account in model.accounts.values()]
    # None of them checks a password, as in ``test_sessions_model``.
    quick: list[Operation] = [*use_link(model, with_password=False), *changes, *commands(model)]
    quick += [Refresh(session.newest_received) for session in model.sessions if session.newest_received]
    quick += [RequestReset(EMAILS[0]), RequestVerification(EMAILS[0])]
    quick += [step.operation for step in change_email_by_operator(model)]
    for first, second, pause_at in product(slow, quick, range(2, 12)):
        if not (is_counted_for_address(first) and may_change_address(model, second)):
            yield Step(first, overtaken_by=second, pause_at=pause_at, wait=OVERTAKE_PAUSE)


def is_counted_for_address(operation: Operation) -> bool:
    """Return whether an operation counts a password or a mail for an address, before it does its work."""
    checks_password = isinstance(operation, Verify) and isinstance(operation.account_proof, str)
    return checks_password or isinstance(operation, LogIn | RequestReset)


def may_change_address(model: Model, operation: Operation) -> bool:
    """Return whether an operation may move or reset what is counted for addresses. No order explains that."""
    if isinstance(operation, SecureAccount):
        return bool(operation.mail_token.account and model.reversible_changes(operation.mail_token.account))
    is_confirmation = isinstance(operation, Verify) and operation.mail_token.purpose == "change_email"
    return is_confirmation or isinstance(operation, ChangeEmailByOperator | RegisterAgain)


#: How often each kind of step is drawn, relative to the others.
LINKS: dict[Kind, int] = {
    request_mail: 4,
    verify: 3,
    guess_code: 1,
    complete_reset: 3,
    register_again: 3,
    overtake: 3,
    register: 2,
    log_in: 2,
    refresh: 1,
    run_command: 1,
    change_password: 1,
    secure: 1,
    wait: 1,
}
ADDRESS_CHANGES: dict[Kind, int] = {
    request_mail: 2,
    request_email_change: 5,
    verify: 5,
    complete_reset: 2,
    register_again: 1,
    overtake: 4,
    register: 1,
    log_in: 3,
    step_up: 1,
    run_command: 1,
    change_password: 2,
    change_email_by_operator: 1,
    add_passkey: 1,
    log_in_with_passkey: 2,
    step_up_with_passkey: 1,
    secure: 3,
    wait: 1,
}


class MailLinks(Machine):
    """The machine. Each example begins with a verified account and one that is not, and a link of each kind."""

    @initialize()
    def sign_up(self):
        for email in EMAILS:
            for operation in (Register(email, PASSWORDS[0]), LogIn(email, PASSWORDS[0])):
                self.do(operation)
        self.do(Verify(self.model.mail_tokens[0], PASSWORDS[0]))
        for email in EMAILS:
            self.do(RequestReset(email))
        if request_email_change in self.weights:
            self._change_address(self.model.sessions[0])

    def _change_address(self, session: Session) -> None:
        """Change the address of the verified account, so that the old one is reserved."""
        self.do(RequestEmailChange(session.access_tokens[-1], NEW_EMAIL, session.step_up))
        self.do(Verify(self.model.mail_tokens[-1], PASSWORDS[0]))

    @rule(step=steps, transport=transports)
    def take(self, step, transport):
        self.take_step(step, transport)


@pytest.mark.hypothesis  # hypothesis adds this marker to @given only. `make fuzz` selects by it.
@pytest.mark.xdist_group("stateful")  # The environments of all tests are forked from one process.
@pytest.mark.threat("function-pre-hijacking", "function-reset-takeover", "function-undo-ended", "function-race")
@pytest.mark.parametrize(("weights", "number"), [(LINKS, 4), (ADDRESS_CHANGES, 4)], ids=["links", "addresses"])
def test_links_of_mails_behave_like_the_model(service, weights, number):
    machine: Any = partial(MailLinks, service, weights)
    run_state_machine_as_test(machine, settings=examples(number, stateful_step_count=40))
