"""The links and codes of mails as a state machine: verification, password reset, and accounts that are replaced.

A link works once, and not after a change of its account. Nothing of an account works after another registration has
replaced it. The steps, faults and checks are those of ``test_sessions_model.py``.
"""

from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tests.stateful.machine import Kind, Machine, Step, steps, transports
from tests.stateful.mail_operations import CompleteReset, RegisterAgain, RequestReset, RequestVerification, Verify
from tests.stateful.model import HOUR, Model
from tests.stateful.operations import LogIn, Operation, Refresh, Register
from tests.stateful.test_sessions_model import (
    EMAILS,
    PASSWORDS,
    change_password,
    commands,
    log_in,
    refresh,
    run_command,
    service,
    working_access_tokens,
)
from tests.support.fuzzing import examples

__all__ = ["service"]  # a fixture

pytestmark = [pytest.mark.accounts, pytest.mark.passwords, pytest.mark.mail]

#: In seconds. After the first one another mail can be sent. Then codes, links of resets and all links have expired.
#: No sum of a few of them is close to an expiry or to the end of a lockout, so the duration of a request never matters.
MAIL_PAUSE, *PAUSES = 367, 733, 733, 2203, 25 * HOUR


# --- The steps, by kind -----------------------------------------------------------------------------------------------


def sent_links(model: Model, purpose: str):
    """Return links that users have: those that are valid for a purpose four times, and the latest other."""
    sent = [token for token in model.mail_tokens if token.text]
    valid = [token for token in sent if token.purpose == purpose and token.is_accepted(model.now)]
    return [*valid * 4, *[token for token in sent if token not in valid][-1:]]


def request_mail(_model: Model):
    """Return requests for a mail. Without a pause, the second one of a kind is silent."""
    for email, pause in product(EMAILS, (MAIL_PAUSE, 0)):
        yield from [Step(RequestReset(email), wait=pause), Step(RequestVerification(email), wait=pause)]


def wait(model: Model):
    return [Step(wait=seconds) for seconds in PAUSES] if model.mail_tokens else []


def verify(model: Model):
    """Return verifications by link and by code, each with the right and with a wrong proof of the account."""
    for token in sent_links(model, "verify_email"):
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
    return [Step(Register(email, PASSWORDS[0])) for email in EMAILS if email not in model.accounts]


def use_link(model: Model, *, with_password: bool):
    """Return requests with the valid links. A verification has the password or an access token."""
    for token in [token for token in model.mail_tokens if token.text and token.is_accepted(model.now)]:
        if token.purpose == "reset_password":
            yield CompleteReset(token, PASSWORDS[1])
        elif token.purpose == "claim_address":
            yield RegisterAgain(token, token.email, PASSWORDS[2])
        elif with_password and token.account:
            yield Verify(token, token.account.password)
        else:
            sessions = [each for each in working_access_tokens(model) if each.session.account is token.account]
            yield from (Verify(token, access_token) for access_token in sessions[-1:])


def overtake(model: Model):
    """Return requests with a link, overtaken by one with the same or another link, or by another change."""
    slow: list[Operation] = [*use_link(model, with_password=True), RequestReset(EMAILS[0])]
    # None of them checks a password, as in ``test_sessions_model``.
    quick: list[Operation] = [*use_link(model, with_password=False), *commands(model)]
    quick += [Refresh(session.newest_received) for session in model.sessions if session.newest_received]
    quick += [RequestReset(EMAILS[0]), RequestVerification(EMAILS[0])]
    for first, second, pause_at in product(slow, quick, range(2, 12)):
        yield Step(first, overtaken_by=second, pause_at=pause_at)


#: How often each kind of step is drawn, relative to the others.
WEIGHTS: dict[Kind, int] = {
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

    @rule(step=steps, transport=transports)
    def take(self, step, transport):
        self.take_step(step, transport)


@pytest.mark.hypothesis  # hypothesis adds this marker to @given only. `make fuzz` selects by it.
@pytest.mark.xdist_group("stateful")  # The environments of all tests are forked from one process.
@pytest.mark.threat("function-pre-hijacking", "function-reset-takeover", "function-race")
def test_links_of_mails_behave_like_the_model(service):
    machine: Any = partial(MailLinks, service, WEIGHTS)
    run_state_machine_as_test(machine, settings=examples(8, stateful_step_count=40))
