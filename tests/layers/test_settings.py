"""Settings: with a wrong one every request fails, and the log names the setting without its value."""

from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path

import pytest

from auth_common.errors import Misconfigured, StorageNotMounted
from auth_common.settings import settings
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_health

pytestmark = [pytest.mark.settings, pytest.mark.usefixtures("environment")]


@pytest.fixture
def set_variables(monkeypatch):
    """Return a function that starts a new environment with further variables. None deletes a variable."""

    def set_them(**variables):
        for name, value in variables.items():
            if value is None:
                monkeypatch.delenv(name)
            else:
                monkeypatch.setenv(name, value)
        start_fresh_environment()

    return set_them


def test_defaults_are_those_of_the_design(set_variables):
    set_variables(BCRYPT_COST=None, DATABASE_TIMEOUT=None)
    limits = (
        dict.fromkeys(("throttle_login_per_account_and_source", "throttle_second_factor_per_account"), 10)
        | {"throttle_login_per_account": 20, "throttle_login_per_source": 100, "throttle_passkey_per_source": 100}
        | dict.fromkeys(("throttle_refresh_per_source", "throttle_registration_per_source"), 100)
        | {"throttle_mail_per_source": 10, "throttle_mail_token_per_source": 100}
        | {"throttle_client_per_source": 100, "throttle_bad_input_per_source": 100, "throttle_window": 3_600}
        | {"throttle_first_lock": 30, "throttle_longest_lock": 3_600}
    )
    assert asdict(replace(settings(), data_dir=Path("/data"))) == (
        {
            "data_dir": Path("/data"),
            "stage": "local",
            "database_url": None,
            "database_timeout": 4,
            "database_pipeline": True,
        }
        | {"signing_key_arn": None, "jwks": None, "clock_leeway": 30, "token_profile_claims": False}
        | {"token_issuer": "http://localhost:8000", "previous_token_issuer": None, "token_issuer_changed_at": None}
        | {"token_audience": "secure-backend-users", "token_resources": (), "token_several_audiences": False}
        | {"token_client_id": "first-party", "token_scope": "user", "access_token_lifetime": 15 * 60}
        | {"service_token_lifetime": 5 * 60}
        | {"refresh_idle_lifetime": 7 * 24 * 3600, "refresh_absolute_lifetime": 30 * 24 * 3600}
        | {"webauthn_rp_id": "localhost", "webauthn_rp_name": "Secure Backend"}
        | {"webauthn_origins": ("http://localhost:8000", "http://localhost:3000"), "audit_retention_days": 400}
        | {"pages_url": None, "proxy_locks": (), "mail_locales": ("en", "de")}
        | {"mail_per_hour": 1_000, "mail_transport": None, "mail_from": None, "mail_from_name": "Secure Backend"}
        | dict.fromkeys(("send_mail_arn", "mail_texts_dir", "smtp_url", "smtp_url_secret_arn", "ses_configuration_set"))
        | dict.fromkeys(("cors_origins", "security_contact", "android_packages", "ios_apps"), ())
        | dict.fromkeys(("change_password_url", "passkey_enroll_url", "passkey_manage_url", "security_txt_expires"))
        | {"bcrypt_cost": 12, "neutral_registration": False, "email_verification": "optional", "passkey_signals": True}
        | dict.fromkeys(("database_url_secret_arn", "pepper_secret_arn", "audit_key_secret_arn"))
        | limits
    )


@pytest.mark.asvs("11.4.2", "13.2.3")
@pytest.mark.threat("deployment-insecure-default")
@pytest.mark.usefixtures("deployed_settings")
@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_deployed_stage_rejects_sqlite_localhost_and_cheap_hashes(set_variables, stage):
    """SQLite would lose its data, because the /tmp of Lambda is deleted with its environment."""
    set_variables(STAGE=stage)
    assert settings().database_url == "postgresql+psycopg://service:hunter2@db.example/auth"
    for cost in ("10", "15"):
        set_variables(BCRYPT_COST=cost)
        assert settings().bcrypt_cost == int(cost)
    for cost in ("4", "9"):
        set_variables(BCRYPT_COST=cost)
        with pytest.raises(Misconfigured, match="BCRYPT_COST: must be at least 10"):
            settings()
    set_variables(BCRYPT_COST="12")
    for url in ("", "sqlite+pysqlite:////tmp/data.sqlite3", "sqlite://", None):
        set_variables(DATABASE_URL=url)
        with pytest.raises(Misconfigured, match="DATABASE_URL"):
            settings()
    set_variables(DATABASE_URL="postgresql://db.example/auth", WEBAUTHN_RP_ID="", WEBAUTHN_ORIGINS="")
    with pytest.raises(Misconfigured, match="WEBAUTHN_RP_ID"):
        settings()


OUT_OF_BOUNDS = {
    "STAGE": ["production"],
    "ACCESS_TOKEN_LIFETIME": ["59", "3601", "15 minutes"],
    "CLOCK_LEEWAY": ["-1", "121"],
    "REFRESH_IDLE_LIFETIME": ["59"],
    "REFRESH_ABSOLUTE_LIFETIME": ["0", "315360001"],
    "AUDIT_RETENTION_DAYS": ["9999999999"],
    "DATABASE_TIMEOUT": ["nan"],
    "BCRYPT_COST": ["3", "16"],
    "PROXY_LOCKS": ["x" * 64, "A" * 64, "a" * 63, "a" * 65, ",", ",".join(["a" * 64] * 3)],
    "PAGES_URL": [
        *("http://login.example.com", "https://login.example.com/", "login.example.com", "https://login.example.com?x"),
        *("https://user@login.example.com", "https://login.example.com:70000", "https://login.example.com#x"),
    ],
    "MAIL_FROM": ["Ada <ada@example.com>", "ada", "ada@example.com\nBcc: eve@example.com"],
    "MAIL_FROM_NAME": ["Example\nBcc: eve@example.com"],
    "MAIL_LOCALES": ["en,", "../en", "e"],
    "THROTTLE_LOGIN_PER_ACCOUNT": ["0", "51"],
    "THROTTLE_SECOND_FACTOR_PER_ACCOUNT": ["51"],
    "THROTTLE_LONGEST_LOCK": ["86401"],
    "TOKEN_PROFILE_CLAIMS": ["perhaps"],
    "TOKEN_ISSUER": [
        *("secure-backend", "http://login.example.com", "https://login.example.com/", "https://login.example.com?x"),
        *("https://Login.example.com", "https://user@login.example.com", "https://login.example.com#x", "//x.example"),
    ],
    "TOKEN_RESOURCES": [
        "orders",
        "https://orders.example.com#x",
        "https://a.example,",
        "urn:a b",
        "urn:",
        "https://é.de",
    ],
    "TOKEN_CLIENT_ID": ["two words", 'a"b', "é"],
    "TOKEN_SCOPE": ["two  spaces", " user", "user ", 'a"b', "a\\b"],
}


@pytest.mark.parametrize(("name", "values"), OUT_OF_BOUNDS.items())
def test_setting_out_of_bounds_is_503_and_named_in_the_log(set_variables, log_lines, name, values):
    for value in values:
        set_variables(**{name: value})
        answer = get_health()
        assert (answer.status, answer.code) == (503, "service_unavailable"), value
        assert name not in answer.text
    for record in log_lines.records:
        assert (record["level"], record["message"]) == ("CRITICAL", "misconfigured")
        assert record["error"].startswith(f"{name}: ")
    assert len(log_lines.records) == len(values)


@pytest.mark.parametrize(
    "values",
    [
        {"PREVIOUS_TOKEN_ISSUER": "https://old.example.com"},
        {"TOKEN_ISSUER_CHANGED_AT": "2027-01-31T00:00:00Z"},
        {"TOKEN_ISSUER_CHANGED_AT": "2027-02-29T00:00:00Z", "PREVIOUS_TOKEN_ISSUER": "https://old.example.com"},
        {"TOKEN_RESOURCES": "urn:a,urn:b", "TOKEN_AUDIENCE": "urn:b"},
        {"TOKEN_SEVERAL_AUDIENCES": "true"},
    ],
    ids=str,
)
def test_settings_of_tokens_that_contradict_each_other_are_misconfigured(set_variables, values):
    set_variables(**values)
    with pytest.raises(Misconfigured, match=next(iter(values))):
        settings()


@pytest.mark.usefixtures("deployed_settings")
def test_issuer_on_a_deployed_stage_must_be_https(set_variables):
    set_variables(TOKEN_ISSUER="http://localhost:9000")
    with pytest.raises(Misconfigured, match="TOKEN_ISSUER: must be https"):
        settings()


@pytest.mark.parametrize("transport", ["smtp", "ses"])
def test_mail_transport_without_a_sender_is_misconfigured(set_variables, transport):
    set_variables(MAIL_TRANSPORT=transport)
    with pytest.raises(Misconfigured, match="MAIL_FROM"):
        settings()


@pytest.mark.usefixtures("deployed_settings")
def test_mailbox_on_a_deployed_stage_is_misconfigured(set_variables):
    set_variables(MAIL_TRANSPORT="mailbox")
    with pytest.raises(Misconfigured, match="MAIL_TRANSPORT"):
        settings()


@pytest.mark.parametrize(
    ("pages_url", "is_valid"),
    [
        ("https://login.example.com", True),
        ("https://login.example.com:443/pages", True),
        ("https://mails.example.com/a/b", True),
        ("https://example.com", False),
        ("https://login.example.com:8443", False),
        ("https://login.example.com.evil.example", False),
    ],
)
def test_pages_url_is_on_an_origin_whose_pages_may_call_the_api(set_variables, pages_url, is_valid):
    set_variables(
        WEBAUTHN_RP_ID="example.com",
        WEBAUTHN_ORIGINS="https://login.example.com",
        CORS_ORIGINS="https://mails.example.com",
        PAGES_URL=pages_url,
    )
    if is_valid:
        assert settings().page("x.html") == f"{pages_url}/x.html"
    else:
        with pytest.raises(Misconfigured, match=r"PAGES_URL.*WEBAUTHN_ORIGINS"):
            settings()


def test_link_to_a_page_without_any_page_is_misconfigured(set_variables):
    set_variables(WEBAUTHN_ORIGINS=f"{APP}{'A' * 43}")
    with pytest.raises(Misconfigured, match="PAGES_URL"):
        settings().page("reset-password.html")


@pytest.mark.usefixtures("deployed_settings")
def test_wrong_settings_are_all_named_without_their_values(set_variables, log_lines):
    """The chain of causes, which a traceback prints, does not contain the values either."""
    set_variables(BCRYPT_COST="hunter4", CLOCK_LEEWAY="hunter3")
    with pytest.raises(Misconfigured, match=r"CLOCK_LEEWAY: .*; BCRYPT_COST: ") as caught:
        settings()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert get_health().status == 503
    assert "hunter" not in str(caught.value) + log_lines.text


@pytest.mark.threat("database-url-leak")
@pytest.mark.usefixtures("deployed_settings")
def test_database_url_is_not_in_the_text_of_the_settings():
    assert "hunter2" in str(settings().database_url)
    assert "hunter2" not in f"{settings()!r} {settings()}"


def test_empty_variable_means_the_default(set_variables):
    """CloudFormation can pass an empty string, but not leave a variable out."""
    set_variables(**dict.fromkeys(("DATABASE_URL", "SIGNING_KEY_ARN", "JWKS", "ACCESS_TOKEN_LIFETIME"), ""))
    found = settings()
    assert (found.database_url, found.signing_key_arn, found.jwks) == (None, None, None)
    assert found.access_token_lifetime == 15 * 60


@pytest.mark.parametrize("existing", ["nothing", "a file"])
def test_missing_storage_is_not_created_by_a_function(monkeypatch, environment, existing):
    """Otherwise each container would create its own."""
    folder = environment / "elsewhere"
    if existing == "a file":
        folder.touch()
    monkeypatch.setenv("DATA_DIR", str(folder))
    with pytest.raises(StorageNotMounted):
        settings().storage()
    assert not folder.is_dir()


def test_settings_do_not_change_within_an_environment(monkeypatch):
    before = settings()
    monkeypatch.setenv("BCRYPT_COST", "5")
    assert settings() is before
    with pytest.raises(FrozenInstanceError):
        before.bcrypt_cost = 5  # type: ignore[misc]


def test_relying_party_id_that_browsers_reject_is_misconfigured(set_variables):
    for rp_id in ("127.0.0.1", "::1", "[::1]", "https://example.com", "example.com:443", "Example.com", "a..b", " "):
        set_variables(WEBAUTHN_RP_ID=rp_id)
        with pytest.raises(Misconfigured, match=r"WEBAUTHN_RP_ID: .*must be a domain.*use localhost"):
            settings()


APP = "android:apk-key-hash:"
UNUSABLE_ORIGINS = [
    *("https://localhost", "http://localhost:8000", "https://192.0.2.1", "http://example.org", "null"),
    *(APP, f"https://{APP}{'A' * 43}", *(APP + "A" * 42 + end for end in ("", "AA", "=", "+"))),
    *("https://example.com/login", "https://example.com,", "https://example.com@evil.org", "https://.example.com"),
    *("https://a..example.com", "https://example.com:65536", "https://example.com, http://www.example.com"),
]


@pytest.mark.asvs("1.2.2")
def test_origin_that_cannot_use_the_passkeys_is_misconfigured(set_variables):
    for origins in UNUSABLE_ORIGINS:
        set_variables(WEBAUTHN_RP_ID="example.com", WEBAUTHN_ORIGINS=origins)
        with pytest.raises(Misconfigured, match="must be https" if "www" in origins else "WEBAUTHN_ORIGINS"):
            settings()


def test_origins_of_sites_and_apps_are_separated_by_commas(set_variables):
    """WebAuthn sections 13.4.9 and 5.11."""
    app = f"{APP}7uPzD-rA_1s9vUCVTqZ3Jx5oX0lKJ4b2nWmEyH8dGfQ"
    origins = ("https://example.com", app, "https://example.co.uk", "https://login.example.com:8443")
    set_variables(WEBAUTHN_RP_ID="example.com", WEBAUTHN_ORIGINS=f"{', '.join(origins[:3])},{origins[3]}")
    assert settings().webauthn_origins == origins


def test_default_port_of_an_origin_is_removed(set_variables):
    """Browsers remove it too (RFC 6454 section 6.2), so with it no passkey would work."""
    set_variables(WEBAUTHN_ORIGINS="http://localhost:80,https://localhost:443,http://localhost:443")
    assert settings().webauthn_origins == ("http://localhost", "https://localhost", "http://localhost:443")
