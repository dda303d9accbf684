"""Settings: a wrong one stops the service with its name, and never shows its value."""

from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path

import pytest

from auth_common.errors import Misconfigured, StorageNotMounted
from auth_common.settings import settings
from tests.support.databases import start_fresh_environment
from tests.support.events import proxy_event
from tests.support.functions import call

pytestmark = [pytest.mark.settings, pytest.mark.usefixtures("environment")]


def get_health():
    return call("health", proxy_event("GET", "/health"))


def test_the_defaults_are_those_of_the_design(monkeypatch):
    monkeypatch.delenv("BCRYPT_COST")
    assert asdict(replace(settings(), data_dir=Path("/data"))) == {
        "data_dir": Path("/data"),
        "stage": "local",
        "database_url": None,
        "database_timeout": 4,
        "signing_key_arn": None,
        "jwks": None,
        "token_issuer": "secure-backend",
        "token_audience": "secure-backend-users",
        "access_token_lifetime": 15 * 60,
        "clock_leeway": 30,
        "token_profile_claims": False,
        "refresh_idle_lifetime": 7 * 24 * 3600,
        "refresh_absolute_lifetime": 30 * 24 * 3600,
        "webauthn_rp_id": "localhost",
        "webauthn_rp_name": "Secure Backend",
        "webauthn_origins": ("http://localhost:8000", "http://localhost:3000"),
        "bcrypt_cost": 12,
        "neutral_registration": False,
        "database_url_secret_arn": None,
        "pepper_secret_arn": None,
        "audit_key_secret_arn": None,
        "trusted_proxy_hops": 0,
        "throttle_login_per_account_and_source": 10,
        "throttle_login_per_account": 20,
        "throttle_second_factor_per_account": 10,
        "throttle_login_per_source": 100,
        "throttle_passkey_per_source": 100,
        "throttle_refresh_per_source": 100,
        "throttle_registration_per_source": 100,
        "throttle_bad_input_per_source": 100,
        "throttle_window": 3_600,
        "throttle_first_lock": 30,
        "throttle_longest_lock": 3_600,
        "audit_retention_days": 400,
    }


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_deployed_stage_runs_on_postgresql(monkeypatch, stage):
    monkeypatch.setenv("STAGE", stage)
    assert settings().database_url == "postgresql+psycopg://service:hunter2@db.example/auth"


@pytest.mark.asvs("13.2.3")
@pytest.mark.threat("deployment-insecure-default")
@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("stage", ["dev", "prod"])
@pytest.mark.parametrize("url", [None, "", "sqlite+pysqlite:////tmp/data.sqlite3", "sqlite://"])
def test_a_deployed_stage_refuses_sqlite(monkeypatch, stage, url):
    """A Lambda's /tmp is thrown away with its environment."""
    monkeypatch.setenv("STAGE", stage)
    if url is None:
        monkeypatch.delenv("DATABASE_URL")
    else:
        monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        settings()


@pytest.mark.asvs("11.4.2")
@pytest.mark.threat("deployment-insecure-default")
@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(("cost", "accepted"), [("4", False), ("9", False), ("10", True), ("15", True)])
def test_a_deployed_stage_refuses_cheap_password_hashes(monkeypatch, cost, accepted):
    monkeypatch.setenv("BCRYPT_COST", cost)
    if accepted:
        assert settings().bcrypt_cost == int(cost)
    else:
        with pytest.raises(Misconfigured, match="BCRYPT_COST: must be at least 10"):
            settings()


OUT_OF_BOUNDS = [
    ("STAGE", "production"),
    ("ACCESS_TOKEN_LIFETIME", "59"),
    ("ACCESS_TOKEN_LIFETIME", "3601"),
    ("ACCESS_TOKEN_LIFETIME", "15 minutes"),
    ("CLOCK_LEEWAY", "-1"),
    ("CLOCK_LEEWAY", "121"),
    ("REFRESH_IDLE_LIFETIME", "59"),
    ("REFRESH_ABSOLUTE_LIFETIME", "0"),
    ("REFRESH_ABSOLUTE_LIFETIME", "315360001"),
    ("AUDIT_RETENTION_DAYS", "9999999999"),
    ("DATABASE_TIMEOUT", "nan"),
    ("BCRYPT_COST", "3"),
    ("BCRYPT_COST", "16"),
    ("TRUSTED_PROXY_HOPS", "-1"),
    ("TRUSTED_PROXY_HOPS", "11"),
    ("THROTTLE_LOGIN_PER_ACCOUNT", "0"),
    ("THROTTLE_LOGIN_PER_ACCOUNT", "51"),
    ("THROTTLE_SECOND_FACTOR_PER_ACCOUNT", "51"),
    ("THROTTLE_LONGEST_LOCK", "86401"),
    ("TOKEN_PROFILE_CLAIMS", "perhaps"),
]


@pytest.mark.usefixtures("environment")
def test_setting_out_of_bounds_stops_the_service_and_the_log_names_it(monkeypatch, log_lines):
    for name, value in OUT_OF_BOUNDS:
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            start_fresh_environment()
            answer = get_health()
        assert (answer.status, answer.code) == (503, "service_unavailable"), (name, value)
        assert name not in answer.text
        record = log_lines.records[-1]
        assert (record["level"], record["message"]) == ("CRITICAL", "misconfigured")
        assert record["error"].startswith(f"{name}: ")
    assert len(log_lines.records) == len(OUT_OF_BOUNDS)


def test_all_wrong_settings_are_named_at_once(monkeypatch):
    monkeypatch.setenv("CLOCK_LEEWAY", "121")
    monkeypatch.setenv("BCRYPT_COST", "16")
    with pytest.raises(Misconfigured, match=r"CLOCK_LEEWAY: .*; BCRYPT_COST: "):
        settings()


@pytest.mark.usefixtures("deployed")
def test_no_error_shows_a_settings_value(monkeypatch, log_lines):
    """Not even in the chain of causes that a traceback prints."""
    monkeypatch.setenv("BCRYPT_COST", "4")
    monkeypatch.setenv("CLOCK_LEEWAY", "hunter3")
    with pytest.raises(Misconfigured) as caught:
        settings()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert get_health().status == 503
    assert "hunter" not in str(caught.value) + log_lines.text


@pytest.mark.threat("database-url-leak")
@pytest.mark.usefixtures("deployed")
def test_the_database_url_does_not_show_itself():
    assert "hunter2" in str(settings().database_url)
    assert "hunter2" not in f"{settings()!r} {settings()}"


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    """CloudFormation can pass an empty string, but not leave a variable out."""
    for name in ("DATABASE_URL", "SIGNING_KEY_ARN", "JWKS", "ACCESS_TOKEN_LIFETIME"):
        monkeypatch.setenv(name, "")
    found = settings()
    assert (found.database_url, found.signing_key_arn, found.jwks) == (None, None, None)
    assert found.access_token_lifetime == 15 * 60


def test_the_local_stage_may_use_another_database(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://db.example/auth")
    assert settings().database_url == "postgresql+psycopg://db.example/auth"


@pytest.mark.parametrize("there_is", ["nothing", "a file"])
def test_storage_is_never_made_by_a_function(monkeypatch, environment, there_is):
    """Each container would make its own."""
    folder = environment / "elsewhere"
    if there_is == "a file":
        folder.touch()
    monkeypatch.setenv("DATA_DIR", str(folder))
    with pytest.raises(StorageNotMounted):
        settings().storage()
    assert not folder.is_dir()


def test_settings_do_not_change_while_an_environment_lives(monkeypatch):
    before = settings()
    monkeypatch.setenv("BCRYPT_COST", "5")
    assert settings() is before
    with pytest.raises(FrozenInstanceError):
        before.bcrypt_cost = 5  # type: ignore[misc]


# --- The relying party ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rp_id", ["127.0.0.1", "::1", "[::1]", "https://example.com", "example.com:443", "Example.com", "a..b", " "]
)
def test_a_relying_party_id_that_no_browser_takes_stops_the_service(monkeypatch, rp_id):
    monkeypatch.setenv("WEBAUTHN_RP_ID", rp_id)
    with pytest.raises(Misconfigured, match=r"WEBAUTHN_RP_ID: .*must be a domain.*use localhost"):
        settings()


UNUSABLE_ORIGINS = [
    ("https://localhost", "WEBAUTHN_ORIGINS"),
    ("http://localhost:8000", "WEBAUTHN_ORIGINS"),
    ("https://192.0.2.1", "WEBAUTHN_ORIGINS"),
    ("http://example.org", "WEBAUTHN_ORIGINS"),
    ("android:apk-key-hash:", "WEBAUTHN_ORIGINS"),
    ("android:apk-key-hash:" + "A" * 42, "WEBAUTHN_ORIGINS"),
    ("android:apk-key-hash:" + "A" * 44, "WEBAUTHN_ORIGINS"),
    ("android:apk-key-hash:" + "A" * 42 + "=", "WEBAUTHN_ORIGINS"),
    ("android:apk-key-hash:" + "A" * 42 + "+", "WEBAUTHN_ORIGINS"),
    ("https://android:apk-key-hash:" + "A" * 43, "WEBAUTHN_ORIGINS"),
    ("https://example.com/login", "WEBAUTHN_ORIGINS"),
    ("https://example.com,", "WEBAUTHN_ORIGINS"),
    ("https://example.com@evil.org", "WEBAUTHN_ORIGINS"),
    ("null", "WEBAUTHN_ORIGINS"),
    ("https://.example.com", "WEBAUTHN_ORIGINS"),
    ("https://a..example.com", "WEBAUTHN_ORIGINS"),
    ("https://example.com:65536", "WEBAUTHN_ORIGINS"),
    ("https://example.com, http://www.example.com", "must be https"),
]


@pytest.mark.asvs("1.2.2")
@pytest.mark.usefixtures("environment")
def test_origin_that_cannot_use_the_passkeys_stops_the_service(monkeypatch):
    monkeypatch.setenv("WEBAUTHN_RP_ID", "example.com")
    for origins, fault in UNUSABLE_ORIGINS:
        monkeypatch.setenv("WEBAUTHN_ORIGINS", origins)
        start_fresh_environment()
        with pytest.raises(Misconfigured, match=fault):
            settings()


def test_origins_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("WEBAUTHN_RP_ID", "example.com")
    monkeypatch.setenv("WEBAUTHN_ORIGINS", "https://example.com, https://login.example.com:8443")
    assert settings().webauthn_origins == ("https://example.com", "https://login.example.com:8443")


def test_origins_of_apps_and_of_related_domains_are_accepted(monkeypatch):
    """WebAuthn sections 13.4.9 and 5.11."""
    app = "android:apk-key-hash:7uPzD-rA_1s9vUCVTqZ3Jx5oX0lKJ4b2nWmEyH8dGfQ"
    monkeypatch.setenv("WEBAUTHN_RP_ID", "example.com")
    monkeypatch.setenv(
        "WEBAUTHN_ORIGINS", f"https://example.com, {app},https://example.co.uk,https://myrewards.org:8443"
    )
    assert settings().webauthn_origins == (
        *("https://example.com", app, "https://example.co.uk", "https://myrewards.org:8443"),
    )


def test_an_origin_is_what_browsers_make_of_it(monkeypatch):
    """They leave out the port that the scheme has anyway (RFC 6454 section 6.2): with it, no passkey would work."""
    monkeypatch.setenv("WEBAUTHN_ORIGINS", "http://localhost:80,https://localhost:443,http://localhost:443")
    assert settings().webauthn_origins == ("http://localhost", "https://localhost", "http://localhost:443")


@pytest.mark.usefixtures("deployed")
def test_a_deployed_stage_refuses_localhost_as_relying_party(monkeypatch):
    monkeypatch.setenv("WEBAUTHN_RP_ID", "")
    monkeypatch.setenv("WEBAUTHN_ORIGINS", "")
    with pytest.raises(Misconfigured, match="WEBAUTHN_RP_ID"):
        settings()
