"""Documents under /.well-known/: what browsers, password managers, Android and iOS read."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from auth_common.clients.credentials import ALGORITHMS
from tests.support.events import proxy_event
from tests.support.factories import get_health, get_jwks
from tests.support.forged_tokens import issue_genuine_token
from tests.support.functions import call
from tests.support.routes import ROUTES
from tests.support.well_known import CERTIFICATES, SETTINGS

pytestmark = [pytest.mark.web, pytest.mark.passkeys, pytest.mark.usefixtures("environment")]

NAMES = [
    *("webauthn", "passkey-endpoints", "change-password", "security.txt"),
    *("assetlinks.json", "apple-app-site-association"),
]


METADATA = ["openid-configuration", "oauth-authorization-server"]


def get(name, **options):
    return call("well_known", proxy_event("GET", f"/.well-known/{name}", **options))


@pytest.fixture
def configured(set_variables):
    """Set all settings."""
    set_variables(**SETTINGS)


@pytest.mark.usefixtures("configured")
def test_pages_on_other_domains_are_related_origins():
    """WebAuthn Level 3, section 5.11. Pages on the domain itself need no entry, and apps are no pages."""
    origins = ["https://notexample.com", "https://example.com.example.org", "https://example.co.uk:8443"]
    assert get("webauthn").json == {"origins": origins}


@pytest.mark.usefixtures("configured")
def test_password_managers_find_the_pages_of_passkeys_and_passwords():
    endpoints = {"enroll": SETTINGS["PASSKEY_ENROLL_URL"], "manage": SETTINGS["PASSKEY_MANAGE_URL"]}
    assert get("passkey-endpoints").json == endpoints
    answer = get("change-password")
    assert (answer.status, answer.headers["location"], answer.text) == (302, SETTINGS["CHANGE_PASSWORD_URL"], "")


def test_passkey_page_that_is_not_set_is_absent(set_variables):
    set_variables(PASSKEY_MANAGE_URL="http://localhost:8000/")
    assert get("passkey-endpoints").json == {"manage": "http://localhost:8000/"}


@pytest.mark.usefixtures("configured")
def test_security_txt_has_contacts_and_one_expiry():
    """RFC 9116 sections 2.3 (media type), 2.5.3 and 2.5.5."""
    answer = get("security.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    fields = [line.split(": ", 1) for line in answer.text.splitlines()]
    assert [value for name, value in fields if name == "Contact"] == [
        "mailto:security-team@example.com",
        "https://example.com/report",
    ]
    (expires,) = (value for name, value in fields if name == "Expires")
    assert datetime.fromisoformat(expires).tzinfo is not None


def test_log_asks_to_renew_security_txt_from_30_days_before_its_expiry(set_variables, log_lines):
    """RFC 9116 section 2.5.5. The document stays, because at that moment an outage of all documents would begin."""

    def warnings(days):
        expires = datetime.now(UTC).replace(microsecond=0, tzinfo=None) + timedelta(days)
        set_variables(**SETTINGS | {"SECURITY_TXT_EXPIRES": f"{expires.isoformat()}Z"})
        before = len(log_lines.records)
        assert f"Expires: {expires.isoformat()}Z\n" in get("security.txt").text
        return [record["level"] for record in log_lines.records[before:]]

    assert warnings(31) == []
    assert warnings(29) == warnings(-400) == ["WARNING"]


@pytest.mark.usefixtures("configured")
def test_android_apps_have_the_certificates_that_logins_accept():
    links = get("assetlinks.json").json
    assert [link["target"]["package_name"] for link in links] == ["com.example.app", "com.example.beta_2"]
    for link in links:
        assert link["target"]["namespace"] == "android_app"
        fingerprints = link["target"]["sha256_cert_fingerprints"]
        assert [bytes.fromhex(each.replace(":", "")) for each in fingerprints] == CERTIFICATES
        assert all(len(each) == 95 and each == each.upper() for each in fingerprints)
        assert {"delegate_permission/common.handle_all_urls", "delegate_permission/common.get_login_creds"} == {
            *link["relation"]
        }


@pytest.mark.usefixtures("configured")
def test_ios_apps_are_web_credentials():
    apps = SETTINGS["IOS_APPS"].split(",")
    assert get("apple-app-site-association").json == {"webcredentials": {"apps": apps}}


@pytest.mark.usefixtures("configured")
def test_documents_may_be_cached_and_are_json_without_redirect():
    """Browsers, Android and iOS reject another media type. Only change-password may redirect."""
    for name in NAMES:
        answer = get(name)
        assert answer.headers["cache-control"] == "public, max-age=300", name
        if name not in {"security.txt", "change-password"}:
            assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), name


def test_document_without_its_setting_is_404():
    assert {name: get(name).status for name in NAMES} == dict.fromkeys(NAMES, 404)


# --- The metadata of the issuer -----------------------------------------------------------------------------------


def test_metadata_is_the_same_at_both_places(set_variables):
    """RFC 8414 section 3, and where libraries for OpenID Connect look for it."""
    set_variables(TOKEN_ISSUER="https://login.example.com/prod")
    answers = [get(name) for name in METADATA]
    assert answers[0].json == answers[1].json
    assert answers[0].json["issuer"] == "https://login.example.com/prod"
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert {answer.headers["cache-control"] for answer in answers} == {"public, max-age=300"}


def test_metadata_lists_only_endpoints_that_exist():
    """A client that trusts the document must not send secrets to a path that no function serves."""
    metadata = get(METADATA[0]).json
    listed = {
        url.removeprefix(metadata["issuer"]) for name, url in metadata.items() if name.endswith(("_uri", "endpoint"))
    }
    assert listed
    assert listed <= {route.path for route in ROUTES}
    assert "/login" not in listed


def test_metadata_names_no_password_grant_and_no_response_type():
    """RFC 9700 section 2.4. Without the members, a client would assume the defaults of RFC 8414 section 2."""
    metadata = get(METADATA[0]).json
    assert metadata["response_types_supported"] == []
    assert metadata["grant_types_supported"] == ["client_credentials"]
    assert metadata.keys().isdisjoint({"authorization_endpoint", "registration_endpoint", "userinfo_endpoint"})


def test_metadata_lists_the_methods_and_algorithms_of_clients():
    """RFC 8414 section 2. A library chooses its method from this list."""
    metadata = get(METADATA[0]).json
    methods = metadata["token_endpoint_auth_methods_supported"]
    assert methods == ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    assert metadata["introspection_endpoint_auth_methods_supported"] == methods
    for endpoint in ("token", "introspection"):
        assert metadata[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] == list(ALGORITHMS)
    assert metadata["revocation_endpoint_auth_methods_supported"] == ["none"]


def test_metadata_has_the_issuer_of_issued_tokens_and_the_keys_verify_them(set_variables):
    """What a library does that knows the URL of the issuer only."""
    set_variables(TOKEN_ISSUER="https://login.example.com")
    token, metadata = issue_genuine_token(), get(METADATA[0]).json
    assert metadata["jwks_uri"] == "https://login.example.com/.well-known/jwks.json"
    (key,) = get_jwks()
    claims = jwt.decode(
        token, jwt.PyJWK(key), algorithms=["ES256"], issuer=metadata["issuer"], audience="secure-backend-users"
    )
    assert claims["iss"] == metadata["issuer"]


def test_host_of_a_request_does_not_change_the_metadata():
    expected = get(METADATA[0]).json
    headers = {"Host": "attacker.example", "X-Forwarded-Host": "attacker.example", "X-Forwarded-Proto": "http"}
    assert get(METADATA[0], headers=headers).json == expected
    assert "attacker" not in str(expected)


@pytest.mark.usefixtures("deployed_settings")
def test_gateway_names_the_issuer_of_a_deployment_without_a_domain(set_variables):
    set_variables(TOKEN_ISSUER="")
    event = proxy_event("GET", "/.well-known/openid-configuration")
    event["stageVariables"] = {"issuer": "https://a1.execute-api.eu-central-1.amazonaws.com/dev"}
    assert call("well_known", event).json["issuer"] == event["stageVariables"]["issuer"]


@pytest.mark.usefixtures("deployed_settings")
def test_metadata_without_a_known_url_is_503_and_the_log_has_the_reason(set_variables, log_lines):
    set_variables(TOKEN_ISSUER="")
    assert get(METADATA[0]).status == 503
    assert log_lines.records[-1]["error"].startswith("TOKEN_ISSUER")


@pytest.mark.usefixtures("configured")
def test_unknown_query_parameter_is_rejected_without_a_database(monkeypatch, log_lines):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://service@127.0.0.1:9/service")
    for name in [*NAMES, *METADATA]:
        answer = get(name, query={"redirect": "https://evil.example"})
        assert (answer.status, answer.fields) == (422, {"redirect"})
    assert "audit_write_fail" not in log_lines.text


UNUSABLE = {
    "CHANGE_PASSWORD_URL": [
        *("http://example.com/", "https://", "example.com/account", "javascript:alert(1)", "https://user@example.com/"),
        *("https://example.com/a b", "https://example.com/\r\nSet-Cookie: a=b", "https://example.com/é", "//x.example"),
        *("https://example.com/\n", 'https://example.com/"', "https://example.com/<x>"),
    ],
    "PASSKEY_ENROLL_URL": ["http://example.com/"],
    "PASSKEY_MANAGE_URL": ["/passkeys"],
    "SECURITY_CONTACT": [
        *("security@example.com", "http://example.com/", "mailto:", "mailto:a@b,", "tel:112", "https://x/\nExpires: x"),
        "mailto:a b@example.com",
    ],
    "SECURITY_TXT_EXPIRES": [
        *(
            "2027-01-31",
            "2027-13-01T00:00:00Z",
            "2027-02-29T00:00:00Z",
            "2027-04-31T00:00:00Z",
            "2027-00-10T00:00:00Z",
            "2027-01-3\u0661T00:00:00Z",
            "2027-01-31T24:00:00Z",
            "2027-01-31T00:00:00",
            "next year",
            "2027-01-31T00:00:00Z\n",
        ),
        "2027-01-31T00:00:00+01:00",
    ],
    "ANDROID_PACKAGES": ["example", "com.example.app;", "com..app", "com.exämple", "1com.example", "com.example app"],
    "IOS_APPS": ["com.example.app", "ABCDE1234.com.example", "abcde12345.com.example", "ABCDE12345.", "ABCDE12345"],
}


@pytest.mark.asvs("1.2.2")
@pytest.mark.parametrize(("name", "values"), UNUSABLE.items())
def test_wrong_setting_stops_the_documents_and_is_named_in_the_log(set_variables, log_lines, name, values):
    for value in values:
        set_variables(**SETTINGS | {name: value})
        answer = get("security.txt")
        assert (answer.status, answer.code) == (503, "service_unavailable"), value
        assert log_lines.records[-1]["error"].startswith(name), value


def test_half_of_security_txt_or_an_app_without_certificate_is_misconfigured(set_variables, log_lines):
    pages = {"WEBAUTHN_ORIGINS": "https://example.com"}
    for missing in ({"SECURITY_CONTACT": ""}, {"SECURITY_TXT_EXPIRES": ""}, pages):
        set_variables(**SETTINGS | missing)
        assert get("webauthn").status == 503
        assert next(iter(missing)) in log_lines.records[-1]["error"]
    set_variables(**SETTINGS)
    assert get("webauthn").status == 200
    assert get_health().status == 200
