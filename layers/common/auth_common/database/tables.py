"""The tables for SQLite, PostgreSQL and Aurora DSQL: UUID keys made in Python, no sequences, times in UTC."""

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
    """A point in time, returned with ``tzinfo=UTC`` on every database. SQLite itself does not store time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - required by the interface
        """Return the time in UTC.

        Raises:
            ValueError: The time has no zone, so its meaning is unknown.

        """
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a time needs a time zone"
            raise ValueError(message)
        return value.astimezone(UTC)

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return a function that makes the database's value.

        For SQLite, the function returns the same text as SQLAlchemy's own, in less time.
        """
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)

        def as_text(value: datetime | None) -> str | None:
            time = self.process_bind_param(value, dialect)
            return None if time is None else time.replace(tzinfo=None).isoformat(" ", "microseconds")

        return as_text

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - required by the interface
        """Return the time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class KeyBytes(TypeDecorator[bytes]):
    """Bytes in a key or an index. They are stored as text on Aurora DSQL, which has no ``bytea`` in keys.

    Keys of Aurora DSQL have at most 1 KiB, so a passkey with an id of more than 768 bytes cannot be stored there. No
    known authenticator makes such ids.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int) -> None:
        """Set the maximum length in bytes."""
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the column in the database."""
        as_text = String((self.length * 4 + 2) // 3)
        return dialect.type_descriptor(as_text if _stores_keys_as_text(dialect) else LargeBinary(self.length))

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | str | None:
        """Return the value for the database: base64url without padding (RFC 4648 section 5), or the bytes."""
        if value is None or not _stores_keys_as_text(dialect):
            return value
        return urlsafe_b64encode(value).decode().rstrip("=")

    def process_result_value(self, value: bytes | str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - required by the interface
        """Return the bytes."""
        return urlsafe_b64decode(value + "=" * (-len(value) % 4)) if isinstance(value, str) else value


class Words(TypeDecorator[tuple[str, ...]]):
    """A tuple of words in one text: percent-encoded (RFC 3986 section 2.1) and separated by spaces.

    Plain ASCII words are stored unchanged, so rows that are older than this type are read correctly.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:  # noqa: ARG002 - required by the interface
        """Return the text for the database."""
        return encode_words(value or ())

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002 - required by the interface
        """Return the words."""
        return tuple(unquote(word) for word in (value or "").split())


def encode_words(words: Iterable[str]) -> str:
    """Return the text that ``Words`` stores."""
    return " ".join(quote(word, safe="") for word in words)


class AsStored(UserDefinedType[Any]):
    """A value as the driver returns it, without a conversion that could fail.

    SQLite stores values of any type in any column. A value of a wrong type must not fail the whole query.
    """

    cache_ok = True


def as_row(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, as the parameters of an INSERT.

    ``dataclasses.asdict`` would copy each value, which takes as long as the statement itself.
    """
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _stores_keys_as_text(dialect: Dialect) -> bool:
    return dialect.name == "auroradsql"


users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: Normalised (``users.email_address``). Unique, so one mailbox has one account even if two registrations race.
    Column("email", String(320), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("date_of_birth", Date, nullable=False),
    Column("job_title", String(200), nullable=False),
    Column("password_hash", String(60), nullable=False),
    #: ``user``, ``security`` or ``admin``.
    Column("role", String(20), nullable=False),
    #: ``active``, ``disabled``, or ``unverified``: registered under EMAIL_VERIFICATION=required, and not verified yet.
    Column("status", String(20), nullable=False),
    #: Incremented to invalidate all of the user's tokens, for example at a change of the password or role.
    Column("token_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    #: A keyed hash of the client IP that registered the account or completed the last password reset. It counts as
    #: known, like the client IP of a login, for as long as the token version is ``known_ip_version``.
    Column("registered_from", KeyBytes(16)),
    #: Null means that the client IP is known since the registration, and with the token version 0. Aurora DSQL cannot
    #: add a column with a default.
    Column("known_ip_since", UtcDateTime),
    Column("known_ip_version", Integer),
    #: When the user proved that the address is theirs. Null means never.
    Column("email_verified_at", UtcDateTime),
    #: The language of mails to the user, such as ``de``. Null means the default language.
    Column("locale", String(35)),
    #: When the clean-up deletes the account. Null after the first login or the verification, and in old accounts.
    Column("unused_until", UtcDateTime),
)
Index("ix_users_unused_until", users.c.unused_until)

#: One row per login. Its id is the ``sid`` of the tokens.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    #: The authentication methods of the login (RFC 8176), space-separated, and its time.
    Column("amr", String(100), nullable=False),
    Column("auth_time", UtcDateTime, nullable=False),
    Column("source_ip", String(45), nullable=False),
    Column("user_agent", String(256), nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    #: The user's token version at the login. A higher version of the user invalidates the session.
    Column("token_version", Integer, nullable=False),
    #: The generation of the newest refresh token in the family.
    Column("generation", Integer, nullable=False),
    #: The step-up token: its SHA-256, the proofs (RFC 8176, space-separated), and its expiry.
    Column("step_up_hash", LargeBinary(32)),
    Column("step_up_amr", String(100)),
    Column("step_up_expires_at", UtcDateTime),
    #: Wrong proofs of identity in this session since the last right one. Null means 0, because Aurora DSQL cannot add a
    #: column with a default.
    Column("failed_proofs", Integer),
    #: The number of proofs that are being checked, and the time after which this number is stale, as after a crash.
    Column("pending_proofs", Integer),
    Column("pending_proofs_until", UtcDateTime),
)
Index("ix_sessions_user_id", sessions.c.user_id)
Index("ix_sessions_expires_at", sessions.c.expires_at)

#: The hashes of a session's refresh tokens, which are one family.
refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", KeyBytes(32), primary_key=True),
    Column("session_id", Uuid, ForeignKey("sessions.id"), nullable=False),
    #: 0 for the token of the login. It is a counter, because the clocks of two environments cannot order two rotations.
    Column("generation", Integer, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    #: When the token was exchanged, and its successor, encrypted so that only the bearer of this token can read it.
    Column("spent_at", UtcDateTime),
    Column("successor", LargeBinary(128)),
)
Index("ix_refresh_tokens_session_id", refresh_tokens.c.session_id)
Index("ix_refresh_tokens_expires_at", refresh_tokens.c.expires_at)

#: The challenges of WebAuthn ceremonies. The first response to a registration's challenge deletes its row. A login's
#: challenge is authenticated by a MAC, and the first response to it inserts its row (``passkeys.login_challenges``).
challenges = Table(
    "challenges",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: ``registration``, ``authentication`` or ``step_up``.
    Column("ceremony", String(20), nullable=False),
    #: Null for a login with a passkey alone, because the ceremony finds out who the user is.
    Column("user_id", Uuid, ForeignKey("users.id")),
    #: The user's token version at the beginning. A change of it invalidates the ceremony, like the sessions.
    Column("token_version", Integer),
    Column("challenge", LargeBinary(32), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    #: The session that began the ceremony. Null for a login, which has no session yet.
    Column("session_id", Uuid),
    #: The ids of the account's passkeys when a registration began, space-separated.
    Column("passkey_ids", Text),
)
Index("ix_challenges_expires_at", challenges.c.expires_at)

#: The maximum length of the text with a passkey's transports.
TRANSPORTS_LENGTH: Final = 100

#: WebAuthn credentials (credential records, section 4 of the specification).
passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    #: At most 1023 bytes (WebAuthn section 4, Credential ID).
    Column("credential_id", KeyBytes(1023), nullable=False, unique=True),
    #: A COSE_Key.
    Column("public_key", LargeBinary(2048), nullable=False),
    #: An unsigned number of 32 bits, for which Integer is too small.
    Column("sign_count", BigInteger, nullable=False),
    #: The transports that the client named, as hints for the next login. Unknown ones are stored too (WebAuthn Level 3
    #: section 5.2.1).
    Column("transports", Words(TRANSPORTS_LENGTH), nullable=False),
    #: The model of the authenticator, unattested.
    Column("aaguid", Uuid, nullable=False),
    #: Whether PIN or biometry was used at the registration or beside the password. Only then the passkey may log in
    #: alone, because an attacker who steals a key without a PIN can set one.
    Column("uv_initialized", Boolean, nullable=False),
    #: Whether the passkey may be synced to other devices, and whether it is.
    Column("backup_eligible", Boolean, nullable=False),
    Column("backed_up", Boolean, nullable=False),
    Column("name", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
)
Index("ix_passkeys_user_id", passkeys.c.user_id)

#: The audit log: one row per security event, in chains that show tampering (``audit_log.protection``).
audit_events = Table(
    "audit_events",
    metadata,
    #: Each thread of an environment has its own chain, so that no two write to the same place.
    Column("chain_id", Uuid, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    #: Milliseconds since the epoch (OCSF's ``timestamp_t``), which every database can group by the hour.
    Column("time", BigInteger, nullable=False),
    Column("name", String(40), nullable=False),
    #: ``success`` or ``failure``.
    Column("outcome", String(7), nullable=False),
    Column("severity", Integer, nullable=False),
    #: No foreign key, because records outlive their account.
    Column("user_id", Uuid),
    #: A keyed hash of the client IP.
    Column("source", KeyBytes(16)),
    Column("reason", String(60)),
    #: The whole event as JSON, which the MAC covers.
    Column("record", Text, nullable=False),
    Column("mac", LargeBinary(32), nullable=False),
)
Index("ix_audit_events_time", audit_events.c.time)
Index("ix_audit_events_name_time", audit_events.c.name, audit_events.c.time)
Index("ix_audit_events_user_id_time", audit_events.c.user_id, audit_events.c.time)
Index("ix_audit_events_source_time", audit_events.c.source, audit_events.c.time)
Index("ix_audit_events_severity_time", audit_events.c.severity, audit_events.c.time)
Index("ix_audit_events_reason_time", audit_events.c.reason, audit_events.c.time)

#: The salts of users, from which, with the audit key, the encryption keys of personal fields are derived. Without its
#: salt a user's fields cannot be decrypted.
audit_salts = Table(
    "audit_salts",
    metadata,
    #: No foreign key, because a transaction that writes a record must not fail if the user is erased at the same time.
    #: The clean-up deletes a salt that is stored after the erasure.
    Column("user_id", Uuid, primary_key=True),
    Column("salt", LargeBinary(32), nullable=False),
)

#: Counters of failed attempts, one row each (``throttling.service``).
throttles = Table(
    "throttles",
    metadata,
    #: A keyed hash of what is counted, which reveals neither client IPs nor accounts.
    Column("key", KeyBytes(16), primary_key=True),
    #: Attempts that have failed or are being made.
    Column("failures", Integer, nullable=False),
    #: When the count began. An attempt that is given back is subtracted only from the count to which it was added.
    Column("started_at", UtcDateTime, nullable=False),
    #: Until this time attempts are rejected.
    Column("locked_until", UtcDateTime),
    #: Whether the audit log has the first rejection of this lockout, because further ones are not recorded.
    Column("refusal_recorded", Boolean, nullable=False),
    #: When the count begins again, at the earliest at the end of a lockout.
    Column("expires_at", UtcDateTime, nullable=False),
)
Index("ix_throttles_expires_at", throttles.c.expires_at)

#: Mails that wait to be sent, and the outcome of those that were sent (``mail.outbox``).
mails = Table(
    "mails",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: A ``MailKind``.
    Column("kind", String(40), nullable=False),
    #: No foreign key, because a mail of an erased user need not be found to erase it: its key is deleted. Null: a mail
    #: without an account.
    Column("user_id", Uuid),
    #: Recipient and variables, encrypted (``mail.sealing``). Null: the mail has a final state.
    Column("sealed", LargeBinary),
    #: ``queued``, or a final state: ``sent``, ``failed``, ``bounced`` or ``discarded``.
    Column("state", String(20), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    #: When a sender may lease the mail, at the earliest. During a lease it is the end of the lease. Null: never.
    Column("next_attempt_at", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False),
    #: All attempts, and the latest ones whose outcome no sender has recorded, as after a crash.
    Column("attempts", Integer, nullable=False),
    Column("unrecorded_attempts", Integer, nullable=False),
    #: Which sender's attempt may record its outcome. Null: none.
    Column("lease", Uuid),
    #: The id that the provider has given the mail. Bounces are reported with it.
    Column("provider_message_id", String(200)),
    #: When a sender gave the mail to the provider, or began to do so. Null: not sent.
    Column("sent_at", UtcDateTime),
)
Index("ix_mails_next_attempt_at", mails.c.next_attempt_at)
Index("ix_mails_expires_at", mails.c.expires_at)
Index("ix_mails_user_id", mails.c.user_id)
Index("ix_mails_provider_message_id", mails.c.provider_message_id)
Index("ix_mails_sent_at", mails.c.sent_at)

#: Addresses that get no mail, or no notices (``mail.feedback``).
mail_suppressions = Table(
    "mail_suppressions",
    metadata,
    #: A keyed hash of the normalised address, which needs no account.
    Column("address_hash", KeyBytes(16), primary_key=True),
    #: When a mail could not be delivered for good, and when the user reported one as spam. Null: never.
    Column("bounced_at", UtcDateTime),
    Column("complained_at", UtcDateTime),
    #: When the address gets mail again.
    Column("expires_at", UtcDateTime, nullable=False),
)
Index("ix_mail_suppressions_expires_at", mail_suppressions.c.expires_at)
Index("ix_mail_suppressions_bounced_at", mail_suppressions.c.bounced_at)

#: Pauses of mail (``mail.bounce_rate``): one row, from the first pause on.
mail_pauses = Table(
    "mail_pauses",
    metadata,
    #: What is paused: ``unverified``, the mails to addresses that were never verified.
    Column("name", String(20), primary_key=True),
    Column("paused_at", UtcDateTime, nullable=False),
    #: Null: mail is paused.
    Column("resumed_at", UtcDateTime),
)

#: Links and codes that were sent by mail (``mail_tokens.store``). There are rows for addresses without an account too,
#: so that a request for a mail causes the same work. They prove nothing.
mail_tokens = Table(
    "mail_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: A ``MailTokenPurpose``.
    Column("purpose", String(20), nullable=False),
    #: No foreign key, because a token whose account was erased meanwhile proves nothing. Null: there is no account.
    Column("user_id", Uuid),
    #: A keyed hash of the address, with which a code is found.
    Column("address_hash", KeyBytes(16), nullable=False),
    #: HMACs of the link's token and of the code, if the mail has one. Their key is not in the database.
    Column("token_hash", KeyBytes(32), nullable=False, unique=True),
    Column("code_hash", LargeBinary(32)),
    #: Codes that were tried at this address while this code was valid.
    Column("tries", Integer, nullable=False),
    #: The user's token version at the request. A change of it invalidates the token, like the sessions.
    Column("token_version", Integer),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("code_expires_at", UtcDateTime),
    #: Only of ``secure_account``: the event that the notice is about, and the first use of a link that covers it.
    Column("event_at", UtcDateTime),
    Column("used_at", UtcDateTime),
    #: The normalised address to which the account changes. Null for other purposes.
    Column("new_email", String(320)),
)
Index("ix_mail_tokens_user_id", mail_tokens.c.user_id)
Index("ix_mail_tokens_address_hash", mail_tokens.c.address_hash)
Index("ix_mail_tokens_expires_at", mail_tokens.c.expires_at)

#: Changes of addresses. Each row reserves the old address for a time, in which its user can undo the change
#: (``users.email_change_store``).
email_changes = Table(
    "email_changes",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: No foreign key, so that an account can be deleted without a lock on this table.
    Column("user_id", Uuid, nullable=False),
    #: Normalised, and verified when it was changed.
    Column("old_email", String(320), nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    #: Until this time no other account can have the old address.
    Column("reserved_until", UtcDateTime, nullable=False),
)
Index("ix_email_changes_user_id", email_changes.c.user_id)
Index("ix_email_changes_old_email", email_changes.c.old_email)
Index("ix_email_changes_reserved_until", email_changes.c.reserved_until)

#: Services that authenticate as clients (``clients.store``). Only operators change them.
clients = Table(
    "clients",
    metadata,
    Column("id", Uuid, primary_key=True),
    #: The ``client_id``, and in service tokens ``client:<name>`` is the subject.
    Column("name", String(64), nullable=False, unique=True),
    #: The audience of the tokens that the client accepts itself, for introspection. Null: it accepts none.
    Column("audience", String(200)),
    #: The audiences and the scopes for which the client may request tokens.
    Column("resources", Words(8_000), nullable=False),
    Column("scopes", Words(8_000), nullable=False),
    Column("may_introspect", Boolean, nullable=False),
    #: Null: the client authenticates with a secret. Otherwise with ``private_key_jwt`` and this algorithm (RFC 7518).
    Column("algorithm", String(10)),
    #: The SHA-256 of the secret, or the public key as SubjectPublicKeyInfo in DER.
    Column("credential", LargeBinary(1_024), nullable=False),
    #: The credential before the last rotation, which is valid too until an operator ends it. Null: there is none.
    Column("old_credential", LargeBinary(1_024)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("rotated_at", UtcDateTime),
)

#: The assertions of clients that were used, until they expire. So each works once (RFC 7523 section 3).
client_assertions = Table(
    "client_assertions",
    metadata,
    #: The SHA-256 of the client's id and the ``jti``.
    Column("hash", KeyBytes(32), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
)
Index("ix_client_assertions_expires_at", client_assertions.c.expires_at)
