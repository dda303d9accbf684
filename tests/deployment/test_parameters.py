"""Parameters of template.yaml that CloudFormation rejects, before it changes anything."""

from datetime import date, timedelta
from itertools import product

import pytest

from tests.support.deployment import allowed_pattern, rejections
from tests.support.distribution import PAGES
from tools.template.deployed_template import with_defaults

pytestmark = [pytest.mark.deployment, pytest.mark.template]

DOMAIN = {"DomainName": "auth.example.com", "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/2"}
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:url"


@pytest.mark.threat("deployment-insecure-default")
def test_local_stage_its_domain_and_its_origins_cannot_be_deployed():
    """Each environment would have a database and a signing key of its own, in files."""
    local = with_defaults({})["Parameters"]
    for name in ("Stage", "WebauthnRpId", "WebauthnOrigins"):
        assert rejections(**{name: local[name]["Default"]}) == {"DeployedStage"}, name
    assert rejections(Stage="dev") == set()


@pytest.mark.threat("gateway-forged-client-ip")
def test_pages_without_domain_or_lock_are_rejected():
    """Without the lock, functions would have to believe X-Client-IP from any client, or to count CloudFront's IP."""
    assert rejections(**PAGES) == set()
    for without in ({"PublicDomain": ""}, {"ProxyLocks": "none"}):
        assert rejections(**{**PAGES, **without}) == {"Pages"}


def test_pages_and_api_need_two_domains():
    """CloudFront would send the API's requests to itself. A proxy of the deployer can serve both under one name."""
    assert rejections(**PAGES, **DOMAIN) == set()
    one = {**DOMAIN, "DomainName": PAGES["PublicDomain"]}
    assert rejections(**PAGES, **one) == {"Pages"}
    assert rejections(PublicDomain=one["DomainName"], **one) == set()


def test_each_domain_has_a_hosted_zone_of_its_own():
    zones = {"HostedZoneId": "Z0123456789", "PagesHostedZoneId": "Z9876543210"}
    assert rejections(**PAGES, **DOMAIN, **zones) == set()
    assert rejections(**PAGES, **zones) == {"DomainRecord"}
    assert rejections(**DOMAIN, **zones) == {"PagesRecord"}
    for name in zones:
        assert rejections(**PAGES, **DOMAIN, **{name: "/hostedzone/Z0123456789"}) == {name}


@pytest.mark.parametrize("name", ["PublicDomain", "DomainName"])
def test_domain_is_a_name_in_lower_case(name):
    """Two spellings of one name would pass for two domains."""
    for text in ("https://example.com", "Example.com", "example.com.", "example.com/a", "example", "a..b", "192.0.2.1"):
        assert name in rejections(**{name: text}), text
    for text in ("", "example.com", "a-b.c0.example", "xn--bcher-kva.example"):
        assert name not in rejections(**{name: text}), text


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"DomainName": "auth.example.com"}, "Domain"),
        ({"EmailVerification": "required"}, "Verification"),
        ({"DatabaseUrlSecretArn": SECRET}, "Database"),
    ],
)
def test_parameter_without_the_one_that_it_needs_is_rejected(parameters, rule):
    others = {"CertificateArn": DOMAIN["CertificateArn"], "MailFrom": "no-reply@example.com"}
    assert rejections(**parameters) == {rule}
    assert rejections(**parameters, **others, MigrationDatabaseUrlSecretArn=SECRET) == set()


def test_expiry_of_security_txt_is_a_time_that_exists():
    """Otherwise the deployment would succeed, and all documents would be 503."""
    days = {date(2000, 1, 1) + timedelta(days) for days in range(36_525)}
    existing = {f"{day}T00:00:00Z" for day in days}
    written = {f"20{y:02}-{m:02}-{d:02}T00:00:00Z" for y, m, d in product(range(100), range(14), range(33))}
    pattern = allowed_pattern("SecurityTxtExpires")
    assert set(filter(pattern.search, written)) == existing
    for text in ("", "2027-01-31T23:59:59Z"):
        assert pattern.search(text), text
    wrong = ("2027-01-31", "2027-01-31T24:00:00Z", "2027-01-31T00:60:00Z", "2027-01-31T00:00:00+01:00", "next year")
    assert list(filter(pattern.search, wrong)) == []
