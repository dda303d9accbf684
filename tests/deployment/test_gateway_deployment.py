"""Gateway, firewall and domain of a deployment."""

import json
import re

import pytest

from local_runtime.cloudformation import Intrinsics, read_template
from local_runtime.template import load_template
from tests.support.deployment import TEMPLATE, deployed, resources_of_type, translated
from tests.support.routes import OPEN_ROUTES
from tests.support.runtime import PROJECT

pytestmark = [pytest.mark.deployment, pytest.mark.template]

DOMAIN = {"DomainName": "auth.example.com", "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1"}
RECORD = {**DOMAIN, "HostedZoneId": "Z0123456789"}
DOMAIN_TYPES = {"AWS::ApiGateway::DomainName", "AWS::ApiGateway::BasePathMapping", "AWS::Route53::RecordSet"}
LIMITED_ROUTES = {
    *(("POST", "/login"), ("POST", "/users"), ("PUT", "/users/{id}/password"), ("POST", "/token/refresh")),
    *(("POST", "/webauthn/login/begin"), ("POST", "/webauthn/login/complete"), ("POST", "/step-up")),
    *(("POST", "/email/verify"), ("POST", "/email/verification")),
    *(("POST", "/password/reset"), ("POST", "/password/reset/complete"), ("POST", "/account/secure")),
}
#: Rules of managed groups that count instead of block. The template has the reasons. Adding one is a security decision.
COUNTED = {
    *("JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"),
    *("CrossSiteScripting_BODY", "EC2MetaDataSSRF_BODY", "GenericLFI_BODY", "GenericRFI_BODY"),
    *("SizeRestrictions_BODY", "NoUserAgent_HEADER"),
}


def resource_types(**parameters):
    return {resource["Type"] for resource in deployed(**parameters).values()}


def only_one(kind, **parameters):
    """Return the properties of the only resource of a type."""
    (properties,) = resources_of_type(kind, **parameters).values()
    return properties


def methods(**parameters):
    """Return the definition of each method of the gateway, by method and path."""
    paths = only_one("AWS::ApiGateway::RestApi", **parameters)["Body"]["paths"]
    return {(name.upper(), path): method for path, item in paths.items() for name, method in item.items()}


def firewall_rules(**parameters):
    return {rule["Name"]: rule for rule in only_one("AWS::WAFv2::WebACL", **parameters)["Rules"]}


def outputs(**parameters):
    template = translated(**parameters)
    intrinsics = Intrinsics(template)
    return {
        name: intrinsics.resolve(output["Value"])
        for name, output in template["Outputs"].items()
        if "Condition" not in output or intrinsics.resolve({"Condition": output["Condition"]})
    }


@pytest.mark.threat("gateway-open-route")
def test_every_method_except_open_routes_has_the_authorizer():
    """Checked in the API that CloudFormation gets, because SAM adds the authorizers."""
    authorizers = {route: method["security"] for route, method in methods().items()}
    routes = [(route.method, route.path) for route in load_template(TEMPLATE).routes]
    preflights = {route for route in routes if route[0] == "OPTIONS"}
    without = OPEN_ROUTES | preflights
    assert authorizers == {route: [{"NONE" if route in without else "TokenAuthorizer": []}] for route in routes}


def test_gateway_requires_an_object_if_a_route_has_a_body():
    """ASVS 2.2.2. The functions validate the members of the object, and the forms of OAuth."""
    documented = json.loads((PROJECT / "docs/openapi.json").read_text())["paths"]
    with_body = {
        (name.upper(), path)
        for path, item in documented.items()
        for name, operation in item.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    body = only_one("AWS::ApiGateway::RestApi")["Body"]
    validators = body["x-amazon-apigateway-request-validators"]
    for route, method in methods().items():
        validator = validators.get(method.get("x-amazon-apigateway-request-validator"), {})
        assert validator.get("validateRequestBody", False) == (route in with_body), route
        if route in with_body:
            assert method["requestBody"]["required"] is True
            reference = method["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            model = body["components"]["schemas"][reference.rpartition("/")[2]]
            assert model == {"type": "object", "maxProperties": 16}


@pytest.mark.asvs("12.1.1", "12.1.2")
@pytest.mark.threat("gateway-plain-http")
def test_gateway_and_domain_require_tls_1_2():
    """ASVS 12.1.1, 12.1.2: TLS 1.2 or later with forward secrecy, with and without a custom domain."""
    policy = {"SecurityPolicy": "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09", "EndpointAccessMode": "STRICT"}
    for kind in ("AWS::ApiGateway::RestApi", "AWS::ApiGateway::DomainName"):
        properties = only_one(kind, **DOMAIN)
        assert properties["EndpointConfiguration"]["Types"] == ["REGIONAL"]
        assert properties | policy == properties


def test_stage_is_updated_by_every_deployment():
    """By default SAM deploys the API only if its text has changed. The text does not contain parameter values."""
    assert read_template(TEMPLATE)["Resources"]["Api"]["Properties"]["AlwaysDeploy"] is True


def is_default_endpoint_disabled(**parameters):
    (server,) = only_one("AWS::ApiGateway::RestApi", **parameters)["Body"]["servers"]
    return server["x-amazon-apigateway-endpoint-configuration"]["disableExecuteApiEndpoint"]


@pytest.mark.threat("gateway-plain-http")
def test_custom_domain_disables_the_default_endpoint():
    assert resource_types() & DOMAIN_TYPES == set()
    assert is_default_endpoint_disabled() is False
    assert is_default_endpoint_disabled(**DOMAIN) is True
    assert only_one("AWS::ApiGateway::DomainName", **DOMAIN)["RegionalCertificateArn"] == DOMAIN["CertificateArn"]
    mapping = only_one("AWS::ApiGateway::BasePathMapping", **DOMAIN)
    assert mapping == {"DomainName": "Domain", "RestApiId": "Api", "Stage": "ApiStage"}
    # The DNS record needs a hosted zone.
    assert "AWS::Route53::RecordSet" not in resource_types(**DOMAIN)
    record = only_one("AWS::Route53::RecordSet", **RECORD)
    assert (record["HostedZoneId"], record["Name"]) == (RECORD["HostedZoneId"], DOMAIN["DomainName"])
    assert record["AliasTarget"]["DNSName"] == "Domain.RegionalDomainName"


@pytest.mark.threat("gateway-flood")
def test_firewall_is_associated_with_the_stage():
    association = only_one("AWS::WAFv2::WebACLAssociation")
    assert association["WebACLArn"] == "Firewall.Arn"
    # The reference makes CloudFormation create the stage first.
    assert "ApiStage" in deployed()
    assert association["ResourceArn"] == "arn:aws:apigateway:us-east-1::/restapis/Api/stages/ApiStage"


@pytest.mark.threat("gateway-honest-request-blocked")
def test_firewall_has_three_managed_groups_and_two_rate_limits():
    statements = [rule["Statement"].get("ManagedRuleGroupStatement") for rule in firewall_rules().values()]
    groups = {group["Name"]: group.get("RuleActionOverrides", []) for group in statements if group}
    names = ("AmazonIpReputationList", "CommonRuleSet", "KnownBadInputsRuleSet")
    assert groups.keys() == {f"AWSManagedRules{name}" for name in names}
    # With {"Count": {}} here, a whole group would block nothing.
    assert [rule["OverrideAction"] for rule in firewall_rules().values() if "OverrideAction" in rule] == [
        {"None": {}}
    ] * 3
    assert len(firewall_rules()) == len({rule["Priority"] for rule in firewall_rules().values()}) == 5
    overridden = [override for overrides in groups.values() for override in overrides]
    assert {override["Name"] for override in overridden} == COUNTED
    assert [override["ActionToUse"] for override in overridden] == [{"Count": {}}] * len(COUNTED)


@pytest.mark.threat("gateway-flood")
@pytest.mark.parametrize("prefix", ["", "/prod"], ids=["under a domain", "under the stage"])
def test_firewall_limits_routes_with_secrets_or_registrations(prefix):
    """ASVS 6.3.1. Python can evaluate the regular expressions of WAF, which are a subset of its own."""
    limit = firewall_rules()["requests-of-an-address"]["Statement"]["RateBasedStatement"]
    assert (limit["AggregateKeyType"], limit["Limit"], limit["EvaluationWindowSec"]) == ("IP", "1000", 300)
    match = limit["ScopeDownStatement"]["RegexMatchStatement"]
    # A percent-encoded or unnormalised path must not evade the limit.
    assert [change["Type"] for change in match["TextTransformations"]] == ["URL_DECODE", "NORMALIZE_PATH"]
    pattern = match["RegexString"]
    routes = {(each.method, each.path) for each in load_template(TEMPLATE).routes if each.method != "OPTIONS"}
    limited = {(method, path) for method, path in routes if re.search(pattern, prefix + path.replace("{id}", "0-1"))}
    assert limited == LIMITED_ROUTES
    assert not re.search(pattern, f"/elsewhere{prefix}/login")


@pytest.mark.threat("gateway-flood")
def test_one_client_ip_cannot_use_up_the_gateways_limits():
    """All clients share the limits of the gateway, also those of /health and of the public keys."""
    statement = firewall_rules()["all-requests-of-an-address"]["Statement"]["RateBasedStatement"]
    assert statement.keys() == {"AggregateKeyType", "EvaluationWindowSec", "Limit"}
    assert statement["AggregateKeyType"] == "IP"
    (stage,) = resources_of_type("AWS::ApiGateway::Stage").values()
    (for_all,) = [m["ThrottlingRateLimit"] for m in stage["MethodSettings"] if m["ResourcePath"] == "/*"]
    assert int(statement["Limit"]) / statement["EvaluationWindowSec"] <= int(for_all) / 5


def test_firewall_response_equals_the_gateways_429():
    acl = only_one("AWS::WAFv2::WebACL")
    response = firewall_rules()["requests-of-an-address"]["Action"]["Block"]["CustomResponse"]
    assert firewall_rules()["all-requests-of-an-address"]["Action"]["Block"]["CustomResponse"] == response
    throttled = read_template(TEMPLATE)["Resources"]["Api"]["Properties"]["GatewayResponses"]["THROTTLED"]
    document = json.loads(throttled["ResponseTemplates"]["application/json"])
    assert response["ResponseCode"] == throttled["StatusCode"]
    body = json.loads(acl["CustomResponseBodies"][response["CustomResponseBodyKey"]]["Content"])
    assert body == {name: value for name, value in document.items() if name != "request_id"}
    headers = {header["Name"]: header["Value"] for header in response["ResponseHeaders"]}
    assert headers.pop("Retry-After") == "300"
    own = {name: value.strip("'") for name, value in throttled["ResponseParameters"]["Headers"].items()}
    # WAF sets its own request id and content type.
    assert headers == {name: value for name, value in own.items() if name not in {"Content-Type", "X-Request-Id"}}


@pytest.mark.threat("gateway-logged-secrets")
def test_firewall_logs_blocked_requests_without_tokens():
    """ASVS 16.2.5: tokens appear neither in the log nor in the sampled requests of the console."""
    logging = only_one("AWS::WAFv2::LoggingConfiguration")
    redacted = {field["SingleHeader"]["Name"] for field in logging["RedactedFields"]}
    assert redacted == {"authorization", "cookie", "x-proxy-lock"}
    shown = [only_one("AWS::WAFv2::WebACL"), *firewall_rules().values()]
    assert {part["VisibilityConfig"]["SampledRequestsEnabled"] for part in shown} == {False}
    assert logging["LogDestinationConfigs"] == ["arn:aws:logs:us-east-1:123456789012:log-group:FirewallLogs"]
    assert logging["LoggingFilter"]["DefaultBehavior"] == "DROP"
    (log_filter,) = logging["LoggingFilter"]["Filters"]
    logged_actions = {condition["ActionCondition"]["Action"] for condition in log_filter["Conditions"]}
    assert (log_filter["Behavior"], log_filter["Requirement"]) == ("KEEP", "MEETS_ANY")
    assert logged_actions == {"BLOCK", "COUNT", "EXCLUDED_AS_COUNT"}
    assert resources_of_type("AWS::Logs::LogGroup")["FirewallLogs"]["LogGroupName"].startswith("aws-waf-logs-")
    (statement,) = json.loads(only_one("AWS::Logs::ResourcePolicy")["PolicyDocument"])["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", "FirewallLogs.Arn")
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_firewall_inspects_bodies_up_to_the_limit_of_functions():
    inspected = only_one("AWS::WAFv2::WebACL")["AssociationConfig"]["RequestBody"]
    assert inspected == {"API_GATEWAY": {"DefaultSizeInspectionLimit": "KB_64"}}


@pytest.mark.parametrize("parameters", [{"WebAcl": "off"}, {"Stage": "local"}], ids=["off", "local"])
def test_disabled_firewall_creates_no_resources(parameters):
    assert [kind for kind in resource_types(**parameters) if kind.startswith("AWS::WAFv2")] == []
    assert not deployed(**parameters).keys() & {"FirewallLogs", "FirewallLogsPolicy"}


def test_outputs_match_the_deployed_resources():
    plain, with_domain = outputs(), outputs(**DOMAIN)
    assert plain["ApiUrl"] == "https://Api.execute-api.us-east-1.amazonaws.com/prod"
    assert with_domain["ApiUrl"] == "https://auth.example.com"
    for shown in (plain, with_domain):
        assert shown["JwksUrl"] == f"{shown['ApiUrl']}/.well-known/jwks.json"
    assert ("DomainTarget" in plain, with_domain["DomainTarget"]) == (False, "Domain.RegionalDomainName")
    assert (plain["WebAclArn"], "WebAclArn" in outputs(WebAcl="off")) == ("Firewall.Arn", False)
    assert outputs(SigningKeys="green")["SigningKeyArn"] == "SigningKeyGreen.Arn"
