"""The issuer in the deployed template: the URL of the service, which no deployer has to name."""

import re

import pytest

from auth_common.errors import Misconfigured
from auth_common.settings import settings
from local_runtime.cloudformation import Intrinsics
from tests.support.databases import start_fresh_environment
from tests.support.deployment import allowed_pattern, rejections, resources_of_type, translated
from tests.support.distribution import PAGES

pytestmark = [pytest.mark.deployment, pytest.mark.template, pytest.mark.tokens]

DOMAIN = {"DomainName": "auth.example.com", "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/2"}
OF_YOURS = {"TokenIssuer": "https://proxy.example.com/auth"}
#: The issuer for parameters. None is the URL of the gateway, to which no function can refer.
ISSUERS: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"PublicDomain": "login.example.com"}, None),
    (DOMAIN, "https://auth.example.com"),
    (PAGES, "https://login.example.com"),
    ({**DOMAIN, **PAGES}, "https://login.example.com"),
    (OF_YOURS, OF_YOURS["TokenIssuer"]),
    ({**DOMAIN, **PAGES, **OF_YOURS}, OF_YOURS["TokenIssuer"]),
]


def output(name, parameters):
    intrinsics = Intrinsics(translated(**parameters))
    return intrinsics.resolve(translated(**parameters)["Outputs"][name]["Value"])


@pytest.mark.threat("authorizer-foreign-issuer")
@pytest.mark.parametrize(("parameters", "issuer"), ISSUERS)
def test_each_function_and_the_output_have_the_same_issuer(parameters, issuer):
    functions = resources_of_type("AWS::Lambda::Function", **parameters).values()
    configured = {function["Environment"]["Variables"]["TOKEN_ISSUER"] for function in functions}
    (stage,) = resources_of_type("AWS::ApiGateway::Stage", **parameters).values()
    assert configured == {issuer or ""}
    assert output("Issuer", parameters) == (issuer or stage["Variables"]["issuer"])


def test_stage_names_the_url_of_the_gateway():
    (stage,) = resources_of_type("AWS::ApiGateway::Stage").values()
    assert stage["Variables"]["issuer"] == output("ApiUrl", {})
    assert stage["Variables"]["issuer"].endswith("/prod")


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"PreviousTokenIssuer": "https://old.example.com"}, "Issuer"),
        ({"TokenIssuerChangedAt": "2027-01-31T00:00:00Z"}, "IssuerChange"),
        ({"TokenSeveralAudiences": "true"}, "Audiences"),
    ],
)
def test_half_of_a_change_is_rejected_before_the_deployment(parameters, rule):
    assert rejections(**parameters) == {rule}
    complete = {
        "PreviousTokenIssuer": "https://old.example.com",
        "TokenIssuerChangedAt": "2027-01-31T00:00:00Z",
        "TokenResources": "https://orders.example.com",
    }
    assert rejections(**{**complete, **parameters}) == set()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (
            "TokenIssuer",
            [
                *("https://login.example.com", "https://a.example.com/prod/x", "https://a.example.com:8443", "x"),
                *(
                    "https://login.example.com/",
                    "http://login.example.com",
                    "https://Login.example.com",
                    "https://a.b?c",
                ),
            ],
        ),
        ("TokenIssuerChangedAt", ["2027-01-31T00:00:00Z", "2027-02-29T00:00:00Z", "soon"]),
        (
            "TokenResources",
            [
                *(
                    "https://orders.example.com",
                    "urn:a, urn:b",
                    "urn:a,urn:b",
                    "orders",
                    "https://a.example#x",
                    "urn:a,",
                ),
                *("urn:a b", "URN:a", "urn:\u00e9", "https://orders.example.com/a?b=c&d='e'"),
            ],
        ),
        ("TokenClientId", ["first-party", "two words", 'a"b', "a\\b"]),
        ("TokenScope", ["user", "user orders.read", "two  spaces", " user", 'a"b']),
    ],
)
def test_parameter_is_rejected_before_the_deployment_if_functions_would_reject_it(monkeypatch, parameter, values):
    variable = re.sub("(?<=[a-z])(?=[A-Z])", "_", parameter).upper()
    monkeypatch.setenv("PREVIOUS_TOKEN_ISSUER", "x" if variable == "TOKEN_ISSUER_CHANGED_AT" else "")

    def is_valid(value):
        monkeypatch.setenv(variable, value)
        start_fresh_environment()
        try:
            settings()
        except Misconfigured:
            return False
        return True

    pattern = allowed_pattern(parameter)
    accepted = {value: pattern.search(value) is not None for value in values}
    assert accepted == {value: is_valid(value) for value in values}
    assert {True, False} == {*accepted.values()}
