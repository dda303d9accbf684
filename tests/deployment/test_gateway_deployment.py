"""What stands between the internet and the functions of a deployment: gateway, firewall, domain."""

import json
import re

import pytest

from local_runtime.cloudformation import Intrinsics, read_template
from local_runtime.template import load_template
from tests.support.deployment import TEMPLATE, deployed, of_type, translated
from tests.support.routes import OPEN_ROUTES
from tests.support.runtime import PROJECT

pytestmark = [pytest.mark.deployment, pytest.mark.template]

DOMAIN = {"DomainName": "auth.example.com", "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1"}
RECORD = {**DOMAIN, "HostedZoneId": "Z0123456789"}
OF_A_DOMAIN = {"AWS::ApiGateway::DomainName", "AWS::ApiGateway::BasePathMapping", "AWS::Route53::RecordSet"}
LIMITED_ROUTES = {
    *(("POST", "/login"), ("POST", "/users"), ("PUT", "/users/{id}/password"), ("POST", "/token/refresh")),
    *(("POST", "/webauthn/login/begin"), ("POST", "/webauthn/login/complete"), ("POST", "/step-up")),
}
#: Rules of AWS's groups that count and do not block, each with a reason in the template. A new entry is a decision.
COUNTED = {
    *("JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"),
    *("CrossSiteScripting_BODY", "EC2MetaDataSSRF_BODY", "GenericLFI_BODY", "GenericRFI_BODY"),
    *("SizeRestrictions_BODY", "NoUserAgent_HEADER"),
}


def types(**parameters):
    return {resource["Type"] for resource in deployed(**parameters).values()}


def one(kind, **parameters):
    (properties,) = of_type(kind, **parameters).values()
    return properties


def methods(**parameters):
    """Return what the gateway knows of each method, by method and path."""
    paths = one("AWS::ApiGateway::RestApi", **parameters)["Body"]["paths"]
    return {(name.upper(), path): method for path, item in paths.items() for name, method in item.items()}


def rules(**parameters):
    return {rule["Name"]: rule for rule in one("AWS::WAFv2::WebACL", **parameters)["Rules"]}


def outputs(**parameters):
    template = translated(**parameters)
    intrinsics = Intrinsics(template)
    return {
        name: intrinsics.resolve(output["Value"])
        for name, output in template["Outputs"].items()
        if "Condition" not in output or intrinsics.resolve({"Condition": output["Condition"]})
    }


@pytest.mark.threat("gateway-open-route")
def test_every_method_but_the_open_ones_asks_the_authorizer():
    """As CloudFormation gets it, whatever the template seems to say."""
    asked = {route: method["security"] for route, method in methods().items()}
    routes = [(route.method, route.path) for route in load_template(TEMPLATE).routes]
    assert asked == {route: [{"NONE" if route in OPEN_ROUTES else "TokenAuthorizer": []}] for route in routes}


def test_a_body_must_be_an_object_wherever_one_is_taken():
    """ASVS 2.2.2: and the functions check the rest."""
    documented = json.loads((PROJECT / "docs/openapi.json").read_text())["paths"]
    with_body = {
        (name.upper(), path)
        for path, item in documented.items()
        for name, operation in item.items()
        if "requestBody" in operation
    }
    body = one("AWS::ApiGateway::RestApi")["Body"]
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
def test_no_connection_is_older_than_tls_1_2_by_whatever_name():
    """ASVS 12.1.1, 12.1.2."""
    policy = {"SecurityPolicy": "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09", "EndpointAccessMode": "STRICT"}
    for kind in ("AWS::ApiGateway::RestApi", "AWS::ApiGateway::DomainName"):
        properties = one(kind, **DOMAIN)
        assert properties["EndpointConfiguration"]["Types"] == ["REGIONAL"]
        assert properties | policy == properties


def test_a_stage_takes_over_every_deployment():
    """SAM compares the text of the API, in which a parameter's value is not: so it must not compare."""
    assert read_template(TEMPLATE)["Resources"]["Api"]["Properties"]["AlwaysDeploy"] is True


def is_default_endpoint_disabled(**parameters):
    (server,) = one("AWS::ApiGateway::RestApi", **parameters)["Body"]["servers"]
    return server["x-amazon-apigateway-endpoint-configuration"]["disableExecuteApiEndpoint"]


@pytest.mark.threat("gateway-plain-http")
def test_domain_that_is_chosen_is_the_only_way_in():
    assert types() & OF_A_DOMAIN == set()
    assert is_default_endpoint_disabled() is False
    assert is_default_endpoint_disabled(**DOMAIN) is True
    assert one("AWS::ApiGateway::DomainName", **DOMAIN)["RegionalCertificateArn"] == DOMAIN["CertificateArn"]
    mapping = one("AWS::ApiGateway::BasePathMapping", **DOMAIN)
    assert mapping == {"DomainName": "Domain", "RestApiId": "Api", "Stage": "ApiStage"}
    # A record is made where a zone is named.
    assert "AWS::Route53::RecordSet" not in types(**DOMAIN)
    record = one("AWS::Route53::RecordSet", **RECORD)
    assert (record["HostedZoneId"], record["Name"]) == (RECORD["HostedZoneId"], DOMAIN["DomainName"])
    assert record["AliasTarget"]["DNSName"] == "Domain.RegionalDomainName"


def test_a_domain_without_a_certificate_is_refused():
    rule = read_template(TEMPLATE)["Rules"]["Domain"]
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "DomainName"}, ""]}]}
    assert [a["Assert"] for a in rule["Assertions"]] == [{"Fn::Not": [{"Fn::Equals": [{"Ref": "CertificateArn"}, ""]}]}]


@pytest.mark.threat("gateway-flood")
def test_the_firewall_stands_before_the_stage():
    association = one("AWS::WAFv2::WebACLAssociation")
    assert association["WebACLArn"] == "Firewall.Arn"
    # By reference, so that the stage is there first.
    assert "ApiStage" in deployed()
    assert association["ResourceArn"] == "arn:aws:apigateway:us-east-1::/restapis/Api/stages/ApiStage"


@pytest.mark.threat("gateway-honest-request-blocked")
def test_firewall_is_three_groups_of_aws_in_which_few_rules_only_count_and_two_limits():
    statements = [rule["Statement"].get("ManagedRuleGroupStatement") for rule in rules().values()]
    groups = {group["Name"]: group.get("RuleActionOverrides", []) for group in statements if group}
    names = ("AmazonIpReputationList", "CommonRuleSet", "KnownBadInputsRuleSet")
    assert groups.keys() == {f"AWSManagedRules{name}" for name in names}
    # {"Count": {}} here would have a whole group block nothing.
    assert [rule["OverrideAction"] for rule in rules().values() if "OverrideAction" in rule] == [{"None": {}}] * 3
    assert len(rules()) == len({rule["Priority"] for rule in rules().values()}) == 5
    overridden = [override for overrides in groups.values() for override in overrides]
    assert {override["Name"] for override in overridden} == COUNTED
    assert [override["ActionToUse"] for override in overridden] == [{"Count": {}}] * len(COUNTED)


@pytest.mark.threat("gateway-flood")
@pytest.mark.parametrize("prefix", ["", "/prod"], ids=["under a domain", "under the stage"])
def test_rate_limit_of_a_client_ip_is_for_routes_that_check_secrets_or_make_accounts(prefix):
    """ASVS 6.3.1. WAF's regular expressions are a part of Python's."""
    limit = rules()["requests-of-an-address"]["Statement"]["RateBasedStatement"]
    assert (limit["AggregateKeyType"], limit["Limit"], limit["EvaluationWindowSec"]) == ("IP", "1000", 300)
    match = limit["ScopeDownStatement"]["RegexMatchStatement"]
    # A path that is spelled otherwise is the same path.
    assert [change["Type"] for change in match["TextTransformations"]] == ["URL_DECODE", "NORMALIZE_PATH"]
    pattern = match["RegexString"]
    routes = {(route.method, route.path) for route in load_template(TEMPLATE).routes}
    limited = {(method, path) for method, path in routes if re.search(pattern, prefix + path.replace("{id}", "0-1"))}
    assert limited == LIMITED_ROUTES
    assert not re.search(pattern, f"/elsewhere{prefix}/login")


@pytest.mark.threat("gateway-flood")
def test_one_client_cannot_use_up_the_gateways_limit_of_any_route():
    """The gateway's limits are for all clients together, those of /health and of the public keys included."""
    statement = rules()["all-requests-of-an-address"]["Statement"]["RateBasedStatement"]
    assert statement.keys() == {"AggregateKeyType", "EvaluationWindowSec", "Limit"}
    assert statement["AggregateKeyType"] == "IP"
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    (for_all,) = [m["ThrottlingRateLimit"] for m in stage["MethodSettings"] if m["ResourcePath"] == "/*"]
    assert int(statement["Limit"]) / statement["EvaluationWindowSec"] <= int(for_all) / 5


def test_proxies_that_everybody_comes_through_are_not_limited_as_one_address():
    assert rules(TrustedProxyHops="1").keys() == {"bad-addresses", "known-bad-inputs", "common"}


def test_the_firewalls_own_answer_is_like_the_gateways():
    acl = one("AWS::WAFv2::WebACL")
    answer = rules()["requests-of-an-address"]["Action"]["Block"]["CustomResponse"]
    assert rules()["all-requests-of-an-address"]["Action"]["Block"]["CustomResponse"] == answer
    throttled = read_template(TEMPLATE)["Resources"]["Api"]["Properties"]["GatewayResponses"]["THROTTLED"]
    document = json.loads(throttled["ResponseTemplates"]["application/json"])
    assert answer["ResponseCode"] == throttled["StatusCode"]
    body = json.loads(acl["CustomResponseBodies"][answer["CustomResponseBodyKey"]]["Content"])
    assert body == {name: value for name, value in document.items() if name != "request_id"}
    headers = {header["Name"]: header["Value"] for header in answer["ResponseHeaders"]}
    assert headers.pop("Retry-After") == "300"
    own = {name: value.strip("'") for name, value in throttled["ResponseParameters"]["Headers"].items()}
    # WAF has an id of its own, and lets nobody choose the type.
    assert headers == {name: value for name, value in own.items() if name not in {"Content-Type", "X-Request-Id"}}


@pytest.mark.threat("gateway-logged-secrets")
def test_firewall_logs_what_it_blocks_or_counts_and_shows_no_tokens():
    """ASVS 16.2.5: neither in its log nor in the samples of its console."""
    logging = one("AWS::WAFv2::LoggingConfiguration")
    assert {field["SingleHeader"]["Name"] for field in logging["RedactedFields"]} == {"authorization", "cookie"}
    shown = [one("AWS::WAFv2::WebACL"), *rules().values()]
    assert {part["VisibilityConfig"]["SampledRequestsEnabled"] for part in shown} == {False}
    assert logging["LogDestinationConfigs"] == ["arn:aws:logs:us-east-1:123456789012:log-group:FirewallLogs"]
    assert logging["LoggingFilter"]["DefaultBehavior"] == "DROP"
    (kept,) = logging["LoggingFilter"]["Filters"]
    kept_actions = {condition["ActionCondition"]["Action"] for condition in kept["Conditions"]}
    assert (kept["Behavior"], kept["Requirement"]) == ("KEEP", "MEETS_ANY")
    assert kept_actions == {"BLOCK", "COUNT", "EXCLUDED_AS_COUNT"}
    assert of_type("AWS::Logs::LogGroup")["FirewallLogs"]["LogGroupName"].startswith("aws-waf-logs-")
    (statement,) = json.loads(one("AWS::Logs::ResourcePolicy")["PolicyDocument"])["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", "FirewallLogs.Arn")
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_bodies_are_inspected_as_far_as_functions_read_them():
    inspected = one("AWS::WAFv2::WebACL")["AssociationConfig"]["RequestBody"]
    assert inspected == {"API_GATEWAY": {"DefaultSizeInspectionLimit": "KB_64"}}


@pytest.mark.parametrize("parameters", [{"WebAcl": "off"}, {"Stage": "local"}], ids=["off", "local"])
def test_no_firewall_leaves_nothing_of_itself(parameters):
    assert [kind for kind in types(**parameters) if kind.startswith("AWS::WAFv2")] == []
    assert not deployed(**parameters).keys() & {"FirewallLogs", "FirewallLogsPolicy"}


def test_outputs_name_what_was_deployed_and_where_the_service_is():
    plain, with_domain = outputs(), outputs(**DOMAIN)
    assert plain["ApiUrl"] == "https://Api.execute-api.us-east-1.amazonaws.com/prod"
    assert with_domain["ApiUrl"] == "https://auth.example.com"
    for shown in (plain, with_domain):
        assert shown["JwksUrl"] == f"{shown['ApiUrl']}/.well-known/jwks.json"
    assert ("DomainTarget" in plain, with_domain["DomainTarget"]) == (False, "Domain.RegionalDomainName")
    assert (plain["WebAclArn"], "WebAclArn" in outputs(WebAcl="off")) == ("Firewall.Arn", False)
    assert outputs(SigningKeys="green")["SigningKeyArn"] == "SigningKeyGreen.Arn"
