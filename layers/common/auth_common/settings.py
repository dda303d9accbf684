"""Settings: the only module that reads the environment.

A wrong setting stops a function at its first request with a message that says which one and why (ASVS 5.0 V13.1,
V13.4), instead of running on with an insecure default.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from auth_common.errors import Misconfigured, StorageNotMounted

#: OWASP asks for a bcrypt work factor of 10 at the least; a deployed stage refuses less.
LOWEST_DEPLOYED_BCRYPT_COST = 10

#: A domain name whose last label is not a number (that would be an IPv4 address), and an origin as browsers write it.
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
#: What Android reports as the origin of a native app: the SHA-256 of its signing certificate.
_ANDROID_APP = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{43}")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_MAX_PORT = 65_535
#: Ten years, in seconds: from now on, still a date.
_MAX_LIFETIME_SECONDS = 315_360_000


class Bounds(NamedTuple):
    """The least and the greatest that a number may be; no greatest: as large as anybody likes."""

    least: float
    greatest: float = math.inf

    def __str__(self) -> str:
        """Say so."""
        return f"{self.least} or more" if self.greatest == math.inf else f"{self.least} to {self.greatest}"


def _number(default: float, least: float, greatest: float = math.inf) -> Any:
    return field(default=default, metadata={"bounds": Bounds(least, greatest)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its unit, bounds and default. Environment variables carry the same names in upper case."""

    #: ``local`` is the only stage that may run on SQLite and on keys in files.
    stage: str = field(default="local", metadata={"choices": ("local", "dev", "prod")})
    #: Where the ``local`` stage keeps its database, signing key and pepper.
    data_dir: Path = Path(".local")
    #: A SQLAlchemy URL; without it the ``local`` stage uses SQLite in ``data_dir``. Secret: it can hold a password.
    database_url: str | None = field(default=None, repr=False)
    #: Seconds that a connection or a statement may take, before the answer is 503. A request that fails may ask twice:
    #: for its own sake, and to give an attempt back. Lambda would end it after 10 (template.yaml).
    database_timeout: float = _number(4, 0.1, 600)

    #: Secrets in Secrets Manager: that URL, where it is not a setting; the pepper; the audit key. The ``local`` stage
    #: has the latter two in files.
    database_url_secret_arn: str | None = None
    pepper_secret_arn: str | None = None
    audit_key_secret_arn: str | None = None

    #: The KMS key (ECC_NIST_P256, SIGN_VERIFY) that signs access tokens; without it the ``local`` stage uses a file.
    signing_key_arn: str | None = None
    #: The JWK Set that verifies them, as JSON: the current key's public half, and a retired one's until its ``exp``.
    jwks: str | None = None

    token_issuer: str = "secure-backend"
    token_audience: str = "secure-backend-users"
    #: Seconds. Short, because a verifier elsewhere learns of a logout only when the token expires.
    access_token_lifetime: int = _number(15 * 60, 60, 3600)
    #: Seconds of clock difference that a verifier forgives (RFC 7519 section 4.1.4).
    clock_leeway: int = _number(30, 0, 120)
    #: Personal data stays out of tokens unless a deployment asks for it: a JWT is signed, not encrypted.
    token_profile_claims: bool = False
    #: Seconds without use after which a refresh token expires, and the age at which its session ends whatever happens.
    refresh_idle_lifetime: int = _number(7 * 24 * 3600, 60, _MAX_LIFETIME_SECONDS)
    refresh_absolute_lifetime: int = _number(30 * 24 * 3600, 60, _MAX_LIFETIME_SECONDS)

    #: The relying party of WebAuthn: a domain, without scheme and port. Passkeys are bound to it for ever.
    webauthn_rp_id: str = "localhost"
    webauthn_rp_name: str = "Secure Backend"
    #: Where those passkeys may be used, separated by commas: origins of pages, on that domain or related to it
    #: (WebAuthn section 5.11), and Android apps as ``android:apk-key-hash:…`` (section 13.4.9).
    webauthn_origins: tuple[str, ...] = ("http://localhost:8000", "http://localhost:3000")

    #: log2 of bcrypt's rounds. 12 is about 280 ms on a slow core.
    bcrypt_cost: int = _number(12, 4, 15)

    #: Whether registration answers 202 and no more, for new and for taken addresses alike (ASVS 5.0 6.3.8).
    neutral_registration: bool = False

    #: Proxies whose word is taken: the client's address is so many from the right in ``X-Forwarded-For``. 0: nobody's;
    #: the gateway says who has called it.
    trusted_proxy_hops: int = _number(0, 0, 10)

    #: Failures until a lock begins (``throttling.limits``). An account's, in a row: NIST SP 800-63B-4 allows 100.
    throttle_login_per_account_and_source: int = _number(10, 1, 50)
    throttle_login_per_account: int = _number(20, 1, 50)
    throttle_second_factor_per_account: int = _number(10, 1, 50)
    #: Failures of an address, /64 network in IPv6, in a window. Many people can be behind one.
    throttle_login_per_source: int = _number(100, 1, 100_000)
    throttle_passkey_per_source: int = _number(100, 1, 100_000)
    throttle_refresh_per_source: int = _number(100, 1, 100_000)
    #: Registrations, whatever becomes of them: each is a row.
    throttle_registration_per_source: int = _number(100, 1, 100_000)
    #: Refused bodies and queries that are recorded; the answer is the same beyond.
    throttle_bad_input_per_source: int = _number(100, 1, 100_000)
    #: Seconds: that window; the first lock, and the longest: each lasts twice as long as the one before.
    throttle_window: int = _number(3_600, 60, 86_400)
    throttle_first_lock: int = _number(30, 1, 3_600)
    throttle_longest_lock: int = _number(3_600, 60, 86_400)

    #: Days that the audit log keeps its records.
    audit_retention_days: int = _number(400, 30, 36_500)

    def contradictions(self) -> Iterator[str]:
        """Tell what is wrong beyond types and bounds."""
        pages = [origin for origin in self.webauthn_origins if not _ANDROID_APP.fullmatch(origin)]
        origins = [_ORIGIN.fullmatch(page) for page in pages]
        # An IP address is not a valid domain, so no browser ever lets it be a relying party (WebAuthn section 5.1.3).
        if not _DOMAIN.fullmatch(self.webauthn_rp_id):
            yield "WEBAUTHN_RP_ID: must be a domain in lower case; an IP address never works, use localhost"
        elif not all(
            origin and _may_use(origin["host"], self.webauthn_rp_id) and int(origin["port"] or 1) <= _MAX_PORT
            for origin in origins
        ):
            yield (
                "WEBAUTHN_ORIGINS: must be origins such as https://login.example.com, without a path, or "
                "android:apk-key-hash: and 43 characters; localhost only with WEBAUTHN_RP_ID=localhost"
            )
        elif any(origin and origin["scheme"] == "http" and origin["host"] != "localhost" for origin in origins):
            yield "WEBAUTHN_ORIGINS: must be https; only localhost does without"
        if self.stage != "local":
            yield from self._local_shortcuts()

    def _local_shortcuts(self) -> Iterator[str]:
        """Tell what a deployed stage refuses."""
        if self.database_url_secret_arn is None and (self.database_url or "sqlite").startswith("sqlite"):
            # A Lambda's /tmp is private to one environment and is thrown away with it.
            yield "a deployed stage needs DATABASE_URL or DATABASE_URL_SECRET_ARN, and SQLite loses data there"
        if self.bcrypt_cost < LOWEST_DEPLOYED_BCRYPT_COST:
            yield f"BCRYPT_COST: must be at least {LOWEST_DEPLOYED_BCRYPT_COST} in a deployed stage"
        if self.webauthn_rp_id == "localhost":
            yield "a deployed stage needs WEBAUTHN_RP_ID and WEBAUTHN_ORIGINS"

    def storage(self) -> Path:
        """Return ``data_dir``, which must exist: a function never makes it.

        Each container of a plain ``sam local start-api`` would otherwise keep a database and a signing key of its own,
        and a user registered through one would be unknown to the next.

        Raises:
            StorageNotMounted: the folder is not there.

        """
        if not self.data_dir.is_dir():
            raise StorageNotMounted
        return self.data_dir


def _serialise(origin: str) -> str:
    """Leave out the port that the scheme has anyway, as browsers do (RFC 6454 section 6.2): it would match no page."""
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition(":")[0], ""))


def _may_use(host: str, domain: str) -> bool:
    """Tell whether pages of ``host`` may use the passkeys of ``domain``: it is there, below, or a related origin.

    A related origin is on a domain of its own (WebAuthn section 5.11), which a host without a dot is not.
    """
    return _DOMAIN.fullmatch(host) is not None and (f".{host}".endswith(f".{domain}") or "." in host)


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_serialise(origin.strip()) for origin in text.split(","))


def _truth(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_READERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    bool: _truth,
    int: int,
    float: float,
    str: str,
    str | None: str,
    Path: Path,
    tuple[str, ...]: _origins,
}


def _read(setting: Field[Any], text: str) -> Any:
    """Return the value that ``text`` is for ``setting``.

    Raises:
        ValueError: it is none; the message says what it must be.

    """
    read = _READERS[setting.type]
    bounds, choices = setting.metadata.get("bounds"), setting.metadata.get("choices")
    with suppress(ValueError, KeyError):  # their messages show the text
        value = read(text)
        if (not bounds or bounds.least <= value <= bounds.greatest) and (not choices or value in choices):
            return value
    message = f"must be {bounds or ' or '.join(choices or ('true', 'false'))}"
    raise ValueError(message)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return this environment's settings, read once.

    Raises:
        Misconfigured: a setting is missing or out of bounds; the text names it and never shows its value.

    """
    # Not by pydantic, which is a third of the authorizer's cold start; everybody's first request waits for that.
    found: dict[str, Any] = {}
    faults: list[str] = []
    for setting in fields(Settings):
        # CloudFormation can pass an empty string, but not leave a variable out: it is as good as none.
        if text := os.environ.get(setting.name.upper(), ""):
            try:
                found[setting.name] = _read(setting, text)
            except ValueError as error:
                faults.append(f"{setting.name.upper()}: {error}")
    if not faults:
        read = Settings(**found)
        faults += read.contradictions()
        if not faults:
            return read
    raise Misconfigured("; ".join(faults))


def initialises_ahead() -> bool:
    """Tell whether Lambda initialises this environment before a request waits for it.

    It does so for a snapshot and for provisioned concurrency (Lambda Developer Guide, "Runtime environment variables").
    """
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in {"snap-start", "provisioned-concurrency"}
