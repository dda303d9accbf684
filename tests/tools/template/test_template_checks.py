"""The checks of the template in `make lint` find faults: the tests add a fault of each kind."""

import copy
import json
import re

import pytest

from local_runtime.cloudformation import read_template
from tests.support.deployment import TEMPLATE, translated
from tests.support.routes import OPEN_ROUTES
from tests.support.runtime import PROJECT, run_command
from tools.template.deployed_template import main
from tools.uv_path import uv_path

pytestmark = [pytest.mark.deployment, pytest.mark.template]


def check(tool, template):
    """Return the output of ``tool``, and whether it accepts the template."""
    done = run_command(uv_path(), "run", "--script", "--locked", f"tools/template/{tool}.py", text=json.dumps(template))
    return done.stdout + done.stderr, done.returncode == 0


@pytest.fixture
def template():
    return copy.deepcopy(translated())


def properties(template, name):
    return template["Resources"][name]["Properties"]


def test_project_rules_find_each_added_fault(template):
    """The rules find no other fault. `make lint` fails if they find a fault in the unchanged template.

    The template has only the changed resources here, because a check of all takes long. `make lint` checks all of them.
    """
    kept = {
        *("AccessLogs", "FunctionLogs", "SecretsKey", "Api", "Distribution", "Firewall"),
        *("LoginFunction", "RegisterFunction", "RegisterRole", "HealthFunction", "JwksFunction", "JwksRole"),
        *("CredentialStuffingAlarm", "UnknownAddressesRule", "PasswordSprayingAlarm", "AccountsUnderAttackRule"),
    }
    template["Resources"] = {name: template["Resources"][name] for name in kept}
    del properties(template, "AccessLogs")["KmsKeyId"]
    template["Resources"]["FunctionLogs"]["DeletionPolicy"] = "Delete"
    properties(template, "SecretsKey")["EnableKeyRotation"] = False
    properties(template, "LoginFunction")["Role"] = properties(template, "RegisterFunction")["Role"]
    del properties(template, "HealthFunction")["Role"]
    properties(template, "JwksRole")["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/AdministratorAccess"]
    paths = properties(template, "Api")["Body"]["paths"]
    paths["/users/{id}"]["get"]["security"] = [{"NONE": []}]
    paths["/sessions"]["get"]["security"] = [{"TokenAuthorizer": []}, {"NONE": []}]
    del paths["/logout"]["post"]["security"]
    properties(template, "CredentialStuffingAlarm")["AlarmName"] = {"Fn::GetAtt": ["UnknownAddressesRule", "RuleName"]}
    properties(template, "PasswordSprayingAlarm")["AlarmName"] = {"Fn::Sub": "${AccountsUnderAttackRule.RuleBody}"}
    del properties(template, "Distribution")["DistributionConfig"]["Origins"][0]["OriginCustomHeaders"]
    forwarded = [rule["Fn::If"][1] for rule in properties(template, "Firewall")["Rules"] if "Fn::If" in rule]
    (limit,) = [rule["Statement"] for rule in forwarded if rule["Name"] == "all-requests-of-a-forwarded-ip"]
    del limit["RateBasedStatement"]["ScopeDownStatement"]

    output, passed = check("template_lint", template)

    found = set(re.findall(r"^(E9\d{3}) (.*)$", output, re.MULTILINE))
    assert found == {
        ("E9001", "AccessLogs lacks KmsKeyId"),
        ("E9001", "FunctionLogs lacks DeletionPolicy"),
        ("E9002", "SecretsKey does not rotate"),
        ("E9003", "RegisterFunction has no role of its own: RegisterRole"),
        ("E9003", "LoginFunction has no role of its own: RegisterRole"),
        ("E9003", "HealthFunction has no role of its own: none"),
        ("E9003", "JwksFunction has no role of its own: JwksRole"),
        ("E9004", "GET /users/{id} has no authorizer"),
        ("E9004", "GET /sessions has no authorizer"),
        ("E9004", "POST /logout has no authorizer"),
        ("E9005", "AWS::CloudWatch::InsightRule returns no RuleName"),
        ("E9005", "AWS::CloudWatch::InsightRule returns no RuleBody"),
        ("E9006", "the origin api does not get the lock"),
        ("E9006", "all-requests-of-a-forwarded-ip believes a forwarded IP without the lock"),
    }
    assert not passed


def test_open_methods_of_rule_and_tests_are_the_same():
    listed = re.search(
        r"^OPEN = \{\n(.*?)^\}",
        (PROJECT / "tools/template/rules/open_methods.py").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert listed
    assert set(re.findall(r'"(.*)"', listed[1])) == {f"{method} {path}" for method, path in OPEN_ROUTES}


def test_scanner_finds_an_added_fault(template):
    """The template has only two resources here, because a scan of all takes long. `make lint` scans all of them."""
    template["Resources"] = {name: template["Resources"][name] for name in ("AlarmTopic", "SecretsKey")}
    properties(template, "AlarmTopic").pop("KmsMasterKeyId")
    output, passed = check("template_scan", template)
    assert re.search(r"^Check: CKV_AWS_26:.*\n\tFAILED for resource: AWS::SNS::Topic.AlarmTopic$", output, re.MULTILINE)
    assert "Failed checks: 1," in output
    assert not passed


def test_deployed_template_has_the_given_parameters(capsys):
    main(["Stage=prod", "WebauthnRpName=A=B"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["Parameters"]["WebauthnRpName"]["Default"] == "A=B"
    assert shown["Parameters"]["Stage"]["Default"] == "prod"
    assert "Transform" not in shown
    assert read_template(TEMPLATE)["Parameters"]["Stage"]["Default"] == "local"


def test_unknown_parameter_is_an_error():
    with pytest.raises(KeyError, match="Stagee"):
        main(["Stagee=prod"])
