"""The table of pauses of mail, which has one row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, select, text, update

from auth_common.database.tables import UtcDateTime, mail_pauses

_NAME: Final = "unverified"
#: As text, which is the same for all databases. SQLAlchemy has a different INSERT ... ON CONFLICT for each of them.
_BEGIN: Final = text(
    """
    INSERT INTO mail_pauses (name, paused_at, resumed_at) VALUES (:name, :now, NULL)
    ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, resumed_at = NULL
    WHERE mail_pauses.resumed_at IS NOT NULL
    RETURNING name
    """
).bindparams(bindparam("now", type_=UtcDateTime()))


@dataclass(frozen=True, slots=True)
class Pause:
    """The latest pause of mail to addresses that were never verified."""

    paused_at: datetime
    #: None: the pause goes on.
    resumed_at: datetime | None


def select_pause(connection: Connection) -> Pause | None:
    """Return the latest pause. Return None if there was none yet."""
    found = select(mail_pauses.c.paused_at, mail_pauses.c.resumed_at).where(mail_pauses.c.name == _NAME)
    row = connection.execute(found).one_or_none()
    return Pause(*row) if row else None


def begin_pause(connection: Connection, *, now: datetime) -> bool:
    """Begin a pause. Return False, and change nothing, if mail is paused already."""
    return connection.execute(_BEGIN, {"name": _NAME, "now": now}).one_or_none() is not None


def end_pause(connection: Connection, *, now: datetime) -> bool:
    """End the pause. Return False if mail is not paused."""
    paused = update(mail_pauses).where(mail_pauses.c.name == _NAME, mail_pauses.c.resumed_at.is_(None))
    return connection.execute(paused.values(resumed_at=now)).rowcount == 1
