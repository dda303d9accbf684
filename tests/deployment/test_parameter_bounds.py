"""Parameters that are settings: CloudFormation rejects a value that the functions would reject."""

import re
from dataclasses import fields

import pytest

from auth_common.errors import Misconfigured
from auth_common.settings import MIN_DEPLOYED_BCRYPT_COST, Bounds, Settings, settings
from tests.layers.test_settings import UNUSABLE_ORIGINS
from tests.support.databases import start_fresh_environment
from tests.support.deployment import allowed_pattern, resources_of_type
from tools.template.deployed_template import with_defaults

pytestmark = [pytest.mark.deployment, pytest.mark.template]

PARAMETERS = with_defaults({})["Parameters"]
SETTINGS = {setting.name.upper(): setting for setting in fields(Settings)}
#: The parameters that are numbers of a setting.
OF_SETTINGS = {
    "AccessTokenLifetime": "ACCESS_TOKEN_LIFETIME",
    "AuditRetentionDays": "AUDIT_RETENTION_DAYS",
    "BcryptCost": "BCRYPT_COST",
    "LoginFailuresPerAccountAndIp": "THROTTLE_LOGIN_PER_ACCOUNT_AND_SOURCE",
    "LoginFailuresPerAccount": "THROTTLE_LOGIN_PER_ACCOUNT",
    "LoginFailuresPerIp": "THROTTLE_LOGIN_PER_SOURCE",
}
APP = f"android:apk-key-hash:{'A' * 43}"
#: Values of each parameter that the functions accept, and some that they reject.
VALUES = {
    "WebauthnRpId": (
        ["example.com", "login.example.co.uk", "xn--bcher-kva.example"],
        ["", "https://example.com", "example.com:443", "Example.com", "192.0.2.1", "a..b", "example.com,a.org", " "],
    ),
    "WebauthnOrigins": (
        [
            *("https://example.com", "https://login.example.com:8443", "https://example.com:65535", APP),
            f"https://example.com,{APP}, https://example.co.uk",
        ],
        [*UNUSABLE_ORIGINS, "", ",", "http://localhost:3000", "HTTPS://EXAMPLE.COM", "https://localhost,https://a.org"],
    ),
    "CorsOrigins": (
        ["", "https://app.example.com", "https://a.example.com,https://b.example.com:8443"],
        ["*", "null", "http://app.example.com", "https://app.example.com/", "https://app.example.com,", APP, "a.org"],
    ),
    "MailLocales": (["en,de", "pt-BR", "en, de"], ["", "EN", "en,", "en;de", "english", "../en"]),
}
EACH_VALUE = [
    (name, value, expected)
    for name, (accepted, rejected) in VALUES.items()
    for values, expected in ((accepted, True), (rejected, False))
    for value in values
]


def is_accepted(name, value):
    """Return whether CloudFormation accepts the value of a parameter. The pattern must match the whole value."""
    return allowed_pattern(name).fullmatch(value) is not None


@pytest.mark.asvs("13.4.2")
@pytest.mark.threat("deployment-insecure-default")
@pytest.mark.parametrize(("parameter", "setting"), OF_SETTINGS.items())
def test_bounds_and_default_of_a_parameter_are_those_of_its_setting(parameter, setting):
    found = PARAMETERS[parameter]
    bounds = SETTINGS[setting].metadata["bounds"]
    least = MIN_DEPLOYED_BCRYPT_COST if setting == "BCRYPT_COST" else bounds.least
    assert Bounds(found["MinValue"], found["MaxValue"]) == (least, bounds.greatest)
    assert (found["Type"], found["Default"]) == ("Number", SETTINGS[setting].default)


def test_every_function_gets_the_settings_of_the_parameters():
    """Login, clean-up and verification must agree, for example about the retention."""
    values = {name: str(PARAMETERS[name]["MaxValue"]) for name in OF_SETTINGS}
    for name, function in resources_of_type("AWS::Lambda::Function", **values).items():
        variables = function["Environment"]["Variables"]
        assert {name: variables[setting] for name, setting in OF_SETTINGS.items()} == values, name


@pytest.mark.asvs("1.2.2")
@pytest.mark.threat("deployment-insecure-default")
@pytest.mark.usefixtures("deployed_settings")
@pytest.mark.parametrize(("name", "value", "expected"), EACH_VALUE)
def test_pattern_of_a_parameter_accepts_only_what_the_functions_accept(monkeypatch, name, value, expected):
    assert is_accepted(name, value) is expected
    if not expected:
        return
    setting = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
    monkeypatch.setenv(setting, value)
    start_fresh_environment()
    try:
        settings()
    except Misconfigured as error:
        pytest.fail(f"the functions reject what CloudFormation accepts: {error}")


def test_default_of_each_parameter_matches_its_own_pattern():
    wrong = [
        name
        for name, parameter in PARAMETERS.items()
        if "AllowedPattern" in parameter and not is_accepted(name, str(parameter["Default"]))
    ]
    assert wrong == []


def test_local_origins_are_the_default_of_the_setting():
    assert PARAMETERS["WebauthnOrigins"]["Default"] == ",".join(Settings().webauthn_origins)
