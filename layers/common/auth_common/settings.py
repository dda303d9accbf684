"""Settings: the only module that reads the environment.

A wrong setting stops a function at its first request with a message that says which one and why (ASVS 5.0 V13.1,
V13.4), instead of running on with an insecure default.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from auth_common.errors import Misconfigured, StorageNotMounted

#: OWASP asks for a bcrypt work factor of 10 at the least; a deployed stage refuses less.
LOWEST_DEPLOYED_BCRYPT_COST = 10

#: A domain name whose last label is not a number (that would be an IPv4 address), and an origin as browsers write it.
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_LARGEST_PORT = 65_535


class Settings(BaseModel):
    """Every setting with its unit, bounds and default. Environment variables carry the same names in upper case."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    #: ``local`` is the only stage that may run on SQLite and on keys in files.
    stage: Literal["local", "dev", "prod"] = "local"
    #: Where the ``local`` stage keeps its database, signing key and pepper.
    data_dir: Path = Path(".local")
    #: A SQLAlchemy URL; without it the ``local`` stage uses SQLite in ``data_dir``. Secret: it can hold a password.
    database_url: SecretStr | None = None
    #: Seconds that a connection or a statement may take, before the answer is 503. A request that fails may ask twice:
    #: for its own sake, and to give an attempt back. Lambda would end it after 10 (template.yaml).
    database_timeout: Annotated[float, Field(ge=0.1, le=600)] = 4

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
    access_token_lifetime: Annotated[int, Field(ge=60, le=3600)] = 15 * 60
    #: Seconds of clock difference that a verifier forgives (RFC 7519 section 4.1.4).
    clock_leeway: Annotated[int, Field(ge=0, le=120)] = 30
    #: Personal data stays out of tokens unless a deployment asks for it: a JWT is signed, not encrypted.
    token_profile_claims: bool = False
    #: Seconds without use after which a refresh token expires, and the age at which its session ends whatever happens.
    refresh_idle_lifetime: Annotated[int, Field(ge=60)] = 7 * 24 * 3600
    refresh_absolute_lifetime: Annotated[int, Field(ge=60)] = 30 * 24 * 3600

    #: The relying party of WebAuthn: a domain, without scheme and port. Passkeys are bound to it for ever.
    webauthn_rp_id: str = "localhost"
    webauthn_rp_name: str = "Secure Backend"
    #: Where pages may use those passkeys: origins on that domain or below it, separated by commas.
    webauthn_origins: tuple[str, ...] = ("http://localhost:8000", "http://localhost:3000")

    #: log2 of bcrypt's rounds. 12 is about 280 ms on a slow core.
    bcrypt_cost: Annotated[int, Field(ge=4, le=15)] = 12

    #: Whether registration answers 202 and no more, for new and for taken addresses alike (ASVS 5.0 6.3.8).
    neutral_registration: bool = False

    #: Proxies whose word is taken: the client's address is so many from the right in ``X-Forwarded-For``. 0: nobody's;
    #: the gateway says who has called it.
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=10)] = 0

    #: Failures until a lock begins (services.throttle_limits). An account's, in a row: NIST SP 800-63B-4 allows 100.
    throttle_login_per_account_and_source: Annotated[int, Field(ge=1, le=50)] = 10
    throttle_login_per_account: Annotated[int, Field(ge=1, le=50)] = 20
    throttle_second_factor_per_account: Annotated[int, Field(ge=1, le=50)] = 10
    #: Failures of an address, /64 network in IPv6, in a window. Many people can be behind one.
    throttle_login_per_source: Annotated[int, Field(ge=1, le=100_000)] = 100
    throttle_passkey_per_source: Annotated[int, Field(ge=1, le=100_000)] = 100
    throttle_refresh_per_source: Annotated[int, Field(ge=1, le=100_000)] = 100
    #: Registrations and challenges, whatever becomes of them: each is a row. A challenge's lasts minutes.
    throttle_registration_per_source: Annotated[int, Field(ge=1, le=100_000)] = 100
    throttle_challenge_per_source: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    #: Refused bodies and queries that are recorded; the answer is the same beyond.
    throttle_bad_input_per_source: Annotated[int, Field(ge=1, le=100_000)] = 100
    #: Seconds: that window; the first lock, and the longest: each lasts twice as long as the one before.
    throttle_window: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    throttle_first_lock: Annotated[int, Field(ge=1, le=3_600)] = 30
    throttle_longest_lock: Annotated[int, Field(ge=60, le=86_400)] = 3_600

    #: Days that the audit log keeps its records.
    audit_retention_days: Annotated[int, Field(ge=30)] = 400

    @field_validator("webauthn_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_serialise(origin.strip()) for origin in value.split(",")) if isinstance(value, str) else value

    @field_validator("webauthn_rp_id")
    @classmethod
    def _require_domain(cls, rp_id: str) -> str:
        # An IP address is not a valid domain, so no browser ever lets it be a relying party (WebAuthn section 5.1.3).
        if not _DOMAIN.fullmatch(rp_id):
            message = "must be a domain in lower case; an IP address such as 127.0.0.1 never works, use localhost"
            raise ValueError(message)
        return rp_id

    @model_validator(mode="after")
    def _require_origins_of_rp(self) -> Self:
        for origin in self.webauthn_origins:
            match = _ORIGIN.fullmatch(origin)
            if not match or not _is_on(match["host"], self.webauthn_rp_id) or int(match["port"] or 1) > _LARGEST_PORT:
                message = "WEBAUTHN_ORIGINS must be origins on WEBAUTHN_RP_ID, such as https://login.example.com"
                raise ValueError(message)
            if match["scheme"] == "http" and match["host"] != "localhost":
                message = "WEBAUTHN_ORIGINS must be https; only localhost does without"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _refuse_local_shortcuts_when_deployed(self) -> Self:
        if self.stage == "local":
            return self
        url = self.database_url.get_secret_value() if self.database_url else ""
        if self.database_url_secret_arn is None and (not url or url.startswith("sqlite")):
            # A Lambda's /tmp is private to one environment and is thrown away with it.
            message = "a deployed stage needs DATABASE_URL or DATABASE_URL_SECRET_ARN, and SQLite loses data there"
            raise ValueError(message)
        if self.bcrypt_cost < LOWEST_DEPLOYED_BCRYPT_COST:
            message = f"BCRYPT_COST must be at least {LOWEST_DEPLOYED_BCRYPT_COST} in a deployed stage"
            raise ValueError(message)
        if self.webauthn_rp_id == "localhost":
            message = "a deployed stage needs WEBAUTHN_RP_ID and WEBAUTHN_ORIGINS"
            raise ValueError(message)
        return self

    def resolve_database_url(self) -> str:
        """Return ``database_url``, or SQLite in the storage.

        Raises:
            StorageNotMounted: there is neither.

        """
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+pysqlite:///{self.storage() / 'secure-backend.sqlite3'}"

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


def _is_on(host: str, domain: str) -> bool:
    return _DOMAIN.fullmatch(host) is not None and f".{host}".endswith(f".{domain}")


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return this environment's settings, read once.

    Raises:
        Misconfigured: a setting is missing or out of bounds; the text names it and never shows its value.

    """
    # Not by pydantic-settings: it loads asyncio and a command line's needs, a sixth of the authorizer's cold start.
    # CloudFormation can pass an empty string, but not leave a variable out: it is as good as none.
    variables = {name: os.environ.get(name.upper(), "") for name in Settings.model_fields}
    try:
        return Settings.model_validate({name: value for name, value in variables.items() if value})
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']).upper() or 'settings'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise Misconfigured(faults) from None
