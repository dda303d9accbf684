"""A model of the service's state that is small enough to read: accounts, sessions, tokens and counters.

Times are seconds since the epoch. The numbers are copied from the documentation, not imported from the code under test.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from auth_common.keys.keyed_hashes import throttle_key
from auth_common.mail_tokens.tokens_and_codes import hash_address
from tests.support.events import SOURCE_IP

#: In seconds.
HOUR = 3600
DAY = 24 * HOUR
#: How long the parent of the newest refresh token is accepted after its first use (docs/decisions/0008).
GRACE_PERIOD_SECONDS = 10
#: How long a step-up token is accepted, how many wrong proofs in a row revoke a session, and how long a proof stays
#: pending if its environment crashes (docs/decisions/0018).
STEP_UP_TOKEN_SECONDS = 600
MAX_WRONG_PROOFS = 5
PENDING_PROOF_SECONDS = 10
ACCESS_TOKEN_SECONDS = 900
CLOCK_LEEWAY_SECONDS = 30
REFRESH_IDLE_SECONDS = 7 * DAY
SESSION_SECONDS = 30 * DAY
SERVICE_TOKEN_SECONDS = 300
FIRST_LOCKOUT_SECONDS, LONGEST_LOCKOUT_SECONDS = 30, HOUR
#: How long the old address of an account is reserved, and a change of the address can be undone (docs/decisions/0027).
RESERVED_SECONDS = 3 * DAY
#: The mails with a link: what it is for, and how long it is accepted (docs/decisions/0025 to 0028). ``address_taken``
#: has no link, but its row in the table.
LINKS = {
    "verify_email": ("verify_email", DAY),
    "address_taken": ("verify_email", DAY),
    "register_again": ("claim_address", DAY),
    "reset_password": ("reset_password", 30 * 60),
    "confirm_new_email": ("change_email", DAY),
    "email_changed": ("secure_account", RESERVED_SECONDS),
    "password_changed": ("secure_account", 7 * DAY),
    "password_reset": ("secure_account", 7 * DAY),
    "passkey_added": ("secure_account", 7 * DAY),
    "passkey_removed": ("secure_account", 7 * DAY),
    "new_login": ("secure_account", 7 * DAY),
}
#: How much earlier than its event a link "this was not me" begins (docs/decisions/0028).
SECURED_BEFORE_EVENT_SECONDS = 60
KINDS_WITH_CODE = {"verify_email", "confirm_new_email"}
CODE_SECONDS = 600
#: How long a client is known after a login or a password reset, and how often an account gets a notice of a new login.
CLIENT_KNOWN_SECONDS = 30 * DAY
NEW_LOGIN_NOTICE_PAUSE_SECONDS = HOUR
MAX_TRIES_PER_CODE, CODES_PER_DAY = 5, 30
#: How often a mail of one kind is sent to one address.
MAIL_PAUSE_SECONDS, MAILS_PER_DAY, MAILS_PER_DAY_FROM_CLIENT_IP = 300, 12, 4
EMAIL_CHANGES_PER_DAY = 10
#: The client IP of requests for a mail. No account is known to use it, so it has no counters of its own.
MAIL_CLIENT_IP = "198.51.100.200"

#: The limits as settings. Three are small, so that there are lockouts. The others are never reached.
LIMITS = {
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_SOURCE": 3,
    "THROTTLE_LOGIN_PER_ACCOUNT": 50,
    "THROTTLE_LOGIN_PER_SOURCE": 1_000,
    "THROTTLE_SECOND_FACTOR_PER_ACCOUNT": 50,
    "THROTTLE_PASSKEY_PER_SOURCE": 1_000,
    "THROTTLE_REFRESH_PER_SOURCE": 6,
    "THROTTLE_REGISTRATION_PER_SOURCE": 1_000,
    "THROTTLE_MAIL_PER_SOURCE": 1_000,
    "THROTTLE_MAIL_TOKEN_PER_SOURCE": 1_000,
    "THROTTLE_CLIENT_PER_SOURCE": 10,
}

#: The facts that must be equal in the model and in the tables.
Facts = dict[tuple[Any, ...], Any]


class Shown:
    """Base of classes that hypothesis prints by their ``repr``, and not with all of their fields."""

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        printer.text(repr(self))


# --- Accounts, sessions, tokens ---------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Account(Shown):
    """A registered user."""

    email: str
    password: str
    created_at: float
    #: Whether no password is accepted until a reset, because the user has said "this was not me".
    is_locked: bool = False
    role: str = "user"
    #: ``deleted`` after another registration has replaced the account.
    status: str = "active"
    is_verified: bool = False
    #: Raised by each change that revokes all access tokens of the user.
    token_version: int = 0
    #: The token version and the time of the registration or the last password reset, whose client IP is known.
    known_client_version: int = 0
    known_client_since: float = 0
    #: Until when no further notice of a new login is sent.
    login_notice_paused_until: float = 0
    #: None until it is read from a table.
    id: UUID | None = None

    def __repr__(self) -> str:
        return f"<{self.email}>"

    def accepts(self, password: str) -> bool:
        """Return whether a password is the user's, and is not locked."""
        return password == self.password and not self.is_locked


@dataclass(eq=False, repr=False)
class EmailChange(Shown):
    """A change of an account's address, which reserves the old one."""

    account: Account
    old_email: str
    changed_at: float
    #: Whether its row was deleted, because the change was undone or the account deleted.
    is_deleted: bool = False

    def __repr__(self) -> str:
        return f"<change of {self.account} from {self.old_email}>"

    def is_reversible(self, now: float) -> bool:
        """Return whether the old address is reserved."""
        return not self.is_deleted and now < self.changed_at + RESERVED_SECONDS


@dataclass(eq=False, repr=False)
class Session(Shown):
    """One login, with its tokens."""

    number: int
    account: Account
    opened_at: float
    token_version: int
    #: How the user has logged in (``amr``).
    methods: list[str] = field(default_factory=lambda: ["pwd"])
    is_revoked: bool = False
    #: None until it is read from a table.
    id: UUID | None = None
    #: All refresh tokens, by generation.
    refresh_tokens: list["RefreshToken"] = field(default_factory=list)
    #: The access tokens that a client has received.
    access_tokens: list["AccessToken"] = field(default_factory=list)
    #: The newest step-up token. All others are rejected.
    step_up: "StepUpToken | None" = None
    #: Wrong proofs of identity since the last right one.
    wrong_proofs: int = 0
    #: Proofs that are being checked, or whose environment has crashed meanwhile, and until when they are counted.
    pending_proofs: int = 0
    pending_proofs_until: float = 0
    #: Whether the service has rejected a refresh token since the session became invalid.
    has_been_rejected: bool = False
    #: Whether it was deleted with the account.
    is_deleted: bool = False

    def __repr__(self) -> str:
        return f"<session {self.number} of {self.account.email}>"

    @property
    def expires_at(self) -> float:
        """When the session expires, even if it is used."""
        return self.opened_at + SESSION_SECONDS

    @property
    def newest_received(self) -> "RefreshToken | None":
        """The newest refresh token that a client has received."""
        return next((token for token in reversed(self.refresh_tokens) if token.text), None)

    def is_live(self, now: float) -> bool:
        """Return whether the session is valid, so that its tokens are accepted until they expire."""
        return (
            not self.is_revoked
            and not self.is_deleted
            and now < self.expires_at
            and self.account.status == "active"
            and self.token_version == self.account.token_version
        )

    def count_pending_proofs(self, now: float) -> int:
        """Return how many proofs are pending."""
        return self.pending_proofs if now < self.pending_proofs_until else 0

    def add_generation(self, now: float) -> None:
        """Add a refresh token to the family, and spend its parent."""
        if self.refresh_tokens:
            self.refresh_tokens[-1].spent_at = now
        expires_at = min(now + REFRESH_IDLE_SECONDS, self.expires_at)
        self.refresh_tokens.append(RefreshToken(self, len(self.refresh_tokens), expires_at))


@dataclass(eq=False, repr=False)
class StepUpToken(Shown):
    """A step-up token."""

    session: Session
    expires_at: float
    #: Whether it was proved with a passkey.
    by_passkey: bool = False
    #: None if the response was lost, so that no client has received the token.
    text: str | None = None

    def __repr__(self) -> str:
        return f"<step-up token of {self.session} until {self.expires_at:.0f}>"

    def is_accepted(self, session: Session, now: float) -> bool:
        """Return whether the service must accept the token in a request of ``session``. No client has a lost one."""
        return self.text is not None and session.step_up is self and now < self.expires_at


@dataclass(eq=False, repr=False)
class RefreshToken(Shown):
    """A refresh token."""

    session: Session
    generation: int
    expires_at: float
    spent_at: float | None = None
    #: None if the response was lost, so that no client has received the token.
    text: str | None = None

    def __repr__(self) -> str:
        return f"<refresh token {self.generation} of {self.session}>"


@dataclass(eq=False, repr=False)
class AccessToken(Shown):
    """An access token that a client has received."""

    session: Session
    number: int
    issued_at: float
    token_version: int
    text: str
    #: The other service that it is for. This service then rejects it.
    resource: str | None = None
    #: Whether the service has rejected it.
    has_been_rejected: bool = False

    def __repr__(self) -> str:
        return f"<access token {self.number} of {self.session}>"

    def is_accepted(self, now: float) -> bool:
        """Return whether the service must accept the token on its own routes."""
        return self.resource is None and self.is_valid(now)

    def is_valid(self, now: float) -> bool:
        """Return whether the service that the token is for must accept it."""
        return (
            self.session.is_live(now)
            and self.token_version == self.session.account.token_version
            and now < self.issued_at + ACCESS_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS
        )


@dataclass(eq=False, repr=False)
class Passkey(Shown):
    """A passkey, and the key that the user's authenticator keeps."""

    account: Account
    number: int
    created_at: float
    is_deleted: bool = False
    #: None until it is read from a table.
    id: UUID | None = None
    #: Credential id, user handle and private key as text. None if the response was lost, so that no user can use it.
    credential: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"<passkey {self.number} of {self.account}>"


@dataclass(eq=False, repr=False)
class Credential(Shown):
    """A credential of a service: a key pair, or a secret."""

    #: The number of the key. None: it is a secret.
    key: int | None
    #: None if there is a key, or if the output was lost, so that no service has the secret.
    secret: str | None = None

    def __repr__(self) -> str:
        return "<secret>" if self.key is None else f"<key {self.key}>"


@dataclass(eq=False, repr=False)
class Assertion(Shown):
    """An assertion that a service signs with its key (RFC 7523). It is accepted once."""

    credential: Credential
    number: str
    expires_at: float
    is_used: bool = False

    def __repr__(self) -> str:
        return f"<assertion {self.number} with {self.credential}>"

    def is_rejected(self, now: float) -> bool:
        """Return whether the service must reject it, even if the key is valid."""
        return self.is_used or now >= self.expires_at + CLOCK_LEEWAY_SECONDS


@dataclass(eq=False, repr=False)
class ServiceClient(Shown):
    """The registration of a service as a client."""

    registered_at: float
    #: Those that are valid, the newest first.
    credentials: list[Credential]

    def __repr__(self) -> str:
        return f"<client with {self.credentials}>"


@dataclass(eq=False, repr=False)
class ServiceToken(Shown):
    """An access token that a service has received for itself."""

    issued_at: float
    text: str

    def __repr__(self) -> str:
        return f"<service token of {self.issued_at:.0f}>"

    def is_valid(self, now: float) -> bool:
        """Return whether the token has not expired. Introspection also requires its client."""
        return now < self.issued_at + SERVICE_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS


@dataclass(eq=False, repr=False)
class MailToken(Shown):
    """The link of a mail, and its code if it proves an address."""

    #: The mail, a key of ``LINKS``.
    kind: str
    email: str
    #: None: an address that gets no mail. The token proves nothing.
    account: Account | None
    #: None: the link is bound to none.
    token_version: int | None
    #: Of a notice: when the event was.
    created_at: float
    #: Codes that were tried while this one was valid.
    tries: int = 0
    #: Whether it has secured the account, or a link about an earlier event has.
    is_used: bool = False
    #: Whether its row was deleted, because it was used or its account has changed.
    is_deleted: bool = False
    #: None until the mail is read.
    text: str | None = None
    code: str | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} link of {self.account or self.email} at {self.created_at:.0f}>"

    @property
    def purpose(self) -> str:
        """What the link is for."""
        return LINKS[self.kind][0]

    def is_accepted(self, now: float) -> bool:
        """Return whether the service must accept the link for its purpose."""
        account, (purpose, lifetime) = self.account, LINKS[self.kind]
        if account is None or self.is_deleted or now >= self.created_at + lifetime:
            return False
        return purpose == "secure_account" or (
            account.status == "active"
            and account.is_verified is (purpose in {"reset_password", "change_email"})
            and (self.token_version == account.token_version or purpose == "claim_address")
        )

    def has_open_code(self, now: float) -> bool:
        """Return whether the code can be tried."""
        is_valid = now < self.created_at + CODE_SECONDS and self.tries < MAX_TRIES_PER_CODE
        return self.kind in KINDS_WITH_CODE and is_valid and not self.is_deleted


# --- Counters of attempts ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class AttemptCounter:
    """The failures of an account or a client IP (docs/decisions/0012)."""

    key: bytes
    limit: int
    window: int
    #: Whether each failure begins the window again, and a success resets the counter.
    in_a_row: bool
    #: Whether a lockout lasts until the window ends.
    is_fixed: bool = False
    failures: int = 0
    expires_at: float = 0
    locked_until: float = 0
    is_rejection_recorded: bool = False

    def is_locked(self, now: float) -> bool:
        """Return whether attempts are rejected and not counted."""
        return self.locked_until > now

    def will_lock(self, now: float) -> bool:
        """Return whether the next attempt begins a lockout."""
        return self._next(now) >= self.limit

    def count(self, now: float) -> None:
        """Count an attempt as a failure, until ``succeed`` is called."""
        self.failures, has_expired = self._next(now), self.expires_at <= now
        if self.in_a_row or has_expired:
            self.expires_at = now + self.window
        if self.failures >= self.limit:
            growing = min(FIRST_LOCKOUT_SECONDS * 2 ** (self.failures - self.limit), LONGEST_LOCKOUT_SECONDS)
            self.locked_until = now + (self.window if self.is_fixed else growing)
            self.expires_at = max(self.expires_at, self.locked_until)
            self.is_rejection_recorded = False

    def succeed(self) -> None:
        """Subtract a counted attempt, or reset a counter of failures in a row."""
        self.failures = 0 if self.in_a_row else self.failures - 1
        self.locked_until = 0

    def cancel(self) -> None:
        """Subtract a counted attempt that was no failure. If it has begun a lockout, the lockout ends."""
        self.failures -= 1
        self.locked_until = 0

    def reset(self) -> None:
        """Delete the counter."""
        self.failures = 0
        self.locked_until = 0

    def move_to(self, other: "AttemptCounter") -> None:
        """Count the failures in another counter instead."""
        for name in ("failures", "expires_at", "locked_until", "is_rejection_recorded"):
            setattr(other, name, getattr(self, name))
        self.reset()

    def _next(self, now: float) -> int:
        return 1 if self.expires_at <= now else self.failures + 1


# --- The whole model --------------------------------------------------------------------------------------------------


class Model:
    """The state of the service, and the tokens that clients hold."""

    def __init__(self, now: float) -> None:
        """Create a model without accounts."""
        self.now = now
        self.accounts: dict[str, Account] = {}
        self.sessions: list[Session] = []
        #: The step-up tokens that clients have received.
        self.step_up_tokens: list[StepUpToken] = []
        #: All that were created, also those that were deleted.
        self.passkeys: list[Passkey] = []
        self.mail_tokens: list[MailToken] = []
        #: All that were made, also those that were undone.
        self.email_changes: list[EmailChange] = []
        self.counters: dict[bytes, AttemptCounter] = {}
        #: The service that is registered as a client. None: there is none.
        self.client: ServiceClient | None = None
        #: The credentials and tokens that services have received, also old ones, and the assertions that were used.
        self.credentials: list[Credential] = []
        self.assertions: list[Assertion] = []
        self.service_tokens: list[ServiceToken] = []

    @property
    def access_tokens(self) -> list[AccessToken]:
        """Return the access tokens that clients hold."""
        return [token for session in self.sessions for token in session.access_tokens]

    @property
    def refresh_tokens(self) -> list[RefreshToken]:
        """Return the refresh tokens that clients hold, those of each session from newest to oldest."""
        return [token for session in self.sessions for token in session.refresh_tokens[::-1] if token.text]

    def sessions_of(self, account: Account) -> list[Session]:
        """Return all sessions of an account, also those that are not valid."""
        return [session for session in self.sessions if session.account is account]

    def passkeys_of(self, account: Account) -> list[Passkey]:
        """Return the passkeys of an account."""
        return [passkey for passkey in self.passkeys if passkey.account is account and not passkey.is_deleted]

    def has_passkey(self, account: Account) -> bool:
        """Return whether a login to the account needs a passkey."""
        return bool(self.passkeys_of(account))

    def login_counters(self, email: str) -> list[AttemptCounter]:
        """Return the counters of a login with a password."""
        return [
            self._counter("LOGIN_PER_ACCOUNT_AND_SOURCE", "login_account_source", email, SOURCE_IP, in_a_row_for=DAY),
            self._counter("LOGIN_PER_ACCOUNT", "login_account", email, in_a_row_for=400 * DAY),
            self._counter("LOGIN_PER_SOURCE", "login_source", SOURCE_IP),
        ]

    def passkey_counters(self, second_factor_of: Account | None) -> list[AttemptCounter]:
        """Return the counters of a login with a passkey. ``second_factor_of`` is None if it is used alone."""
        counters = [self._counter("PASSKEY_PER_SOURCE", "passkey_source", SOURCE_IP)]
        if second_factor_of:
            user_id = str(second_factor_of.id)
            name = "SECOND_FACTOR_PER_ACCOUNT"
            counters.append(self._counter(name, "second_factor", user_id, in_a_row_for=400 * DAY))
        return counters

    def refresh_counter(self) -> AttemptCounter:
        """Return the counter of rejected refresh tokens."""
        return self._counter("REFRESH_PER_SOURCE", "refresh_source", SOURCE_IP)

    def client_counters(self, name: str) -> list[AttemptCounter]:
        """Return the counters of failed authentications of clients."""
        limit = "CLIENT_PER_SOURCE"
        return [self._counter(limit, "client_source", SOURCE_IP), self._counter(limit, "client", name)]

    def introspection_counter(self, name: str) -> AttemptCounter:
        """Return the counter of inactive tokens that a client introspects, which bounds their audit records."""
        return self._counter("CLIENT_PER_SOURCE", "introspection", name)

    def registration_counter(self) -> AttemptCounter:
        """Return the counter of registrations, which counts successes too."""
        return self._counter("REGISTRATION_PER_SOURCE", "registration_source", SOURCE_IP)

    def mail_request_counter(self, client_ip: str) -> AttemptCounter:
        """Return the counter of requests for a mail and mails of registrations, which counts successes too."""
        return self._fixed_counter(LIMITS["THROTTLE_MAIL_PER_SOURCE"], HOUR, "mail_source", client_ip)

    def mail_to_address_counter(self, request: str, email: str) -> AttemptCounter:
        """Return the counter of mails that one client IP may request for an address."""
        subjects = (request, email, MAIL_CLIENT_IP)
        return self._fixed_counter(MAILS_PER_DAY_FROM_CLIENT_IP, DAY, "mail_address_source", *subjects)

    def mail_counters(self, request: str, email: str) -> list[AttemptCounter]:
        """Return the counters of mails that any client may request for an address."""
        return [
            self._fixed_counter(1, MAIL_PAUSE_SECONDS, "mail_address", request, email),
            self._fixed_counter(MAILS_PER_DAY, DAY, "mail_address_day", request, email),
        ]

    def email_change_counter(self, account: Account) -> AttemptCounter:
        """Return the counter of an account's requests to change its address, which counts successes too."""
        return self._fixed_counter(EMAIL_CHANGES_PER_DAY, DAY, "email_change", str(account.id))

    def mail_token_counter(self) -> AttemptCounter:
        """Return the counter of links and codes that are not valid."""
        return self._counter("MAIL_TOKEN_PER_SOURCE", "mail_token_source", SOURCE_IP)

    def code_counter(self, email: str) -> AttemptCounter:
        """Return the counter of wrong codes at an address."""
        return self._fixed_counter(CODES_PER_DAY, DAY, "mail_code", email)

    def reset_counters_of_new_address(self, email: str, *, by_operator: bool = False) -> None:
        """Delete what was counted for an address before an account had it. An operator has another client IP."""
        for_client_ip, of_account, _ = self.login_counters(email)
        mails = (self.mail_counters(name, email) for name in ("registration", "verification", "reset"))
        for counter in (of_account, *(each for counters in mails for each in counters), self.code_counter(email)):
            counter.reset()
        if not by_operator:
            for_client_ip.reset()

    # Mails and their links.

    def add_mail_token(self, kind: str, email: str, account: Account | None) -> None:
        """Add the token of a mail. ``account`` is None if no mail is sent."""
        version = account.token_version if account and LINKS[kind][0] != "secure_account" else None
        self.mail_tokens.append(MailToken(kind, email, account, version, self.now))

    def add_notice(self, kind: str, account: Account) -> None:
        """Add the link "this was not me" of a notice. Only verified addresses get notices."""
        if account.is_verified:
            self.add_mail_token(kind, account.email, account)

    def delete_mail_tokens(self, account: Account, condition: Callable[[MailToken], bool]) -> None:
        """Delete the tokens of an account that meet a condition."""
        for token in self.mail_tokens:
            if token.account is account and condition(token):
                token.is_deleted = True

    # Addresses.

    def is_taken(self, email: str, *, by_other_than: Account | None = None) -> bool:
        """Return whether another account has an address, or has it reserved."""
        holder = self.accounts.get(email)
        return (holder is not None and holder is not by_other_than) or self.is_reserved(
            email, by_other_than=by_other_than
        )

    def is_reserved(self, email: str, *, by_other_than: Account | None) -> bool:
        """Return whether another account has reserved an address."""
        others = (change for change in self.email_changes if change.account is not by_other_than)
        return any(change.old_email == email and change.is_reversible(self.now) for change in others)

    def reversible_changes(self, account: Account, *, since: float = 0) -> list[EmailChange]:
        """Return the changes of an account's address that can be undone, the earliest first."""
        own = [each for each in self.email_changes if each.account is account and each.changed_at >= since]
        return sorted((each for each in own if each.is_reversible(self.now)), key=lambda each: each.changed_at)

    def change_email(self, account: Account, email: str, *, is_verified: bool, by_operator: bool = False) -> None:
        """Change the address of an account, and reserve the old one. A change back undoes the changes since then."""
        old_email = account.email
        undone = next((each for each in self.reversible_changes(account) if each.old_email == email), None)
        if undone:
            self.delete_changes(account, since=undone.changed_at)
            self.delete_mail_tokens(
                account,
                lambda token: (
                    token.purpose == "secure_account" and token.email != email and token.created_at >= undone.changed_at
                ),
            )
        elif account.is_verified:
            self.email_changes.append(EmailChange(account, old_email, self.now))
            self.add_notice("email_changed", account)
        self.move_account(account, email, is_verified=is_verified, by_operator=by_operator)

    def move_account(self, account: Account, email: str, *, is_verified: bool, by_operator: bool = False) -> None:
        """Give an account another address. All links end, except "this was not me"."""
        old_email = account.email
        self.accounts[email] = self.accounts.pop(old_email)
        account.email, account.is_verified = email, is_verified
        self.delete_mail_tokens(account, lambda token: token.purpose != "secure_account")
        self.reset_counters_of_new_address(email, by_operator=by_operator)
        self.login_counters(old_email)[1].move_to(self.login_counters(email)[1])

    def delete_changes(self, account: Account, *, since: float = 0) -> None:
        """Free the addresses that an account had before changes at ``since`` or later."""
        for change in self.email_changes:
            if change.account is account and change.changed_at >= since:
                change.is_deleted = True

    def is_known_client(self, account: Account) -> bool:
        """Return whether an account is known to use the client IP of this test."""
        since = self.now - CLIENT_KNOWN_SECONDS
        logins = [each for each in self.sessions_of(account) if each.token_version == account.token_version]
        is_reset_known = account.known_client_version == account.token_version and account.known_client_since > since
        return is_reset_known or any(each.opened_at > since and not each.is_deleted for each in logins)

    def _fixed_counter(self, limit: int, window: int, name: str, *subjects: str) -> AttemptCounter:
        key = throttle_key(name, *subjects)
        return self.counters.setdefault(key, AttemptCounter(key, limit, window, in_a_row=False, is_fixed=True))

    def _counter(self, limit: str, name: str, *subjects: str, in_a_row_for: int = 0) -> AttemptCounter:
        key = throttle_key(name, *subjects)
        new = AttemptCounter(key, LIMITS[f"THROTTLE_{limit}"], in_a_row_for or HOUR, in_a_row=bool(in_a_row_for))
        return self.counters.setdefault(key, new)

    def facts(self) -> Facts:
        """Return the facts that the tables must contain."""
        facts: Facts = {("assertions", "used"): len(self.assertions)}
        for account in self.accounts.values():
            version, is_verified = account.token_version, account.is_verified
            facts["account", account.email] = (account.role, account.status, version, is_verified)
        for session in self.sessions:
            if session.is_deleted:
                continue
            facts["session", session.id] = (session.account.email, session.token_version, session.is_revoked)
            # Proofs that are pending when a session is revoked stay pending. No response depends on them.
            if not session.is_revoked:
                pending = session.count_pending_proofs(self.now)
                facts["proofs", session.id] = (session.step_up is not None, session.wrong_proofs, pending)
            for token in session.refresh_tokens:
                facts["refresh token", session.id, token.generation] = token.spent_at is not None
        for passkey in self.passkeys:
            if not passkey.is_deleted:
                facts["passkey", passkey.id] = passkey.account.email
        if self.client:
            facts["client", "credentials"] = len(self.client.credentials)
        return facts | self._counter_facts() | self._mail_facts()

    def _counter_facts(self) -> Facts:
        return {
            ("counter", counter.key): (counter.failures, counter.is_locked(self.now))
            for counter in self.counters.values()
            if counter.failures and counter.expires_at > self.now
        }

    def _mail_facts(self) -> Facts:
        facts: Facts = {}
        for mail_token in self.mail_tokens:
            if not mail_token.is_deleted:
                at = hash_address(mail_token.email)
                tokens = facts.setdefault(("mail tokens", at, mail_token.purpose), Counter())
                tokens[mail_token.token_version, mail_token.tries, mail_token.is_used] += 1
        for change in self.email_changes:
            if change.is_reversible(self.now):
                facts["reserved", change.old_email] = change.account.email
        return facts
