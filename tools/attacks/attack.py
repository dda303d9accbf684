"""What an attack is made of, and what comes of one: answers, security events, alarms."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from auth_common.events.vocabulary import SecurityEvent
from tools.attacks.alarms import Alarm, Alarms
from tools.attacks.log_lines import security_events
from tools.attacks.target import Target

#: What an attack has achieved, in words. Empty: nothing.
Breaches = list[str]
#: The attack itself. What it needs is there already, and is not counted.
Run = Callable[[], Breaches]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One kind of attack."""

    name: str
    #: Makes the accounts that it needs.
    prepare: Callable[[Target], Run]
    #: The events that must tell of it.
    events: frozenset[SecurityEvent]
    #: The alarms that it must raise, by name. None: it must raise none.
    alarms: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attack."""

    attack: Attack
    #: How often each HTTP status was answered.
    statuses: Counter[int]
    #: How often each security event was written, by name and reason.
    events: Counter[tuple[str, str]]
    alarms: tuple[Alarm, ...]
    #: The highest value that each of them saw in one period.
    peaks: dict[str, float]
    breaches: Breaches

    @property
    def faults(self) -> list[str]:
        """Return what is wrong: the attack succeeded, or nobody would have seen it, or there was a false alarm."""
        seen = {name for name, _ in self.events}
        raised = {alarm.name for alarm in self.alarms}
        expected = self.attack.alarms
        return [
            *self.breaches,
            *(f"answered {status}" for status in self.statuses if status >= HTTPStatus.INTERNAL_SERVER_ERROR),
            *(f"no event {event}" for event in sorted(self.attack.events) if event not in seen),
            *(f"no alarm {name}" for name in sorted(expected - raised)),
            *(f"false alarm {name}" for name in sorted(raised) if not expected),
        ]


def carry_out(attack: Attack, target: Target, alarms: Alarms) -> Outcome:
    """Carry out ``attack``, and look at nothing but what was written meanwhile."""
    run = attack.prepare(target)
    mark = target.mark()
    breaches = run()
    lines = target.lines_since(mark)
    raised = alarms.raised_by(lines)
    return Outcome(
        attack=attack,
        statuses=target.statuses.copy(),
        events=security_events(lines),
        alarms=raised,
        peaks={alarm.name: alarm.peak(lines) for alarm in raised},
        breaches=breaches,
    )
