"""The machine: it runs operations on two environments and on the model, and compares both after each operation.

``test_sessions_model.py`` says which steps there are.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Final

import jwt
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose, hash_mail_token
from tests.stateful.environments import MORE_CONFLICTS_THAN_RETRIES, Conflict, Crash, Fault, HangUp
from tests.stateful.model import Model
from tests.stateful.operations import (
    Expected,
    LogIn,
    Operation,
    OvertakenLogIn,
    ReadProfile,
    Refresh,
    Stage,
)
from tests.stateful.passkey_operations import LogInWithPasskey
from tests.stateful.service import Service
from tests.stateful.tables import Contents, Mail, seconds
from tests.support.functions import Response

#: The time at which each example begins: 2030-01-01, in seconds since the epoch.
_START: Final = 1_893_456_000
#: How long a request may take. The clock of the model does not advance during a request.
_TOLERANCE_SECONDS: Final = 5


# --- Steps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transport:
    """Which environment gets a request, and which faults happen."""

    environment: int = 0
    fault: Fault | None = None
    #: Whether the response is lost before it reaches the client.
    is_lost: bool = False
    #: Whether a client without a response sends the request again, to the other environment.
    is_sent_again: bool = False


_environment = st.integers(0, 1)
_point = st.integers(1, 30)
_fault = st.one_of(
    st.builds(Crash, at=_point),
    st.builds(HangUp, at=_point),
    st.builds(Conflict, at=_point, times=st.sampled_from([1, MORE_CONFLICTS_THAN_RETRIES])),
)
_faultless = st.builds(Transport, environment=_environment)
_response_lost = st.builds(partial(Transport, is_lost=True), environment=_environment, is_sent_again=st.booleans())
_faulty = st.builds(Transport, environment=_environment, fault=_fault, is_sent_again=st.booleans())
#: Most are without faults. Otherwise faults would hide other defects.
transports = st.one_of(_faultless, _faultless, _faultless, _faultless, _response_lost, _faulty, _faulty)


@dataclass(frozen=True)
class Step:
    """A wait, and then an operation. The operation may be repeated, or overtaken by another one while it is paused."""

    operation: Operation | None = None
    wait: float = 0
    times: int = 1
    overtaken_by: Operation | None = None
    pause_at: int = 0


#: A function that returns the steps of one kind that are possible now.
Kind = Callable[[Model], Iterable[Step]]


def _steps_of(machine: "Machine") -> st.SearchStrategy[Step]:
    """Return a strategy that draws a kind by its weight, and then one of its steps.

    One rule for each kind would be simpler. But hypothesis disables most rules in each example, so a small number of
    examples would cover too little.
    """
    possible = {kind: list(kind(machine.model)) for kind in machine.weights}
    kinds = [kind for kind, weight in machine.weights.items() for _ in range(weight) if possible[kind]]
    return st.sampled_from(kinds).flatmap(lambda kind: st.sampled_from(possible[kind]))


steps: Final = st.runner().flatmap(_steps_of)


# --- The machine ------------------------------------------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Two environments that share a database, and the model."""

    def __init__(self, service: Service, weights: Mapping[Kind, int]) -> None:
        """Start an example with an empty model.

        Args:
            service: the service, without data. It is reused for each example.
            weights: the kinds of steps, and how often each kind is drawn, relative to the others.

        """
        super().__init__()
        self.weights = weights
        self.model = Model(_START)
        self._service = service
        self._contents = Contents()
        #: The number of audit records that the last operation has written, by name.
        self._records = Counter[str]()

    def take_step(self, step: Step, transport: Transport) -> None:
        """Run a step."""
        if step.wait:
            self.wait_for(step.wait)
        if step.operation and step.overtaken_by:
            self.do_meanwhile(step.operation, step.overtaken_by, pause_at=step.pause_at)
        elif step.operation:
            for _ in range(step.times):
                self.do(step.operation, transport)

    def do(self, operation: Operation, transport: Transport = Transport()) -> None:
        """Run ``operation``, compare, and use each token that must be accepted, or that must now be rejected."""
        other = Transport(1 - transport.environment)
        has_response = self._do(operation, transport)
        if transport.is_sent_again and not has_response:
            self._do(operation, other)
        self._use_tokens(other)

    def do_meanwhile(self, first: Operation, second: Operation, *, pause_at: int) -> None:
        """Run ``second`` while ``first`` is paused before a transaction.

        The outcome must be as if they had run one after the other, in either order.
        """
        here, there = self._service.environments
        now = self.model.now
        others: list[tuple[Operation, Response]] = []

        def do_second() -> None:
            answer = there.run(second.job(), now=now)
            assert answer is not None, "the environment has crashed without a fault"
            others.append((second, answer))

        response = here.run_around(first.job(), now=now, pause_at=pause_at, meanwhile=do_second)
        orders = [[(first, response), *others], [*others, (first, response)]]
        if isinstance(first, LogIn | LogInWithPasskey):
            orders.append([*others, (OvertakenLogIn(first), response)])
        self._read_tables()
        before, problems = self.model, []
        for order in orders:
            self.model, steps = deepcopy((before, order))
            problem = self._replay(steps)
            if not problem:
                break
            problems.append(problem)
        else:
            raise AssertionError(_any_of(problems))
        self._use_tokens(Transport())

    def wait_for(self, seconds: float) -> None:
        """Advance the clock."""
        self.model.now += seconds
        self._use_tokens(Transport())

    def teardown(self) -> None:
        """Check everything at the end, unless the example has failed, and delete all data."""
        try:
            if sys.exc_info()[0] is None:
                self._check_everything()
        finally:
            self._service.renew()

    # One operation.

    def _do(self, operation: Operation, transport: Transport) -> bool:
        """Run ``operation`` and compare. Return whether the client has a response that is not 503."""
        expected = operation.expect(self.model)
        response = self._service.environments[transport.environment].run(
            operation.job(), now=self.model.now, fault=transport.fault
        )
        self._read_tables()
        is_masked = transport.fault is None or transport.fault.is_masked
        if not is_masked and (response is None or response.status == 503):
            self._settle(expected.stages, is_complete=False)
            return False
        problem = _compare(response, expected)
        assert not problem, f"{operation}:\n{problem}"
        # A success is complete. A rejection is returned even if a fault has prevented its count and record.
        is_success = expected.status < 400 and not expected.is_hidden_rejection
        self._settle(expected.stages, is_complete=is_masked or is_success)
        if transport.is_lost:
            return False
        assert response is not None
        expected.learn(response)
        return True

    def _replay(self, steps: Sequence[tuple[Operation, Response]]) -> str:
        """Run ``steps`` on the model, one after the other. Return the differences from the service, or ""."""
        done = []
        records = Counter[str]()
        for operation, response in steps:
            expected = operation.expect(self.model)
            problem = _compare(response, expected)
            if problem:
                return problem
            for stage in expected.stages:
                stage.apply()
                records.update(stage.records)
            done.append((expected, response))
        problem = self._difference(records, optional=Counter())
        if not problem:
            self._synchronise()
            for expected, response in done:
                expected.learn(response)
        return problem

    def _use_tokens(self, transport: Transport) -> None:
        """Use the newest access token of each session, and once each token that must be rejected."""
        now = self.model.now
        for session in self.model.sessions:
            for token in session.access_tokens:
                is_newest = token is session.access_tokens[-1]
                if not token.has_been_rejected and (is_newest or not token.is_accepted(now)):
                    self._do(ReadProfile(token), transport)
                    token.has_been_rejected = not token.is_accepted(now)
            if session.newest_received and not session.has_been_rejected and not session.is_live(now):
                self._do(Refresh(session.newest_received), transport)
                session.has_been_rejected = True

    # The comparison with the tables.

    def _read_tables(self) -> None:
        before, self._contents = self._contents, self._service.tables.read()
        self._records = Counter()
        for record, number in (self._contents.audit_records - before.audit_records).items():
            self._records[record.name] += number
        for family in self._contents.families().values():
            # Generations follow each other, and only the newest is not spent.
            assert family == [(generation, generation < len(family) - 1) for generation in range(len(family))]
        shared = self._contents.shared_addresses(self.model.now)
        assert not shared, f"more than one account has, or has reserved: {shared}"

    def _settle(self, stages: Sequence[Stage], *, is_complete: bool) -> None:
        """Apply the committed stages to the model: all of them, or after a fault some of the first.

        After a fault, a stage that only writes records may be missing, because a rejection does not depend on it. But
        no record is written before the change that it follows.
        """
        problems = []
        records, optional = Counter[str](), Counter[str]()
        for stage, following in pairwise([Stage(), *stages, None]):
            assert stage
            stage.apply()
            (records if stage.change or is_complete else optional).update(stage.records)
            if following and (is_complete or not following.change):
                continue
            rejection = Counter(following.records if following and following.is_rejection else ())
            problem = self._difference(records, optional=optional + rejection)
            if not problem:
                self._synchronise()
                return
            problems.append(problem)
        raise AssertionError(_any_of(problems))

    def _difference(self, records: Counter[str], *, optional: Counter[str]) -> str:
        """Return the differences between tables and model, and between new audit records and ``records``, or ""."""
        self._learn_ids()
        stored, expected = self._contents.facts(self.model.now, self.model.counters), self.model.facts()
        lines = [
            f"  {key}: stored {stored.get(key)}, expected {expected.get(key)}"
            for key in {**stored, **expected}
            if stored.get(key) != expected.get(key)
        ]
        if not records <= self._records <= records + optional:
            lines.append(f"  audit records: stored {dict(self._records)}, expected {dict(records)}")
        return "\n".join(lines)

    def _learn_ids(self) -> None:
        """Copy the ids of new accounts and sessions from the tables to the model."""
        for user in self._contents.users:
            account = self.model.accounts.get(user.email)
            if account and not account.id:
                account.id = user.id
        known = {session.id for session in self.model.sessions}
        new = {row.user_id: row.id for row in self._contents.sessions if row.id not in known}
        for session in self.model.sessions:
            session.id = session.id or new.get(session.account.id)
        known = {passkey.id for passkey in self.model.passkeys}
        new = {row.user_id: row.id for row in self._contents.passkeys if row.id not in known}
        for passkey in self.model.passkeys:
            passkey.id = passkey.id or new.get(passkey.account.id)
        for mail in self._contents.mails.values():
            self._learn_mail(mail)

    def _learn_mail(self, mail: Mail) -> None:
        """Copy the link and code of a new mail to the model's token that has none yet."""
        variables = mail.content.variables
        text = variables.get("token") or variables.get("undo_token")
        sent = [token for token in self.model.mail_tokens if token.account and token.kind == mail.kind]
        new = [token for token in sent if token.text is None and token.email == mail.content.recipient]
        new = [token for token in new if token.account and token.account.id == mail.user_id]
        if new and text not in {token.text for token in sent}:
            # The mail of an earlier link that has ended may have been deleted, so that no user has got that link.
            newest = max(new, key=lambda token: (not token.is_deleted, token.created_at))
            newest.text, newest.code = text, variables.get("code")

    def _synchronise(self) -> None:
        """Copy counters and times from the tables: times may differ by the duration of a request."""
        rows = {row.key: row for row in self._contents.throttles}
        for key, counter in self.model.counters.items():
            row = rows.get(key)
            locked_until = seconds(row.locked_until) if row else 0
            if counter.is_locked(self.model.now):
                assert abs(locked_until - counter.locked_until) < _TOLERANCE_SECONDS
            counter.failures = row.failures if row else 0
            counter.locked_until = locked_until
            counter.expires_at = seconds(row.expires_at) if row else 0
            counter.is_rejection_recorded = row is not None and row.refusal_recorded
        pending_until = {row.id: seconds(row.pending_proofs_until) for row in self._contents.sessions}
        for session in self.model.sessions:
            session.pending_proofs_until = pending_until.get(session.id, 0)
        self._synchronise_events()

    def _synchronise_events(self) -> None:
        """Copy the times of changed addresses, passkeys and notices. They decide what a link undoes."""
        created_at = {row.id: row.created_at for row in self._contents.passkeys}
        for passkey in self.model.passkeys:
            if not passkey.is_deleted:
                passkey.created_at = self._synchronised(passkey.created_at, created_at[passkey.id])
        changed_at = {(row.user_id, row.old_email): row.changed_at for row in self._contents.email_changes}
        for change in self.model.email_changes:
            if change.is_reversible(self.model.now):
                change.changed_at = self._synchronised(
                    change.changed_at, changed_at[change.account.id, change.old_email]
                )
        event_at = {row.token_hash: row.event_at for row in self._contents.mail_tokens if row.event_at}
        for token in self.model.mail_tokens:
            if token.text and token.purpose == "secure_account" and not token.is_deleted:
                hashed = hash_mail_token(token.text, MailTokenPurpose.SECURE_ACCOUNT)
                token.created_at = self._synchronised(token.created_at, event_at[hashed])

    @staticmethod
    def _synchronised(expected: float, stored: datetime) -> float:
        assert abs(seconds(stored) - expected) < _TOLERANCE_SECONDS
        return seconds(stored)

    # The end of an example.

    def _check_everything(self) -> None:
        """Use every token, and verify the audit log and the output of the environments."""
        for session in self.model.sessions:
            if session.newest_received:
                self._do(Refresh(session.newest_received), Transport())
        for access_token in self.model.access_tokens:
            self._do(ReadProfile(access_token), Transport(1))
        passwords = [account.password for account in self.model.accounts.values()]
        access_tokens = [token.text for token in self.model.access_tokens]
        refresh_tokens = [token.text for token in self.model.refresh_tokens]
        step_up_tokens = [token.text for token in self.model.step_up_tokens]
        links = [text for token in self.model.mail_tokens for text in (token.text, token.code)]
        client_secrets = [credential.secret for credential in self.model.credentials]
        service_tokens = [token.text for token in self.model.service_tokens]
        secrets = [
            *client_secrets,
            *service_tokens,
            *passwords,
            *access_tokens,
            *refresh_tokens,
            *step_up_tokens,
            *links,
        ]
        self._service.verify(now=self.model.now, secrets=filter(None, secrets))


def _compare(response: Response | None, expected: Expected) -> str:
    """Return how a response differs from the expected one, or "" if it does not."""
    if response is None or response.status != expected.status:
        return f"  response: {response}, expected {expected.status}"
    if expected.code and response.code != expected.code:
        return f"  response: {response}, expected {expected.code}"
    if expected.token and expected.token not in response.json:
        return f"  response: {response}, expected {expected.token}"
    if expected.claims:
        claims = jwt.decode(response.json["access_token"], options={"verify_signature": False})
        if not expected.claims.items() <= claims.items():
            return f"  access token: {claims}, expected {expected.claims}"
    return ""


def _any_of(problems: list[str]) -> str:
    return "the model differs from the service:\n" + "\nor:\n".join(problems)
