"""The checks of the template in `make lint` find what they are for: each fault is planted, and seen."""

import copy
import json
import re

import pytest

from local_runtime.cloudformation import read_template
from tests.support.deployment import TEMPLATE, translated
from tests.support.routes import OPEN_ROUTES
from tests.support.runtime import PROJECT, run
from tools.template.deployed_template import main
from tools.uv_path import uv_path

pytestmark = [pytest.mark.deployment, pytest.mark.template]


def check(tool, template):
    """Return what ``tool`` says, and whether it lets the template pass."""
    done = run(uv_path(), "run", "--script", "--locked", f"tools/template/{tool}.py", text=json.dumps(template))
    return done.stdout + done.stderr, done.returncode == 0


@pytest.fixture
def template():
    return copy.deepcopy(translated())


def properties(template, name):
    return template["Resources"][name]["Properties"]


def test_the_rules_of_our_own_find_planted_faults(template):
    """They find nothing else. `make lint` fails if they find anything in the template as it is."""
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

    said, passed = check("template_lint", template)

    found = set(re.findall(r"^(E9\d{3}) (.*)$", said, re.MULTILINE))
    assert found == {
        ("E9001", "AccessLogs lacks KmsKeyId"),
        ("E9001", "FunctionLogs lacks DeletionPolicy"),
        ("E9002", "SecretsKey does not rotate"),
        ("E9003", "RegisterFunction has no role of its own: RegisterRole"),
        ("E9003", "LoginFunction has no role of its own: RegisterRole"),
        ("E9003", "HealthFunction has no role of its own: none"),
        ("E9003", "JwksFunction has no role of its own: JwksRole"),
        ("E9004", "GET /users/{id} asks no authorizer"),
        ("E9004", "GET /sessions asks no authorizer"),
        ("E9004", "POST /logout asks no authorizer"),
        ("E9005", "AWS::CloudWatch::InsightRule returns no RuleName"),
        ("E9005", "AWS::CloudWatch::InsightRule returns no RuleBody"),
    }
    assert not passed


def test_the_open_methods_are_listed_alike():
    listed = re.search(
        r"^OPEN = \{\n(.*?)^\}",
        (PROJECT / "tools/template/rules/open_methods.py").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert listed
    assert set(re.findall(r'"(.*)"', listed[1])) == {f"{method} {path}" for method, path in OPEN_ROUTES}


def test_the_scanner_finds_a_planted_fault(template):
    """Two resources are enough here, and quick. `make lint` scans all of them."""
    template["Resources"] = {name: template["Resources"][name] for name in ("AlarmTopic", "SecretsKey")}
    properties(template, "AlarmTopic").pop("KmsMasterKeyId")
    said, passed = check("template_scan", template)
    assert re.search(r"^Check: CKV_AWS_26:.*\n\tFAILED for resource: AWS::SNS::Topic.AlarmTopic$", said, re.MULTILINE)
    assert "Failed checks: 1," in said
    assert not passed


def test_a_template_is_shown_with_the_parameters_that_are_given(capsys):
    main(["Stage=prod", "WebauthnRpName=A=B"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["Parameters"]["WebauthnRpName"]["Default"] == "A=B"
    assert shown["Parameters"]["Stage"]["Default"] == "prod"
    assert "Transform" not in shown
    assert read_template(TEMPLATE)["Parameters"]["Stage"]["Default"] == "local"


def test_a_parameter_that_the_template_does_not_have_is_an_error():
    with pytest.raises(KeyError, match="Stagee"):
        main(["Stagee=prod"])
