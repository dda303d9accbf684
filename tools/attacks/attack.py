"""The parts of an attack, and its outcome: responses, security events and alarms."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from auth_common.events.vocabulary import SecurityEvent
from tools.attacks.alarms import Alarm, Alarms
from tools.attacks.log_lines import security_events
from tools.attacks.target import Target

#: A description of each success of an attack. Empty if the attack failed.
Breaches = list[str]
#: Runs a prepared attack. Only its own requests, events and alarms count.
Run = Callable[[], Breaches]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One kind of attack."""

    name: str
    #: Creates the accounts that the attack needs.
    prepare: Callable[[Target], Run]
    #: The security events that the attack must cause.
    events: frozenset[SecurityEvent]
    #: The names of the alarms that the attack must raise. If there are none, every alarm is a false alarm.
    alarms: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of an attack."""

    attack: Attack
    #: The number of responses with each HTTP status.
    statuses: Counter[int]
    #: The number of security events by name and reason.
    events: Counter[tuple[str, str]]
    alarms: tuple[Alarm, ...]
    #: The highest value of each raised alarm in one period, by the alarm's name.
    peaks: dict[str, float]
    breaches: Breaches

    @property
    def faults(self) -> list[str]:
        """Return a description of each fault: a breach, a server error, a missing event or alarm, or a false alarm."""
        seen = {name for name, _ in self.events}
        raised = {alarm.name for alarm in self.alarms}
        expected = self.attack.alarms
        return [
            *self.breaches,
            *(
                f"unexpected response {status}"
                for status in self.statuses
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR
            ),
            *(f"no event {event}" for event in sorted(self.attack.events) if event not in seen),
            *(f"no alarm {name}" for name in sorted(expected - raised)),
            *(f"false alarm {name}" for name in sorted(raised) if not expected),
        ]


def carry_out(attack: Attack, target: Target, alarms: Alarms) -> Outcome:
    """Prepare and run ``attack``. Return its outcome, from the lines that were logged while it ran."""
    run = attack.prepare(target)
    start = target.start_measuring()
    breaches = run()
    lines = target.lines_since(start)
    raised = alarms.raised_by(lines)
    return Outcome(
        attack=attack,
        statuses=target.statuses.copy(),
        events=security_events(lines),
        alarms=raised,
        peaks={alarm.name: alarm.peak(lines) for alarm in raised},
        breaches=breaches,
    )
