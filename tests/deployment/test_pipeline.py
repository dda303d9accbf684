"""The policies and the workflow of examples/pipeline fit the template."""

import json
import re
from fnmatch import fnmatchcase

import pytest
import yaml

from tests.support.deployment import as_list, deployed, policy_statements, resources_of_type
from tests.support.runtime import PROJECT

pytestmark = [pytest.mark.deployment, pytest.mark.template]

FOLDER = PROJECT / "examples" / "pipeline"
BOUNDARY, DEPLOY, TRUST = (
    json.loads((FOLDER / f"{name}.json").read_text())
    for name in ("permissions-boundary", "deploy-policy", "trust-policy")
)
ARN = "arn:aws:iam::123456789012:policy/secure-backend-boundary"
#: Parameters with which the stack has each of its kinds of roles.
EVERYTHING = {
    "MailFrom": "no-reply@example.com",
    "DatabaseUrlSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:functions-1a2b3c",
    "MigrationDatabaseUrlSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:owner-4d5e6f",
}
#: The prefixes of IAM actions that differ from the service in the type of a resource.
PREFIXES = {"Logs": "logs", "SecretsManager": "secretsmanager", "ServiceDiscovery": "servicediscovery"}


def allows(policy, action):
    """Return whether a policy allows an action on some resource, and denies it on none."""

    def has(effect):
        return any(
            each["Effect"] == effect and any(fnmatchcase(action, wanted) for wanted in as_list(each["Action"]))
            for each in policy["Statement"]
            if "Condition" not in each or effect == "Allow"
        )

    return has("Allow") and not has("Deny")


@pytest.mark.threat("deployment-excess-rights")
def test_each_role_has_the_boundary_of_the_parameter():
    roles = resources_of_type("AWS::IAM::Role", PermissionsBoundaryArn=ARN)
    assert {role.get("PermissionsBoundary") for role in roles.values()} == {ARN}
    assert [name for name, role in resources_of_type("AWS::IAM::Role").items() if "PermissionsBoundary" in role] == []


@pytest.mark.parametrize("parameters", [{}, EVERYTHING, {"MailFrom": "no-reply@example.com"}])
def test_boundary_allows_what_the_roles_of_the_stack_need(parameters):
    for name, role in resources_of_type("AWS::IAM::Role", **parameters).items():
        for statement in policy_statements(role):
            missing = [action for action in as_list(statement["Action"]) if not allows(BOUNDARY, action)]
            assert missing == [], name


@pytest.mark.asvs("13.2.2")
@pytest.mark.threat("deployment-excess-rights")
@pytest.mark.parametrize(
    "action",
    ["iam:CreateUser", "iam:PutRolePolicy", "sts:AssumeRole", "kms:PutKeyPolicy", "s3:GetObject", "ec2:RunInstances"],
)
def test_boundary_denies_a_role_to_widen_rights_or_reach_other_services(action):
    """An attacker who changes the template in a pull request cannot make an administrator."""
    assert not allows(BOUNDARY, action)


@pytest.mark.asvs("13.2.2", "13.3.2")
@pytest.mark.threat("deployment-excess-rights", "secrets-read", "signing-key-misuse")
def test_pipeline_uses_no_keys_secrets_or_data():
    for action in ("kms:Sign", "dsql:DbConnect", "dsql:DbConnectAdmin", "dsql:DeleteCluster", "sts:AssumeRole"):
        assert not allows(DEPLOY, action), action
    (secrets,) = [each for each in DEPLOY["Statement"] if "NotResource" in each]
    assert (secrets["Effect"], "secretsmanager:GetSecretValue" in secrets["Action"]) == ("Deny", True)
    locks = [name for name in deployed(ProxyLocks="blue+green") if name.startswith("ProxyLock")]
    assert locks
    assert secrets["NotResource"].endswith(":secret:ProxyLock*")


@pytest.mark.threat("deployment-excess-rights")
def test_pipeline_gives_rights_to_roles_with_the_boundary_only():
    widening = {"iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"}
    assert not {"iam:*", "iam:CreateUser", "iam:CreatePolicyVersion", "iam:DeleteRolePermissionsBoundary"} & {
        action for each in DEPLOY["Statement"] for action in as_list(each["Action"]) if each["Effect"] == "Allow"
    }
    for each in DEPLOY["Statement"]:
        if widening & set(as_list(each["Action"])):
            boundary = each["Condition"]["StringEquals"]["iam:PermissionsBoundary"]
            assert boundary == "arn:aws:iam::ACCOUNT:policy/secure-backend-boundary"
            assert all("role/" in resource and "STACK" in resource for resource in each["Resource"])


def test_pipeline_may_make_each_kind_of_resource():
    names = {resource["Type"] for resource in deployed(MailFrom="no-reply@example.com").values()}
    services = {
        PREFIXES.get(name.split("::")[1], name.split("::")[1].lower()) for name in names if name.startswith("AWS::")
    }
    allowed = {
        a.partition(":")[0]
        for each in DEPLOY["Statement"]
        if each["Effect"] == "Allow"
        for a in as_list(each["Action"])
    }
    assert services - allowed == set()


@pytest.mark.parametrize("policy", [BOUNDARY, DEPLOY], ids=["boundary", "deploy"])
def test_policy_is_short_enough_for_iam(policy):
    """IAM counts the characters without white space: at most 6,144 in a managed policy."""
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6_144


@pytest.mark.asvs("13.3.2")
@pytest.mark.threat("deployment-excess-rights")
def test_only_jobs_of_the_reviewed_environment_get_the_role():
    (statement,) = TRUST["Statement"]
    conditions = statement["Condition"]["StringEquals"]
    assert conditions["token.actions.githubusercontent.com:sub"] == "repo:OWNER/REPOSITORY:environment:prod"
    assert conditions["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"


def test_workflow_tests_before_it_deploys_and_pins_what_it_uses():
    text = (FOLDER / "deploy.yml").read_text()
    workflow = yaml.safe_load(text)
    jobs = workflow["jobs"]
    assert workflow["permissions"] == {}
    assert jobs["deploy"]["needs"] == "test"
    assert (jobs["deploy"]["environment"], jobs["deploy"]["permissions"]["id-token"]) == ("prod", "write")
    assert "id-token" not in jobs["test"]["permissions"]
    used = re.findall(r"uses: (\S+) # v\d", text)
    own = re.findall(r"uses: (\S+) # v\d", (PROJECT / ".github" / "workflows" / "ci.yml").read_text())
    assert used
    assert set(used) <= set(own)
    targets = set(re.findall(r"make ([a-z-]+)", text))
    assert targets <= set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
