"""The tables, for SQLite, PostgreSQL and Aurora DSQL alike: UUID keys made in Python, no sequences, times in UTC."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time. Goes in and comes out with ``tzinfo=UTC`` on every database. SQLite by itself forgets zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone: it could mean anything."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a time needs a zone"
            raise ValueError(message)
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the interface's
        """Return the time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class KeyBytes(TypeDecorator[bytes]):
    """Bytes that are a key or part of an index: on Aurora DSQL, which has no ``bytea`` there, as text.

    Its keys end at 1 KiB, so a passkey whose id is longer than 768 bytes cannot be stored there. No authenticator makes
    such ids.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int) -> None:
        """Set the longest that they can be, in bytes."""
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type in the database."""
        as_text = String((self.length * 4 + 2) // 3)
        return dialect.type_descriptor(as_text if _takes_text(dialect) else LargeBinary(self.length))

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | str | None:
        """Return what the database gets: base64url without padding (RFC 4648 section 5), or the bytes."""
        if value is None or not _takes_text(dialect):
            return value
        return urlsafe_b64encode(value).decode().rstrip("=")

    def process_result_value(self, value: bytes | str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - the interface's
        """Return the bytes."""
        return urlsafe_b64decode(value + "=" * (-len(value) % 4)) if isinstance(value, str) else value


class Words(TypeDecorator[tuple[str, ...]]):
    """Words of any characters in one text: percent-encoded (RFC 3986 section 2.1) and separated by spaces.

    ASCII words without spaces look as they are, so rows that were written before this type existed are read correctly.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:  # noqa: ARG002 - the interface's
        """Return the text."""
        return encode_words(value or ())

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002 - the interface's
        """Return the words."""
        return tuple(unquote(word) for word in (value or "").split())


def encode_words(words: Iterable[str]) -> str:
    """Return the text that ``Words`` stores."""
    return " ".join(quote(word, safe="") for word in words)


class AsStored(UserDefinedType[Any]):
    """A value as the driver returns it, without a conversion that could fail.

    SQLite stores values of any type in any column. One of them must not end a query that returns others.
    """

    cache_ok = True


def as_row(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by their names, as an INSERT takes them.

    ``dataclasses.asdict`` would copy each value, which takes as long as the statement.
    """
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _takes_text(dialect: Dialect) -> bool:
    return dialect.name == "auroradsql"


users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: Normalised (``users.email_address``): one mailbox, one row, also when two registrations race.
    Column("email", String(320), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("date_of_birth", Date, nullable=False),
    Column("job_title", String(200), nullable=False),
    Column("password_hash", String(60), nullable=False),
    #: ``user``, ``security`` or ``admin``.
    Column("role", String(20), nullable=False),
    #: ``active`` or ``disabled``.
    Column("status", String(20), nullable=False),
    #: Raised when all of the user's tokens must end: password change, role change.
    Column("token_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    #: A keyed hash of the client IP that registered the account: attempts from there are known, as after a login.
    Column("registered_from", KeyBytes(16)),
)

#: One row a login; the ``sid`` of its tokens.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    #: How the person logged in (RFC 8176), space-separated, and when.
    Column("amr", String(100), nullable=False),
    Column("auth_time", UtcDateTime, nullable=False),
    Column("source_ip", String(45), nullable=False),
    Column("user_agent", String(256), nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    #: The user's token version at the login: raising the user's ends the session.
    Column("token_version", Integer, nullable=False),
    #: The generation of the newest refresh token in the family.
    Column("generation", Integer, nullable=False),
    #: The step-up token: its SHA-256, what it was proved by (RFC 8176, space-separated), and when it expires.
    Column("step_up_hash", LargeBinary(32)),
    Column("step_up_amr", String(100)),
    Column("step_up_expires_at", UtcDateTime),
    #: Wrong proofs of identity in this session since the last right one. Null stands for 0: Aurora DSQL adds no column
    #: that has a default.
    Column("failed_proofs", Integer),
    #: Proofs that are being checked, and the time from which this number is stale: what a crash leaves behind expires.
    Column("pending_proofs", Integer),
    Column("pending_proofs_until", UtcDateTime),
)
Index("ix_sessions_user_id", sessions.c.user_id)
Index("ix_sessions_expires_at", sessions.c.expires_at)

#: The refresh tokens of a session, one family; only their hashes.
refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", KeyBytes(32), primary_key=True),
    Column("session_id", Uuid, ForeignKey("sessions.id"), nullable=False),
    #: 0 for the one that the login issued. A counter, because clocks of two environments cannot order two rotations.
    Column("generation", Integer, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    #: When it was exchanged, and the token that it was exchanged for, sealed so that only its own bearer can read it.
    Column("spent_at", UtcDateTime),
    Column("successor", LargeBinary(128)),
)
Index("ix_refresh_tokens_session_id", refresh_tokens.c.session_id)
Index("ix_refresh_tokens_expires_at", refresh_tokens.c.expires_at)

#: The challenges of WebAuthn ceremonies. A registration's row is deleted by its first answer. A login's challenge is
#: signed and gets its row with its first answer (``passkeys.login_challenges``).
challenges = Table(
    "challenges",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: ``registration``, ``authentication`` or ``step_up``.
    Column("ceremony", String(20), nullable=False),
    #: The user. Null for a login with a passkey alone, because the ceremony finds out who the user is.
    Column("user_id", Uuid, ForeignKey("users.id")),
    #: The user's token version at the beginning: what ends their sessions ends their ceremonies.
    Column("token_version", Integer),
    Column("challenge", LargeBinary(32), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    #: The session that began it. Null for a login, which has no session yet.
    Column("session_id", Uuid),
    #: The ids of the account's passkeys when a registration began, space-separated.
    Column("passkey_ids", Text),
)
Index("ix_challenges_expires_at", challenges.c.expires_at)

#: The longest text that keeps a passkey's transports.
TRANSPORTS_LENGTH: Final = 100

#: WebAuthn credentials (credential records, section 4 of the specification).
passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    #: At most 1023 bytes (WebAuthn section 4, Credential ID).
    Column("credential_id", KeyBytes(1023), nullable=False, unique=True),
    #: As a COSE_Key.
    Column("public_key", LargeBinary(2048), nullable=False),
    #: An unsigned number of 32 bits, hence not an Integer.
    Column("sign_count", BigInteger, nullable=False),
    #: What the client says, a hint for its next login. Level 3 section 5.2.1 keeps unknown ones too.
    Column("transports", Words(TRANSPORTS_LENGTH), nullable=False),
    #: The authenticator's model, unattested.
    Column("aaguid", Uuid, nullable=False),
    #: Whether its holder has proved to be the user by PIN or biometry at a moment that vouches for it: then it may log
    #: in alone. An attacker who steals a key without a PIN can give it one.
    Column("uv_initialized", Boolean, nullable=False),
    #: Whether it may leave the device that made it, and whether it has.
    Column("backup_eligible", Boolean, nullable=False),
    Column("backed_up", Boolean, nullable=False),
    Column("name", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
)
Index("ix_passkeys_user_id", passkeys.c.user_id)

#: The audit log: one row a security event, in chains that show tampering (``audit_log.protection``).
audit_events = Table(
    "audit_events",
    metadata,
    #: One chain a running environment, so that no two write to one place.
    Column("chain_id", Uuid, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    #: Milliseconds since the epoch (OCSF's ``timestamp_t``): can be counted by the hour on every database.
    Column("time", BigInteger, nullable=False),
    Column("name", String(40), nullable=False),
    #: ``success`` or ``failure``.
    Column("outcome", String(7), nullable=False),
    Column("severity", Integer, nullable=False),
    #: Not a foreign key: the record of an account outlives it.
    Column("user_id", Uuid),
    #: A keyed hash of the address that the request came from.
    Column("source", KeyBytes(16)),
    Column("reason", String(60)),
    #: The whole event as JSON: what the MAC covers.
    Column("record", Text, nullable=False),
    Column("mac", LargeBinary(32), nullable=False),
)
Index("ix_audit_events_time", audit_events.c.time)
Index("ix_audit_events_name_time", audit_events.c.name, audit_events.c.time)
Index("ix_audit_events_user_id_time", audit_events.c.user_id, audit_events.c.time)
Index("ix_audit_events_source_time", audit_events.c.source, audit_events.c.time)
Index("ix_audit_events_severity_time", audit_events.c.severity, audit_events.c.time)
Index("ix_audit_events_reason_time", audit_events.c.reason, audit_events.c.time)

#: What the personal fields of a user's audit records are encrypted under, next to the audit key. Without the
#: salt, they cannot be read.
audit_salts = Table(
    "audit_salts",
    metadata,
    #: Not a foreign key: a record under way while its user is erased must not fail. The clean-up looks after it.
    Column("user_id", Uuid, primary_key=True),
    Column("salt", LargeBinary(32), nullable=False),
)

#: How often something was tried in vain, by whom or at whose cost: one row a counter (``throttling.service``).
throttles = Table(
    "throttles",
    metadata,
    #: A keyed hash of what is counted: neither addresses nor accounts can be read from it.
    Column("key", KeyBytes(16), primary_key=True),
    #: Attempts that have failed, or are under way.
    Column("failures", Integer, nullable=False),
    #: When the count began: what is given back goes to the count that it was taken from.
    Column("started_at", UtcDateTime, nullable=False),
    #: Until then nothing is tried.
    Column("locked_until", UtcDateTime),
    #: Whether the audit log has a refusal during this lock; it keeps one only.
    Column("refusal_recorded", Boolean, nullable=False),
    #: When the count begins anew; never before a lock is over.
    Column("expires_at", UtcDateTime, nullable=False),
)
Index("ix_throttles_expires_at", throttles.c.expires_at)
