"""The machine: two environments and a model side by side, compared after each operation.

Features add rules to it: see ``test_sessions_model.py``.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import jwt
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from tests.stateful.environments import ENDLESS, Conflict, Crash, Fault, HangUp
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
from tests.stateful.service import Service
from tests.stateful.tables import Contents, seconds
from tests.support.functions import Response

#: When each example begins: 2030-01-01.
_BEGINNING: Final = 1_893_456_000
#: Seconds that a request may take. The clock of the model stands still meanwhile.
_TOLERANCE: Final = 5


# --- What rules draw --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How a request reaches the service, and what happens on the way."""

    environment: int = 0
    fault: Fault | None = None
    #: The response does not reach the client.
    is_lost: bool = False
    #: A client without a response sends the request again at once, and the other environment gets it.
    is_sent_again: bool = False


_environment = st.integers(0, 1)
_point = st.integers(1, 30)
_fault = st.one_of(
    st.builds(Crash, at=_point),
    st.builds(HangUp, at=_point),
    st.builds(Conflict, at=_point, times=st.sampled_from([1, ENDLESS])),
)
_calm = st.builds(Way, environment=_environment)
_lost = st.builds(partial(Way, is_lost=True), environment=_environment, is_sent_again=st.booleans())
_faulty = st.builds(Way, environment=_environment, fault=_fault, is_sent_again=st.booleans())
#: Most are calm, or nothing else would be found.
ways = st.one_of(_calm, _calm, _calm, _calm, _lost, _faulty, _faulty)


@dataclass(frozen=True)
class Step:
    """A wait, and an operation, which may happen several times, or which another one may overtake."""

    operation: Operation | None = None
    wait: float = 0
    times: int = 1
    overtaken_by: Operation | None = None
    pause_at: int = 0


#: Returns the steps of one kind that are possible now.
Kind = Callable[[Model], Iterable[Step]]


def _steps_of(machine: "Machine") -> st.SearchStrategy[Step]:
    """Draw a kind by its weight, and one of its steps.

    Rules would do this, too, but hypothesis leaves out most of them in each example, which makes few of few examples.
    """
    possible = {kind: list(kind(machine.model)) for kind in machine.weights}
    kinds = [kind for kind, weight in machine.weights.items() for _ in range(weight) if possible[kind]]
    return st.sampled_from(kinds).flatmap(lambda kind: st.sampled_from(possible[kind]))


steps: Final = st.runner().flatmap(_steps_of)


# --- The machine ------------------------------------------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Two environments, the tables that they share, and the model."""

    def __init__(self, service: Service, weights: Mapping[Kind, int]) -> None:
        """Begin with a service that is as good as new.

        Args:
            service: is used again for each example.
            weights: the kinds of steps, and how often each is chosen, relative to the others.

        """
        super().__init__()
        self.weights = weights
        self.model = Model(_BEGINNING)
        self._service = service
        self._contents = Contents()
        #: How many audit records of each name the last operation has made.
        self._records = Counter[str]()

    def take_step(self, step: Step, way: Way) -> None:
        """Do what ``step`` says."""
        if step.wait:
            self.wait_for(step.wait)
        if step.operation and step.overtaken_by:
            self.do_meanwhile(step.operation, step.overtaken_by, pause_at=step.pause_at)
        elif step.operation:
            for _ in range(step.times):
                self.do(step.operation, way)

    def do(self, operation: Operation, way: Way = Way()) -> None:
        """Do ``operation``, compare, and use each token that must work or has just stopped working."""
        other = Way(1 - way.environment)
        has_response = self._do(operation, way)
        if way.is_sent_again and not has_response:
            self._do(operation, other)
        self._use_tokens(other)

    def do_meanwhile(self, first: Operation, second: Operation, *, pause_at: int) -> None:
        """Do ``second`` while ``first`` is paused before a transaction; then let ``first`` go on.

        The outcome must be that of one after the other, in either order.
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
        if isinstance(first, LogIn):
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
        self._use_tokens(Way())

    def wait_for(self, seconds: float) -> None:
        """Let time pass."""
        self.model.now += seconds
        self._use_tokens(Way())

    def teardown(self) -> None:
        """Look at everything once more, unless something has failed already, and delete it."""
        try:
            if sys.exc_info()[0] is None:
                self._check_everything()
        finally:
            self._service.renew()

    # One operation.

    def _do(self, operation: Operation, way: Way) -> bool:
        """Do ``operation``, compare, and return whether the client has a response other than "try again"."""
        expected = operation.expect(self.model)
        response = self._service.environments[way.environment].run(operation.job(), now=self.model.now, fault=way.fault)
        self._read_tables()
        is_masked = way.fault is None or way.fault.is_masked
        if not is_masked and (response is None or response.status == 503):
            self._settle(expected.stages, is_complete=False)
            return False
        problem = _compare(response, expected)
        assert not problem, f"{operation}:\n{problem}"
        # A success is complete. A rejection stands although a fault has kept it from being counted and recorded.
        self._settle(expected.stages, is_complete=is_masked or expected.status < 400)
        if way.is_lost:
            return False
        assert response is not None
        expected.learn(response)
        return True

    def _replay(self, steps: Sequence[tuple[Operation, Response]]) -> str:
        """Let the model do ``steps`` one after the other. Return what differs from what has happened, "" if nothing."""
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

    def _use_tokens(self, way: Way) -> None:
        """Use the newest access token of each session, and once each token of what has ended."""
        now = self.model.now
        for session in self.model.sessions:
            for token in session.access_tokens:
                is_newest = token is session.access_tokens[-1]
                if not token.has_been_rejected and (is_newest or not token.is_accepted(now)):
                    self._do(ReadProfile(token), way)
                    token.has_been_rejected = not token.is_accepted(now)
            if session.newest_received and not session.has_been_rejected and not session.is_live(now):
                self._do(Refresh(session.newest_received), way)
                session.has_been_rejected = True

    # The comparison with the tables.

    def _read_tables(self) -> None:
        before, self._contents = self._contents, self._service.tables.read()
        self._records = Counter()
        for record, number in (self._contents.audit_records - before.audit_records).items():
            self._records[record.name] += number
        for family in self._contents.families().values():
            # One line of generations, of which the newest alone is live.
            assert family == [(generation, generation < len(family) - 1) for generation in range(len(family))]

    def _settle(self, stages: Sequence[Stage], *, is_complete: bool) -> None:
        """Let the model do what has been committed: all stages, or after a fault the first few that change something.

        After a fault, a stage that is only a record may be missing: a rejection does not depend on it. But no record
        comes before the change that it follows.
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
        """Return how tables and model, or new audit records and ``records``, differ; "" if they do not."""
        self._learn_ids()
        stored, expected = self._contents.facts(self.model.now), self.model.facts()
        lines = [
            f"  {key}: stored {stored.get(key)}, expected {expected.get(key)}"
            for key in {**stored, **expected}
            if stored.get(key) != expected.get(key)
        ]
        if not records <= self._records <= records + optional:
            lines.append(f"  audit records: stored {dict(self._records)}, expected {dict(records)}")
        return "\n".join(lines)

    def _learn_ids(self) -> None:
        """Give new accounts and sessions of the model the ids that the service has chosen."""
        for user in self._contents.users:
            account = self.model.accounts.get(user.email)
            if account and not account.id:
                account.id = user.id
        known = {session.id for session in self.model.sessions}
        new = {row.user_id: row.id for row in self._contents.sessions if row.id not in known}
        for session in self.model.sessions:
            session.id = session.id or new.get(session.account.id)

    def _synchronise(self) -> None:
        """Take over counters that are over, and the times of others: they differ by the time that a request takes."""
        rows = {row.key: row for row in self._contents.throttles}
        for key, counter in self.model.counters.items():
            row = rows.get(key)
            locked_until = seconds(row.locked_until) if row else 0
            assert not counter.is_locked(self.model.now) or abs(locked_until - counter.locked_until) < _TOLERANCE
            counter.failures = row.failures if row else 0
            counter.locked_until = locked_until
            counter.expires_at = seconds(row.expires_at) if row else 0
            counter.is_refusal_recorded = row is not None and row.refusal_recorded
        pending_until = {row.id: seconds(row.pending_proofs_until) for row in self._contents.sessions}
        for session in self.model.sessions:
            session.pending_proofs_until = pending_until.get(session.id, 0)

    # The end.

    def _check_everything(self) -> None:
        """Use every token, and verify the audit log and what the environments have written."""
        for session in self.model.sessions:
            if session.newest_received:
                self._do(Refresh(session.newest_received), Way())
        for access_token in self.model.access_tokens:
            self._do(ReadProfile(access_token), Way(1))
        passwords = [account.password for account in self.model.accounts.values()]
        access_tokens = [token.text for token in self.model.access_tokens]
        refresh_tokens = [token.text for token in self.model.refresh_tokens]
        step_up_tokens = [token.text for token in self.model.step_up_tokens]
        secrets = [*passwords, *access_tokens, *refresh_tokens, *step_up_tokens]
        self._service.verify(now=self.model.now, secrets=filter(None, secrets))


def _compare(response: Response | None, expected: Expected) -> str:
    """Return how a response differs from the expected one; "" if it does not."""
    if response is None or response.status != expected.status:
        return f"  response: {response}, expected {expected.status}"
    if expected.code and response.code != expected.code:
        return f"  response: {response}, expected {expected.code}"
    if expected.claims:
        claims = jwt.decode(response.json["access_token"], options={"verify_signature": False})
        if not expected.claims.items() <= claims.items():
            return f"  access token: {claims}, expected {expected.claims}"
    return ""


def _any_of(problems: list[str]) -> str:
    return "the model differs from what has happened:\n" + "\nor:\n".join(problems)
