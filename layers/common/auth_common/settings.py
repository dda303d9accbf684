"""Settings, read from environment variables. Only this module reads the environment.

With a wrong setting every request fails, and a log line names the setting and the reason (ASVS 5.0 V13.1, V13.4). The
service does not continue with an insecure default.
"""

import base64
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from auth_common.errors import Misconfigured, StorageNotMounted

#: OWASP requires a bcrypt work factor of at least 10. A deployed stage rejects a lower one.
MIN_DEPLOYED_BCRYPT_COST = 10

#: A domain name. Its last label is not a number, as in an IPv4 address.
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?")
#: An origin as browsers write it.
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
#: The origin that Android reports for a native app, with the SHA-256 of its signing certificate.
_ANDROID_APP = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{43}")
#: An address as the sender of mails, which is also a part of SMTP commands.
_MAIL_FROM = re.compile(r"[A-Za-z0-9._+-]+@[a-z0-9.-]+")
#: A language tag (RFC 5646), which is also the name of a folder.
_LOCALE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
#: A URL of pages: an origin with or without a path.
_PAGES_URL = re.compile(_ORIGIN.pattern + r"(?:/[A-Za-z0-9._~-]+)*")
#: The issuer of tokens where the service runs on this machine only.
LOCAL_ISSUER = "http://localhost:8000"
#: A resource: an absolute URI without a fragment (RFC 8707 section 2). A comma separates two of them.
_RESOURCE = re.compile(r"[a-z][a-z0-9+.-]*:[!$-+\--;=?-\[\]_a-z~]+")
#: Scopes, separated by a space (RFC 6749 section 3.3). A client id is in the same characters.
_SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
_SHA_256 = re.compile(r"[0-9a-f]{64}")
_MAX_LOCKS = 2
#: The URL of a page, in printable ASCII, because it becomes a header field and part of JSON.
_PAGE = re.compile(rf"{_ORIGIN.pattern}(?:[/?#][!#-;=?-~]*)?")
#: A URI of RFC 9116 section 2.5.3. A comma separates two contacts, and a line break would add a field.
_CONTACT = re.compile(r"(?:mailto:[!-+\-.-~]+@|https://|tel:\+)[!-+\-.-~]+")
#: A time in UTC, whose day may not exist (``_is_time``).
_TIME = re.compile(r"20\d\d-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ")
#: The application id of an Android app (Android's "Set the application ID").
_ANDROID_PACKAGE = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+", re.ASCII)
#: The team id and the bundle id of an iOS app.
_IOS_APP = re.compile(r"[A-Z0-9]{10}(?:\.[A-Za-z0-9-]+)+")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_MAX_PORT = 65_535
#: Ten years, so that expiries are valid dates.
_MAX_LIFETIME_SECONDS = 315_360_000


class Bounds(NamedTuple):
    """The inclusive bounds of a number. ``greatest`` may be infinite."""

    least: float
    greatest: float = math.inf

    def __str__(self) -> str:
        """Return the bounds in words, as for an error text."""
        return f"{self.least} or more" if self.greatest == math.inf else f"{self.least} to {self.greatest}"


def _number(default: float, least: float, greatest: float = math.inf) -> Any:
    return field(default=default, metadata={"bounds": Bounds(least, greatest)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their units, bounds and defaults. Environment variables have the same names in upper case."""

    #: Only the stage ``local`` may use SQLite, and keys in files.
    stage: str = field(default="local", metadata={"choices": ("local", "dev", "prod")})
    #: The folder of the ``local`` stage, with its database, keys and pepper.
    data_dir: Path = Path(".local")
    #: A SQLAlchemy URL. It is secret, because it can contain a password. Without it the ``local`` stage uses SQLite in
    #: ``data_dir``.
    database_url: str | None = field(default=None, repr=False)
    #: Seconds after which connecting or a round trip fails with 503. A failing request may wait twice, the second time
    #: to give back a counted attempt. Lambda would end the function after 10 (template.yaml).
    database_timeout: float = _number(4, 0.1, 600)
    #: Whether several statements share a round trip to PostgreSQL and Aurora DSQL (``database.pipeline``).
    database_pipeline: bool = True

    #: The secret in Secrets Manager that contains the database URL, instead of ``database_url``.
    database_url_secret_arn: str | None = None
    #: The secrets in Secrets Manager with the pepper and the audit key. The ``local`` stage has them in files.
    pepper_secret_arn: str | None = None
    audit_key_secret_arn: str | None = None

    #: The KMS key (ECC_NIST_P256, SIGN_VERIFY) that signs access tokens. Without it the ``local`` stage uses a file.
    signing_key_arn: str | None = None
    #: The JWK Set that verifies access tokens, as JSON: the current public key, and each retired one until its ``exp``.
    jwks: str | None = None

    #: ``iss`` of tokens: the URL of this service, without a slash at its end (RFC 8414 section 2). A deployed stage
    #: without a domain gets it from the gateway (``learn_issuer``).
    token_issuer: str = LOCAL_ISSUER
    #: ``token_issuer`` before its change, and when it changed. For one lifetime of access tokens both are accepted.
    previous_token_issuer: str | None = None
    token_issuer_changed_at: str | None = None
    #: ``aud`` of tokens for this service.
    token_audience: str = "secure-backend-users"
    #: Other services, as URIs separated by commas. A client may ask for a token for one (``resource``, RFC 8707).
    token_resources: tuple[str, ...] = ()
    #: A transition: tokens for this service are for all other services too. Each of these could then use them here.
    token_several_audiences: bool = False
    #: ``client_id`` and ``scope`` of users' tokens (RFC 9068 section 2.2), the same for all clients of the login.
    token_client_id: str = "first-party"
    token_scope: str = "user"
    #: Seconds. Short, because other services notice a logout only when the access token expires.
    access_token_lifetime: int = _number(15 * 60, 60, 3600)
    #: Seconds. A service token cannot be revoked, and its client can request another at any time.
    service_token_lifetime: int = _number(5 * 60, 60, 3600)
    #: Seconds of clock difference that a verifier accepts (RFC 7519 section 4.1.4).
    clock_leeway: int = _number(30, 0, 120)
    #: Whether access tokens contain personal data. By default they do not, because a JWT is not encrypted.
    token_profile_claims: bool = False
    #: Seconds without use after which a refresh token expires, and the maximum age of its session in seconds.
    refresh_idle_lifetime: int = _number(7 * 24 * 3600, 60, _MAX_LIFETIME_SECONDS)
    refresh_absolute_lifetime: int = _number(30 * 24 * 3600, 60, _MAX_LIFETIME_SECONDS)

    #: The relying party of WebAuthn: a domain without scheme and port. Passkeys are bound to it for ever.
    webauthn_rp_id: str = "localhost"
    webauthn_rp_name: str = "Secure Backend"
    #: The origins that may use these passkeys, separated by commas. They are pages on the domain, related origins
    #: (WebAuthn section 5.11), and Android apps as ``android:apk-key-hash:…`` (section 13.4.9).
    webauthn_origins: tuple[str, ...] = ("http://localhost:8000", "http://localhost:3000")

    #: The URL of the folder with the pages, without a slash at its end, for links in mails and redirects. It is never
    #: taken from ``Host``. The default is the first page of ``webauthn_origins``.
    pages_url: str | None = None

    #: Whether pages tell authenticators which passkeys of the user are valid (Signal API, WebAuthn section 5.1.10).
    #: Switch it off after a restore of an older database, which lacks the newest passkeys.
    passkey_signals: bool = True

    #: Origins of pages that may call the API from a browser (CORS), separated by commas. The default is the pages of
    #: ``webauthn_origins``.
    cors_origins: tuple[str, ...] = ()

    #: The documents under /.well-known/, each of which is absent without its setting (``operations.well_known``). The
    #: pages where a user changes the password, adds a passkey and manages passkeys, as https URLs.
    change_password_url: str | None = None
    passkey_enroll_url: str | None = None
    passkey_manage_url: str | None = None
    #: URIs for reports of vulnerabilities, separated by commas, and until when they are to be used (RFC 9116).
    security_contact: tuple[str, ...] = ()
    security_txt_expires: str | None = None
    #: Native apps that may use these passkeys: application ids of the Android apps whose certificates are in
    #: ``webauthn_origins``, and iOS apps as ``TEAMID.bundle.id``.
    android_packages: tuple[str, ...] = ()
    ios_apps: tuple[str, ...] = ()

    #: log2 of bcrypt's rounds. 12 is about 280 ms on a slow core.
    bcrypt_cost: int = _number(12, 4, 15)

    #: ``required``: no login to a new account before its address is verified, and registration hides taken addresses.
    email_verification: str = field(default="optional", metadata={"choices": ("optional", "required")})
    #: Whether registration returns the same 202 for new and for taken e-mail addresses (ASVS 5.0 6.3.8).
    neutral_registration: bool = False

    #: The SHA-256 in hex of each accepted value of ``X-Proxy-Lock``, separated by commas: two during a rotation.
    #: With the lock, ``X-Client-IP`` is the client IP (``events.client_ip``).
    proxy_locks: tuple[str, ...] = ()

    #: Failures of one account in a row until a lockout (``throttling.limits``). NIST SP 800-63B-4 allows 100.
    throttle_login_per_account_and_source: int = _number(10, 1, 50)
    throttle_login_per_account: int = _number(20, 1, 50)
    throttle_second_factor_per_account: int = _number(10, 1, 50)
    #: Failures of one client IP, or /64 network in IPv6, within the window. Many users can share a client IP.
    throttle_login_per_source: int = _number(100, 1, 100_000)
    throttle_passkey_per_source: int = _number(100, 1, 100_000)
    throttle_refresh_per_source: int = _number(100, 1, 100_000)
    #: Failed authentications of clients, for each client IP and for each client.
    throttle_client_per_source: int = _number(100, 1, 100_000)
    #: Registrations, also those that succeed, because each account is a row.
    throttle_registration_per_source: int = _number(100, 1, 100_000)
    #: Requests for a mail, and links and codes that are not valid.
    throttle_mail_per_source: int = _number(10, 1, 100_000)
    throttle_mail_token_per_source: int = _number(100, 1, 100_000)
    #: Rejected bodies and queries that are recorded. Further ones get the same response without a record.
    throttle_bad_input_per_source: int = _number(100, 1, 100_000)
    #: Seconds of the window, of the first lockout and of the longest. Each lockout is twice as long as the one before.
    throttle_window: int = _number(3_600, 60, 86_400)
    throttle_first_lock: int = _number(30, 1, 3_600)
    throttle_longest_lock: int = _number(3_600, 60, 86_400)

    #: How mail leaves the service. ``mailbox`` is files in ``data_dir``. Empty: ``mailbox`` on the ``local`` stage, and
    #: ``none`` on others.
    mail_transport: str | None = field(default=None, metadata={"choices": ("none", "mailbox", "smtp", "ses")})
    #: The sender of all mails. ``smtp`` and ``ses`` need an address.
    mail_from: str | None = None
    mail_from_name: str = "Secure Backend"
    #: Mails that the stack sends within an hour (``mail.hourly_limit``).
    mail_per_hour: int = _number(1_000, 20, 10_000_000)
    #: The languages of mails, separated by commas. The first is for users whose language is unknown.
    mail_locales: tuple[str, ...] = ("en", "de")
    #: A folder of the deployer with texts that replace the built-in ones (``mail.rendering``).
    mail_texts_dir: Path | None = None
    #: The server of ``smtp``. It is secret, because it contains a password.
    smtp_url: str | None = field(default=None, repr=False)
    #: The secret in Secrets Manager that contains the server's URL, instead of ``smtp_url``.
    smtp_url_secret_arn: str | None = None
    #: The configuration set of ``ses``, whose events report bounces and complaints.
    ses_configuration_set: str | None = None
    #: The alias of the function that sends mails, which requests wake.
    send_mail_arn: str | None = None

    #: Days after which audit records are deleted.
    audit_retention_days: int = _number(400, 30, 36_500)

    def contradictions(self) -> Iterator[str]:
        """Yield the faults that types and bounds do not exclude, as error texts."""
        origins = [_ORIGIN.fullmatch(page) for page in self._own_pages()]
        # An IP address is no valid domain, so browsers reject it as a relying party (WebAuthn section 5.1.3).
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
            yield "WEBAUTHN_ORIGINS: must be https, except on localhost"
        if not all(_is_safe(_ORIGIN.fullmatch(page)) for page in self.cors_origins):
            yield "CORS_ORIGINS: must be https origins such as https://app.example.com, or http://localhost"
        if self.pages_url is not None:
            yield from self._wrong_pages_url(self.pages_url)
        yield from self._token_contradictions()
        yield from self._mail_contradictions()
        if len(self.proxy_locks) > _MAX_LOCKS or not all(map(_SHA_256.fullmatch, self.proxy_locks)):
            yield f"PROXY_LOCKS: must be at most {_MAX_LOCKS} SHA-256 hashes in hex, separated by a comma"
        yield from self._wrong_documents()
        if self.email_verification == "required" and not self.sends_mail():
            yield "EMAIL_VERIFICATION: required needs a MAIL_TRANSPORT, because no user could log in without mail"
        if self.stage != "local":
            yield from self._local_only_settings()

    def _token_contradictions(self) -> Iterator[str]:
        """Yield the faults of the settings of tokens, as error texts."""
        if not _is_safe(_PAGES_URL.fullmatch(self.token_issuer)):
            yield "TOKEN_ISSUER: must be an https URL without a slash at its end, or http://localhost"
        if bool(self.previous_token_issuer) != bool(self.token_issuer_changed_at):
            yield "PREVIOUS_TOKEN_ISSUER and TOKEN_ISSUER_CHANGED_AT: a change of the issuer needs both"
        if self.token_issuer_changed_at and not _is_time(self.token_issuer_changed_at):
            yield "TOKEN_ISSUER_CHANGED_AT: must be an existing time in UTC such as 2027-01-31T00:00:00Z"
        if not all(map(_RESOURCE.fullmatch, self.token_resources)):
            yield "TOKEN_RESOURCES: must be URIs without a fragment such as https://orders.example.com"
        if self.token_audience in self.token_resources:
            yield "TOKEN_RESOURCES: must not contain TOKEN_AUDIENCE, because it is the audience of this service"
        if self.token_several_audiences and not self.token_resources:
            yield "TOKEN_SEVERAL_AUDIENCES: needs TOKEN_RESOURCES"
        if not _SCOPE.fullmatch(self.token_client_id) or " " in self.token_client_id:
            yield "TOKEN_CLIENT_ID: must be printable ASCII without spaces and quotes"
        if not _SCOPE.fullmatch(self.token_scope):
            yield "TOKEN_SCOPE: must be scopes separated by a space"

    def _wrong_pages_url(self, pages_url: str) -> Iterator[str]:
        """Yield the faults of the URL of the pages, as error texts."""
        pages = _PAGES_URL.fullmatch(pages_url)
        if pages is None or not _is_safe(pages):
            yield "PAGES_URL: must be an https URL without a slash at its end, or http://localhost"
        elif _origin(pages) not in {*self._own_pages(), *self.cors_origins}:
            yield "PAGES_URL: must be on one of WEBAUTHN_ORIGINS, or of CORS_ORIGINS if its pages use no passkeys"

    def _mail_contradictions(self) -> Iterator[str]:
        """Yield the faults of the settings of mail, as error texts."""
        if self.chosen_transport() in {"smtp", "ses"} and self.mail_from is None:
            yield "MAIL_FROM: must be set to send mail with this MAIL_TRANSPORT"
        if self.mail_from is not None and not _MAIL_FROM.fullmatch(self.mail_from):
            yield "MAIL_FROM: must be an e-mail address such as no-reply@example.com, without a name"
        if not self.mail_from_name.isprintable():
            yield "MAIL_FROM_NAME: must be printable text"
        if not all(map(_LOCALE.fullmatch, self.mail_locales)):
            yield "MAIL_LOCALES: must be language tags such as en or pt-BR, separated by commas"

    def _wrong_documents(self) -> Iterator[str]:
        """Yield the faults in the settings of documents under /.well-known/, as error texts."""
        for name in ("change_password_url", "passkey_enroll_url", "passkey_manage_url"):
            url: str | None = getattr(self, name)
            if url and not _is_safe(_PAGE.fullmatch(url)):
                yield f"{name.upper()}: must be an https URL such as https://example.com/account, or http://localhost"
        if not all(map(_CONTACT.fullmatch, self.security_contact)):
            yield "SECURITY_CONTACT: must be URIs such as mailto:security@example.com, https://… or tel:+…"
        if self.security_txt_expires and not _is_time(self.security_txt_expires):
            yield "SECURITY_TXT_EXPIRES: must be an existing time in UTC such as 2027-01-31T00:00:00Z"
        if bool(self.security_contact) != bool(self.security_txt_expires):
            yield "SECURITY_CONTACT and SECURITY_TXT_EXPIRES: security.txt needs both (RFC 9116)"
        if not all(map(_ANDROID_PACKAGE.fullmatch, self.android_packages)):
            yield "ANDROID_PACKAGES: must be application ids such as com.example.app"
        if self.android_packages and not self.android_certificates():
            yield "ANDROID_PACKAGES: WEBAUTHN_ORIGINS must contain the apps' android:apk-key-hash:…"
        if not all(map(_IOS_APP.fullmatch, self.ios_apps)):
            yield "IOS_APPS: must be a team id and a bundle id such as ABCDE12345.com.example.app"

    def _local_only_settings(self) -> Iterator[str]:
        """Yield the settings that only the ``local`` stage accepts, as error texts."""
        if self.database_url_secret_arn is None and (self.database_url or "sqlite").startswith("sqlite"):
            # The /tmp of Lambda is private to one environment and is deleted with it.
            yield "a deployed stage needs DATABASE_URL or DATABASE_URL_SECRET_ARN, and SQLite loses data there"
        if self.bcrypt_cost < MIN_DEPLOYED_BCRYPT_COST:
            yield f"BCRYPT_COST: must be at least {MIN_DEPLOYED_BCRYPT_COST} in a deployed stage"
        if self.webauthn_rp_id == "localhost":
            yield "a deployed stage needs WEBAUTHN_RP_ID and WEBAUTHN_ORIGINS"
        if self.chosen_transport() == "mailbox":
            yield "MAIL_TRANSPORT: a deployed stage has no mailbox"
        # The local issuer stands for one that is not known yet: ``issuer`` rejects it.
        if self.token_issuer != LOCAL_ISSUER and self.token_issuer.startswith("http:"):
            yield "TOKEN_ISSUER: must be https in a deployed stage"

    def issuer(self) -> str:
        """Return ``iss`` of new tokens.

        Raises:
            Misconfigured: a deployed stage does not know its URL. Neither ``TOKEN_ISSUER`` nor the gateway names it.

        """
        if self.stage != "local" and self.token_issuer == LOCAL_ISSUER:
            raise Misconfigured("TOKEN_ISSUER: is not set, and the gateway's stage has no variable issuer")
        return self.token_issuer

    def accepted_issuers(self, now: float) -> tuple[str, ...]:
        """Return each accepted ``iss``: that of new tokens, and for one lifetime after a change the one before.

        Args:
            now: the time in seconds since the epoch.

        """
        if self.previous_token_issuer is None or self.token_issuer_changed_at is None:
            return (self.issuer(),)
        changed_at = datetime.fromisoformat(self.token_issuer_changed_at).timestamp()
        # A time far ahead does not accept the previous issuer for ever.
        if abs(now - changed_at) > self.access_token_lifetime:
            return (self.issuer(),)
        return self.issuer(), self.previous_token_issuer

    def chosen_transport(self) -> str:
        """Return how mail leaves the service: ``none``, ``mailbox``, ``smtp`` or ``ses``."""
        return self.mail_transport or ("mailbox" if self.stage == "local" else "none")

    def sends_mail(self) -> bool:
        """Return whether mail is configured."""
        return self.chosen_transport() != "none"

    def hides_taken_addresses(self) -> bool:
        """Return whether registration returns the same response for new and for taken addresses."""
        return self.neutral_registration or self.email_verification == "required"

    def page_origins(self) -> tuple[str, ...]:
        """Return the origins of pages that may call the API."""
        return self.cors_origins or self._own_pages()

    def page(self, name: str) -> str:
        """Return the URL of a page, such as ``security.html``.

        Raises:
            Misconfigured: ``PAGES_URL`` is not set, and ``WEBAUTHN_ORIGINS`` lists no page.

        """
        own = self._own_pages()
        if self.pages_url is None and not own:
            raise Misconfigured("PAGES_URL: is not set, and WEBAUTHN_ORIGINS lists no page")
        return f"{self.pages_url or own[0]}/{name}"

    def _own_pages(self) -> tuple[str, ...]:
        return tuple(origin for origin in self.webauthn_origins if not _ANDROID_APP.fullmatch(origin))

    def related_origins(self) -> tuple[str, ...]:
        """Return the origins of pages on other domains than the relying party's (WebAuthn section 5.11)."""
        pages = map(_ORIGIN.fullmatch, self.webauthn_origins)
        domain = f".{self.webauthn_rp_id}"
        return tuple(page.group() for page in pages if page and not f".{page['host']}".endswith(domain))

    def android_certificates(self) -> tuple[bytes, ...]:
        """Return the SHA-256 of the signing certificates of Android apps that may use these passkeys."""
        apps = (origin for origin in self.webauthn_origins if _ANDROID_APP.fullmatch(origin))
        return tuple(base64.urlsafe_b64decode(app.rpartition(":")[2] + "=") for app in apps)

    def storage(self) -> Path:
        """Return ``data_dir``, which must exist. A function never creates it.

        Otherwise each container of a plain ``sam local start-api`` would have its own database and signing key, and a
        user who registered through one container would be unknown to the others.

        Raises:
            StorageNotMounted: The folder does not exist.

        """
        if not self.data_dir.is_dir():
            raise StorageNotMounted
        return self.data_dir


def _without_default_port(origin: str) -> str:
    """Remove the default port of the scheme, as browsers do (RFC 6454 section 6.2). With it no page would match."""
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition(":")[0], ""))


def _origin(url: re.Match[str]) -> str:
    """Return the origin of a URL that matched, as ``_parse_list`` returns origins."""
    port = f":{url['port']}" if url["port"] else ""
    return _without_default_port(f"{url['scheme']}://{url['host']}{port}")


def _may_use(host: str, domain: str) -> bool:
    """Return whether pages of ``host`` may use the passkeys of ``domain``.

    These are the domain, its subdomains and related origins. A related origin has its own domain (WebAuthn section
    5.11), so its name has a dot.
    """
    return _DOMAIN.fullmatch(host) is not None and (f".{host}".endswith(f".{domain}") or "." in host)


def _is_time(text: str) -> bool:
    """Return whether ``text`` is a time in UTC on a day that exists."""
    with suppress(ValueError):
        return _TIME.fullmatch(text) is not None and datetime.fromisoformat(text) is not None
    return False


def _is_safe(url: re.Match[str] | None) -> bool:
    """Return whether ``url`` matched and is https, or http on localhost."""
    return (
        url is not None
        and (url["scheme"] == "https" or url["host"] == "localhost")
        and int(url["port"] or 1) <= _MAX_PORT
    )


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(_without_default_port(item.strip()) for item in text.split(","))


def _parse_bool(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_PARSERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    bool: _parse_bool,
    int: int,
    float: float,
    str: str,
    str | None: str,
    Path: Path,
    Path | None: Path,
    tuple[str, ...]: _parse_list,
}


def _parse(setting: Field[Any], text: str) -> Any:
    """Return the value of ``setting`` that ``text`` stands for.

    Raises:
        ValueError: The text is not valid. The message says what it must be.

    """
    parse = _PARSERS[setting.type]
    bounds, choices = setting.metadata.get("bounds"), setting.metadata.get("choices")
    with suppress(ValueError, KeyError):  # their messages contain the text
        value = parse(text)
        if (not bounds or bounds.least <= value <= bounds.greatest) and (not choices or value in choices):
            return value
    message = f"must be {bounds or ' or '.join(choices or ('true', 'false'))}"
    raise ValueError(message)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this environment, which are read once.

    Raises:
        Misconfigured: A setting is missing or not valid. The message names it and does not contain its value.

    """
    # Without pydantic, whose import would take a third of the authorizer's cold start.
    found: dict[str, Any] = {}
    faults: list[str] = []
    for setting in fields(Settings):
        # An empty variable counts as missing, because CloudFormation cannot leave a variable out.
        if text := os.environ.get(setting.name.upper(), ""):
            try:
                found[setting.name] = _parse(setting, text)
            except ValueError as error:
                faults.append(f"{setting.name.upper()}: {error}")
    if not faults:
        read = Settings(**found)
        faults += read.contradictions()
        if not faults:
            return read
    raise Misconfigured("; ".join(faults))


def learn_issuer(stage_variables: Mapping[str, str] | None) -> None:
    """Set ``TOKEN_ISSUER`` from the variables of the gateway's stage, if the deployment has not set it.

    Without a domain of its own, the service is at the gateway's URL, which contains the id of the REST API. No variable
    of a function can refer to the gateway, because the gateway refers to the functions (docs/decisions/0032). The
    gateway sends the variables of its stage with each event. No client can change them, unlike ``Host``.

    SAM CLI sends the URL of a gateway that does not exist, so the local stage keeps its default.
    """
    issuer = (stage_variables or {}).get("issuer")
    is_local = os.environ.get("STAGE", "local") == "local"
    if issuer and not is_local and not os.environ.get("TOKEN_ISSUER"):
        os.environ["TOKEN_ISSUER"] = issuer
        settings.cache_clear()


def initialises_ahead() -> bool:
    """Return whether Lambda initialises this environment before the first request.

    Lambda does so for snapshots and provisioned concurrency (Lambda Developer Guide, "Runtime environment variables").
    """
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in {"snap-start", "provisioned-concurrency"}


class Stack(NamedTuple):
    """The CloudFormation stack that this environment belongs to."""

    arn: str

    @property
    def partition(self) -> str:
        """Return the partition, such as ``aws`` or ``aws-cn``."""
        return self.arn.split(":")[1]

    @property
    def region(self) -> str:
        """Return the region, such as ``eu-central-1``."""
        return self.arn.split(":")[3]

    @property
    def role_prefix(self) -> str:
        """Return how the ARNs of the stack's roles begin. They have an IAM path of their own (template.yaml)."""
        name = self.arn.split("/")[1]
        return f"arn:{self.partition}:iam::{self.arn.split(':')[4]}:role/secure-backend/{name}/"


def own_stack() -> Stack | None:
    """Return the stack of a custom resource's function. The template gives its ARN to these functions only.

    It is apart from ``settings``, because a custom resource needs it to report that a setting is wrong.
    """
    arn = os.environ.get("STACK_ID")
    return Stack(arn) if arn else None


def runs_in_sam() -> bool:
    """Return whether ``sam local`` runs this environment, which has no schedules and no asynchronous invocations."""
    return os.environ.get("AWS_SAM_LOCAL") == "true"
