"""Pages and API behind CloudFront, and the lock by which CloudFront proves itself, in the deployed template."""

import json
import shutil
import subprocess
from fnmatch import fnmatchcase
from itertools import pairwise

import pytest

from auth_common.web.headers import SECURITY_HEADERS
from local_runtime.cloudformation import Intrinsics
from local_runtime.gateway import FILE_HEADERS
from local_runtime.template import load_template
from tests.support.combinations import references
from tests.support.deployment import TEMPLATE, deployed, resources_of_type, translated
from tests.support.distribution import PAGES, distribution, origin_of, page_headers
from tests.support.requirements import require
from tests.support.runtime import PROJECT
from tools.pages.versioned import IMMUTABLE, versioned_files

pytestmark = [pytest.mark.deployment, pytest.mark.template, pytest.mark.pages]

DOMAIN = {"DomainName": "auth.example.com", "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/2"}
RECORDS = {"HostedZoneId": "Z0123456789", "PagesHostedZoneId": "Z9876543210"}
LOCKS = ("blue", "blue+green", "green+blue", "green")
LOCK_OF = {color: f"{{{{resolve:secretsmanager:ProxyLock{color.capitalize()}:SecretString}}}}" for color in LOCKS[::3]}
PAGES_TYPES = ("AWS::CloudFront::", "AWS::S3::", "AWS::Route53::")


def only_one(kind, **parameters):
    (properties,) = resources_of_type(kind, **{**PAGES, **parameters}).values()
    return properties


# --- On and off ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [*PAGES, "Stage"])
def test_pages_are_off_unless_url_certificate_and_lock_are_given(missing):
    parameters = {**PAGES, missing: {"ProxyLocks": "none", "Stage": "local"}.get(missing, "")}
    kinds = {resource["Type"] for resource in deployed(**parameters).values()}
    assert [kind for kind in kinds if kind.startswith(PAGES_TYPES)] == []
    kinds = {resource["Type"] for resource in deployed(**PAGES).values()}
    assert {"AWS::CloudFront::Distribution", "AWS::S3::Bucket"} <= kinds


def test_no_function_and_no_role_refers_to_the_distribution():
    resources = translated()["Resources"]
    types = {
        resources[each.source]["Type"]
        for each in references()
        if each.target == "Distribution" and each.source in resources
    }
    assert types
    assert [t for t in types if t.startswith(("AWS::Lambda::", "AWS::IAM::", "AWS::ApiGateway::"))] == []


# --- Paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.threat("pages-path-confusion")
@pytest.mark.parametrize("segment", ["0-1", "index.html", "a.js", "assets", "..", "%2e%2e"])
def test_every_route_of_the_api_goes_to_the_gateway(segment):
    config = distribution()
    paths = {route.path.replace("{id}", segment) for route in load_template(TEMPLATE).routes}
    assert {path for path in paths if origin_of(path, config) != "api"} == set()
    default = config["DefaultCacheBehavior"]
    assert set(default["AllowedMethods"]) >= {route.method for route in load_template(TEMPLATE).routes}
    # An error of the API stays as it is.
    assert "CustomErrorResponses" not in config


@pytest.mark.threat("pages-path-confusion")
def test_exactly_the_published_files_go_to_the_bucket():
    config = distribution()
    files = {f"/{file.key}" for file in versioned_files(PROJECT / "public")} | {"/"}
    assert {path for path in files if origin_of(path, config) != "pages"} == set()
    patterns = [behavior["PathPattern"] for behavior in config["CacheBehaviors"]]
    assert [pattern for pattern in patterns if not any(fnmatchcase(path, pattern) for path in files)] == []
    # CloudFront may match "/" as it is, or as the default root object.
    assert config["DefaultRootObject"] == "index.html"
    unknown = (
        "/favicon.ico",
        "/robots.txt",
        "/nothing",
        "/index.htm",
        "/scripts/main.js",
        "/assets",
        "//",
        "/a/index.html",
    )
    assert {origin_of(path, config) for path in unknown} == {"api"}


@pytest.mark.asvs("4.1.2", "14.3.2")
@pytest.mark.threat("pages-path-confusion")
def test_requests_to_the_api_are_neither_cached_nor_redirected():
    """A redirect would hide that a client sends secrets in clear."""
    api = distribution()["DefaultCacheBehavior"]
    assert (api["CachePolicyId"], api["ViewerProtocolPolicy"]) == ("4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "https-only")
    assert api["OriginRequestPolicyId"] == "ApiRequestPolicy"
    forwarded = only_one("AWS::CloudFront::OriginRequestPolicy")["OriginRequestPolicyConfig"]
    assert forwarded["HeadersConfig"] == {"HeaderBehavior": "allExcept", "Headers": ["Host"]}
    assert forwarded["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
    assert forwarded["CookiesConfig"] == {"CookieBehavior": "none"}


@pytest.mark.parametrize(
    ("parameters", "origin"),
    [({}, ("Api.execute-api.us-east-1.amazonaws.com", "/ApiStage")), (DOMAIN, ("auth.example.com", ""))],
    ids=["default endpoint", "domain"],
)
@pytest.mark.asvs("12.1.1", "12.3.1")
@pytest.mark.threat("gateway-plain-http")
def test_distribution_uses_tls_1_2_on_both_sides(parameters, origin):
    """With a domain of its own, the gateway's default endpoint is switched off."""
    config = distribution(**parameters)
    assert config["Aliases"] == ["login.example.com"]
    assert config["ViewerCertificate"] == {
        "AcmCertificateArn": PAGES["PagesCertificateArn"],
        "MinimumProtocolVersion": "TLSv1.2_2021",
        "SslSupportMethod": "sni-only",
    }
    assert config["HttpVersion"] == "http2and3"
    (api,) = [each for each in config["Origins"] if each["Id"] == "api"]
    assert (api["DomainName"], api["OriginPath"]) == origin
    assert api["CustomOriginConfig"] == {"OriginProtocolPolicy": "https-only", "OriginSSLProtocols": ["TLSv1.2"]}


def test_dns_records_and_outputs_lead_to_the_distribution():
    """The domain of the pages and that of the API may be in different hosted zones."""
    records = resources_of_type("AWS::Route53::RecordSet", **PAGES, **DOMAIN, **RECORDS).values()
    names = ("HostedZoneId", "Name", "Type")
    made = {(*(record[name] for name in names), record["AliasTarget"]["DNSName"]) for record in records}
    assert made == {
        *(("Z9876543210", "login.example.com", kind, "Distribution.DomainName") for kind in ("A", "AAAA")),
        ("Z0123456789", "auth.example.com", "A", "Domain.RegionalDomainName"),
    }
    template = translated(**PAGES)
    shown = ("ApiUrl", "JwksUrl", "PagesBucketName", "PagesTarget")
    outputs = {name: Intrinsics(template).resolve(template["Outputs"][name]["Value"]) for name in shown}
    assert outputs["ApiUrl"] == "https://login.example.com"
    assert outputs["JwksUrl"] == "https://login.example.com/.well-known/jwks.json"
    assert (outputs["PagesBucketName"], outputs["PagesTarget"]) == ("PagesBucket", "Distribution.DomainName")


def test_functions_know_the_public_url_by_a_setting():
    """Never by Host, which a client chooses."""
    for function in resources_of_type("AWS::Lambda::Function", **PAGES).values():
        assert function["Environment"]["Variables"]["PAGES_URL"] == "https://login.example.com"


# --- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.threat("page-csrf-or-framing")
@pytest.mark.asvs("3.4.1", "3.4.4", "3.4.5", "3.4.6")
def test_pages_have_the_header_fields_of_make_run_and_hsts():
    policy = only_one("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    security = policy["SecurityHeadersConfig"]
    every_field = [*security.values(), *policy["CustomHeadersConfig"]["Items"]]
    assert [field for field in every_field if field["Override"] is not True] == []
    # Each object has a Cache-Control of its own (tests/tools/pages/test_publish.py).
    fields = page_headers() | {"Cache-Control": FILE_HEADERS["Cache-Control"]}
    assert fields == {**FILE_HEADERS, "Strict-Transport-Security": SECURITY_HEADERS["Strict-Transport-Security"]}
    for behavior in distribution()["CacheBehaviors"]:
        assert behavior["ResponseHeadersPolicyId"] == "PagesHeaders"
        assert (behavior["ViewerProtocolPolicy"], behavior["AllowedMethods"]) == ("redirect-to-https", ["GET", "HEAD"])
        assert behavior["CachePolicyId"] == "PagesCachePolicy"


def test_files_are_cached_as_long_as_they_say():
    policy = only_one("AWS::CloudFront::CachePolicy")["CachePolicyConfig"]
    assert (policy["MinTTL"], policy["DefaultTTL"]) == (0, 0)
    assert f"max-age={policy['MaxTTL']}" in IMMUTABLE
    key = policy["ParametersInCacheKeyAndForwardedToOrigin"]
    assert {tuple(value.values()) for value in key.values() if isinstance(value, dict)} == {("none",)}


@pytest.mark.threat("pages-bucket-open")
@pytest.mark.asvs("13.2.2")
def test_only_this_distribution_may_read_the_bucket():
    bucket = only_one("AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    allow, deny = only_one("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert (allow["Effect"], allow["Action"], allow["Resource"]) == ("Allow", "s3:GetObject", "PagesBucket.Arn/*")
    assert allow["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    arn = "arn:aws:cloudfront::123456789012:distribution/Distribution"
    assert allow["Condition"] == {"StringEquals": {"AWS:SourceArn": arn}}
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    (pages,) = [each for each in distribution()["Origins"] if each["Id"] == "pages"]
    assert (pages["OriginAccessControlId"], pages["S3OriginConfig"]) == ("PagesAccess", {"OriginAccessIdentity": ""})
    access = only_one("AWS::CloudFront::OriginAccessControl")["OriginAccessControlConfig"]
    assert (access["SigningBehavior"], access["SigningProtocol"]) == ("always", "sigv4")


# --- The lock and the client IP --------------------------------------------------------------------------------------


def sent_lock(locks):
    """Return the lock that CloudFront sends."""
    (api,) = [each for each in distribution(ProxyLocks=locks)["Origins"] if each["Id"] == "api"]
    (field,) = api["OriginCustomHeaders"]
    assert field["HeaderName"] == "X-Proxy-Lock"
    return field["HeaderValue"]


def accepted_locks(locks):
    """Return the locks that functions accept."""
    arns = deployed(**{**PAGES, "ProxyLocks": locks})["PublicKeys"]["Properties"]["ProxyLockArns"]
    return {f"{{{{resolve:secretsmanager:{arn}:SecretString}}}}" for arn in arns}


def locks_in(statement):
    """Return the locks that a statement of the firewall accepts."""
    statements = statement["OrStatement"]["Statements"] if "OrStatement" in statement else [statement]
    matches = [each["ByteMatchStatement"] for each in statements]
    assert {match["FieldToMatch"]["SingleHeader"]["Name"] for match in matches} == {"x-proxy-lock"}
    assert {match["PositionalConstraint"] for match in matches} == {"EXACTLY"}
    return {match["SearchString"] for match in matches}


@pytest.mark.parametrize("locks", LOCKS)
def test_functions_and_firewall_accept_the_same_locks_and_cloudfront_sends_the_first(locks):
    assert sent_lock(locks) == LOCK_OF[locks.split("+")[0]]
    assert accepted_locks(locks) == {LOCK_OF[color] for color in locks.split("+")}
    rules = {rule["Name"]: rule for rule in only_one("AWS::WAFv2::WebACL", ProxyLocks=locks)["Rules"]}
    scope = rules["all-requests-of-a-forwarded-ip"]["Statement"]["RateBasedStatement"]["ScopeDownStatement"]
    assert locks_in(scope) == accepted_locks(locks)


@pytest.mark.threat("deployment-lock-rotation")
@pytest.mark.parametrize(("before", "after"), [*pairwise(LOCKS), *pairwise(reversed(LOCKS))])
def test_each_step_of_a_lock_rotation_accepts_what_is_sent(before, after):
    """A deployment changes functions, firewall and CloudFront in any order, and a rollback does too."""
    assert {sent_lock(before), sent_lock(after)} <= accepted_locks(before) & accepted_locks(after)


@pytest.mark.threat("proxy-lock-leak")
def test_locks_are_random_and_functions_get_only_their_hashes():
    for name in ("ProxyLockBlue", "ProxyLockGreen"):
        secret = deployed(ProxyLocks="blue+green")[name]["Properties"]
        assert secret["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}
        assert secret["KmsKeyId"] == "SecretsKey"
    for name, function in resources_of_type("AWS::Lambda::Function", **PAGES).items():
        assert "resolve:" not in json.dumps(function)
        expected = "" if name in {"PublishKeysFunction", "MigrateFunction"} else "PublicKeys.ProxyLocks"
        assert function["Environment"]["Variables"]["PROXY_LOCKS"] == expected
    for function in resources_of_type("AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["PROXY_LOCKS"] == ""


def rate_limits(**parameters):
    (acl,) = resources_of_type("AWS::WAFv2::WebACL", **parameters).values()
    assert len({rule["Priority"] for rule in acl["Rules"]}) == len(acl["Rules"])
    statements = {rule["Name"]: rule["Statement"].get("RateBasedStatement") for rule in acl["Rules"]}
    return {name: statement for name, statement in statements.items() if statement}


@pytest.mark.threat("gateway-flood", "gateway-forged-client-ip")
def test_firewall_counts_the_forwarded_ip_only_with_the_lock():
    """Without the lock, a client that calls the gateway is counted by its own IP, also if it sends X-Client-IP."""
    off, on = rate_limits(), rate_limits(ProxyLocks="blue")
    lock = {LOCK_OF["blue"]}
    for name, forwarded in (
        ("requests-of-an-address", "requests-of-a-forwarded-ip"),
        ("all-requests-of-an-address", "all-requests-of-a-forwarded-ip"),
    ):
        assert (on[name]["AggregateKeyType"], on[forwarded]["AggregateKeyType"]) == ("IP", "FORWARDED_IP")
        assert on[forwarded]["ForwardedIPConfig"] == {"HeaderName": "X-Client-IP", "FallbackBehavior": "MATCH"}
        for each in (off[name], on[forwarded]):
            assert (each["Limit"], each["EvaluationWindowSec"]) == (on[name]["Limit"], on[name]["EvaluationWindowSec"])
    assert off.keys() == {name for name in on if "forwarded" not in name}
    routes = off["requests-of-an-address"]["ScopeDownStatement"]
    direct, proxied = (
        on[name]["ScopeDownStatement"]["AndStatement"]["Statements"]
        for name in ("requests-of-an-address", "requests-of-a-forwarded-ip")
    )
    assert direct[0] == proxied[0] == routes
    assert locks_in(direct[1]["NotStatement"]["Statement"]) == locks_in(proxied[1]) == lock
    assert locks_in(on["all-requests-of-an-address"]["ScopeDownStatement"]["NotStatement"]["Statement"]) == lock
    assert locks_in(on["all-requests-of-a-forwarded-ip"]["ScopeDownStatement"]) == lock


FORGED = {
    "none": {},
    "one": {"x-client-ip": {"value": "192.0.2.66"}},
    "several": {"x-client-ip": {"value": "192.0.2.66", "multiValue": [{"value": "192.0.2.66"}, {"value": "10.0.0.1"}]}},
}


@pytest.mark.threat("gateway-forged-client-ip")
@pytest.mark.parametrize("sent", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("ip", ["203.0.113.7", "2001:db8::7"])
def test_function_of_cloudfront_overwrites_the_client_ip(sent, ip):
    """The real code, in Node.js: CloudFront's runtime is ECMAScript too."""
    function = only_one("AWS::CloudFront::Function")
    assert (function["AutoPublish"], function["FunctionConfig"]["Runtime"]) == (True, "cloudfront-js-2.0")
    request = {
        "method": "POST",
        "uri": "/login",
        "querystring": {},
        "cookies": {},
        "headers": {**sent, "accept": {"value": "*/*"}},
    }
    event = {"version": "1.0", "viewer": {"ip": ip}, "request": request}
    code = f"{function['FunctionCode']}\nconsole.log(JSON.stringify(handler({json.dumps(event)})));"
    node = shutil.which("node")
    require(node, "Node.js is not installed")
    done = subprocess.run([str(node), "-e", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == {**request, "headers": {"accept": {"value": "*/*"}, "x-client-ip": {"value": ip}}}
    (association,) = distribution()["DefaultCacheBehavior"]["FunctionAssociations"]
    assert association == {"EventType": "viewer-request", "FunctionARN": "ClientIpFunction.FunctionARN"}
