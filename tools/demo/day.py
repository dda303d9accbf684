"""``python -m tools.demo.day``: fill the database that DATA_DIR names with a day of use, in some seconds.

The service's own functions handle every request under a clock that is moved, so their audit records are genuine.
"""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Final

from auth_common.settings import settings
from local_runtime.template import load_template
from tools.attacks.target import TEMPLATE
from tools.demo.attacker import attack
from tools.demo.clock import MovableClock, movable_clock
from tools.demo.functions import Functions, InProcessTarget
from tools.demo.users import (
    ADMIN_EMAIL,
    SECURITY_EMAIL,
    Steps,
    User,
    add_a_passkey,
    change_the_password,
    follow_an_old_link,
    look_up,
    lose_a_token,
    make_users,
    register_carelessly,
    visit,
)
from tools.operators import accounts

_USERS: Final = 30
#: Of these, the first ones change their accounts once and have no other visits.
_CHANGING: Final = 6
_VISITS: Final = 360
#: Of these hours of the day, in local time: how many visits begin in each, as a proportion.
_BUSY: Final = (1, 1, 1, 1, 1, 2, 4, 7, 11, 14, 14, 12, 9, 11, 13, 13, 11, 9, 7, 6, 5, 4, 3, 2)
_DAY: Final = timedelta(hours=24)
_REGISTERED: Final = timedelta(days=3)

#: An activity with its time. The number keeps activities of the same time in order.
_Planned = tuple[datetime, int, Steps]


class Schedule:
    """Activities of many users that take turns, in the order of time."""

    def __init__(self, clock: MovableClock, begin: datetime) -> None:
        """Set the clock to ``begin``. There is no activity yet."""
        clock.set(begin)
        self._clock = clock
        self._planned: list[_Planned] = []
        self._numbers = count()

    def add(self, moment: datetime, steps: Steps) -> None:
        """Add an activity that begins at ``moment``."""
        heappush(self._planned, (moment, next(self._numbers), steps))

    def run(self, until: datetime) -> None:
        """Carry out the activities until the time ``until``, and drop what would come later."""
        while self._planned and (moment := self._planned[0][0]) < until:
            _, number, steps = heappop(self._planned)
            # A step takes a little real time, and the clock of a service must not go back.
            self._clock.set(max(moment, datetime.now(UTC) + self._clock.offset))
            pause = next(steps, None)
            if pause is not None:
                heappush(self._planned, (moment + timedelta(seconds=pause), number, steps))


def fill(data_dir: Path, now: datetime) -> None:
    """Fill an empty data folder with users who registered three days ago, and with the events of the last 24 hours.

    Args:
        data_dir: The folder that the settings name.
        now: The end of the day.

    """
    functions = Functions(load_template(TEMPLATE))
    service = InProcessTarget("http://localhost", data_dir, data_dir, functions=functions)
    chance = random.Random(20)  # noqa: S311 - the same day each time
    users = make_users(service, number=_USERS)
    with movable_clock() as clock:
        schedule = Schedule(clock, now - _REGISTERED)
        for number, user in enumerate(users, start=1):
            schedule.add(now - _REGISTERED + timedelta(minutes=7 * number), _register(user, f"Example User {number}"))
        schedule.add(now - _REGISTERED, _register_staff(service))
        schedule.run(now - _DAY)
        _plan_visits(schedule, users[_CHANGING:], now - _DAY, chance)
        _plan_changes(schedule, users, now, service, chance)
        schedule.run(now)


def _register(user: User, name: str) -> Steps:
    """Register, and log in for the first time. Every fourth user adds a passkey."""
    user.register(name)
    yield 15
    user.log_in()
    if name.endswith(("0", "4", "8")):
        yield 30
        user.add_passkey()


def _register_staff(service: InProcessTarget) -> Steps:
    """Register the demo's own accounts, and give them their roles, as an operator does."""
    for email, name, role in (
        (SECURITY_EMAIL, "Security Example", "security"),
        (ADMIN_EMAIL, "Admin Example", "admin"),
    ):
        User(email, service).register(name)
        yield 20
        accounts.main(["role", email, role, "--json"])
        yield 20


def _plan_visits(schedule: Schedule, users: list[User], begin: datetime, chance: random.Random) -> None:
    hours = [begin + timedelta(hours=number) for number in range(24)]
    weights = [_BUSY[hour.astimezone().hour] for hour in hours]
    for hour in chance.choices(hours, weights, k=_VISITS):
        schedule.add(hour + timedelta(seconds=chance.uniform(0, 3600)), visit(chance.choice(users), chance))


def _plan_changes(
    schedule: Schedule, users: list[User], now: datetime, service: InProcessTarget, chance: random.Random
) -> None:
    """Plan what happens once in the day: changes of accounts, mistakes, an administrator's work and the attack."""
    new = replace(users[0], email="newcomer@example.com")
    admin = User(ADMIN_EMAIL, service)
    changing, others = users[:_CHANGING], users[_CHANGING:]
    reuser, guessed, robbed, curious, careful, forgetful = changing
    stolen: list[str] = []
    for hours, steps in (
        (21, register_carelessly(new)),
        (17, change_the_password(forgetful)),
        (12, follow_an_old_link(curious, careful)),
        (9, lose_a_token(robbed, stolen)),
        (6, attack(service, others, chance, reuser=reuser, guessed=guessed, stolen=stolen)),
        (3, add_a_passkey(careful)),
        (1.5, look_up(admin, others[:4])),
    ):
        schedule.add(now - timedelta(hours=hours), steps)


if __name__ == "__main__":
    fill(settings().data_dir, datetime.now(UTC))
