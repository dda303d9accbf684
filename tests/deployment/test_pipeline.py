"""The policies and the workflow of examples/pipeline fit the template."""

import json
import re

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.support.deployment import as_list, deployed, policy_statements, resources_of_type
from tests.support.iam_policies import allows
from tests.support.runtime import PROJECT

pytestmark = [pytest.mark.deployment, pytest.mark.template]

FOLDER = PROJECT / "examples" / "pipeline"
BOUNDARY, DEPLOY, TRUST = (
    json.loads((FOLDER / f"{name}.json").read_text())
    for name in ("permissions-boundary", "deploy-policy", "trust-policy")
)
ARN = "arn:aws:iam::123456789012:policy/secure-backend-boundary"
#: ARNs of what other applications of the account have.
IAM, LAMBDA = "arn:aws:iam::ACCOUNT:", "arn:aws:lambda:eu-central-1:ACCOUNT:function:"
SECRET = "arn:aws:secretsmanager:eu-central-1:ACCOUNT:secret:"
STACKS = "arn:aws:cloudformation:eu-central-1:ACCOUNT:stack/"
KEY = "arn:aws:kms:eu-central-1:ACCOUNT:key/0a1b"
ROLE = f"{IAM}role/secure-backend/STACK/STACK-LoginRole-1A2B3C"
BOUNDED = {"iam__PermissionsBoundary": f"{IAM}policy/secure-backend-boundary"}
PASSED_TO_LAMBDA = {"iam__PassedToService": "lambda.amazonaws.com"}
#: Parameters with which the stack has each of its kinds of roles.
EVERYTHING = {
    "MailFrom": "no-reply@example.com",
    "DatabaseUrlSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:functions-1a2b3c",
    "MigrationDatabaseUrlSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:owner-4d5e6f",
}
#: The prefixes of IAM actions that differ from the service in the type of a resource.
PREFIXES = {"Logs": "logs", "SecretsManager": "secretsmanager", "ServiceDiscovery": "servicediscovery"}


def through(stack_policy, action, resource="*", **context):
    """Return whether the pipeline's role can make a call by a change set of the stack."""
    return allows(stack_policy, action, resource, aws__CalledVia="cloudformation.amazonaws.com", **context)


@pytest.mark.threat("deployment-excess-rights")
def test_each_role_has_the_boundary_of_the_parameter():
    roles = resources_of_type("AWS::IAM::Role", PermissionsBoundaryArn=ARN)
    assert {role.get("PermissionsBoundary") for role in roles.values()} == {ARN}
    assert [name for name, role in resources_of_type("AWS::IAM::Role").items() if "PermissionsBoundary" in role] == []


@pytest.mark.parametrize("parameters", [{}, EVERYTHING, {"MailFrom": "no-reply@example.com"}])
def test_boundary_allows_what_the_roles_of_the_stack_need(parameters):
    for name, role in resources_of_type("AWS::IAM::Role", **parameters).items():
        for statement in policy_statements(role):
            missing = [
                action
                for action in as_list(statement["Action"])
                if not allows(BOUNDARY, action, f"{LAMBDA}STACK-x" if action.startswith("lambda:") else "*")
            ]
            assert missing == [], name


@pytest.mark.asvs("13.2.2")
@pytest.mark.threat("deployment-excess-rights")
@pytest.mark.parametrize(
    "action",
    [
        *("iam:CreateUser", "iam:PutRolePolicy", "sts:AssumeRole", "kms:PutKeyPolicy", "s3:GetObject"),
        *("ec2:RunInstances", "lambda:InvokeFunction"),
    ],
)
def test_boundary_denies_a_role_to_widen_rights_or_reach_other_services(action):
    """An attacker who changes the template in a pull request cannot make an administrator."""
    assert not allows(BOUNDARY, action)


@pytest.mark.asvs("13.2.2", "13.3.2")
@pytest.mark.threat("deployment-excess-rights", "secrets-read", "signing-key-misuse")
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        # CloudFormation uses the service role of a stack for each user who may change the stack, also without PassRole.
        *((f"cloudformation:{name}", f"{STACKS}other/0a") for name in ("CreateChangeSet", "ExecuteChangeSet")),
        *((f"cloudformation:{name}", f"{STACKS}other/0a") for name in ("UpdateStack", "SetStackPolicy")),
        # The code of another function runs with its role.
        *((f"lambda:{name}", f"{LAMBDA}other") for name in ("UpdateFunctionCode", "InvokeFunction", "AddPermission")),
        # A forged event of the gateway names any user as the caller.
        ("lambda:InvokeFunction", f"{LAMBDA}STACK-AuditFunction-1A2B"),
        ("s3:PutObject", "arn:aws:s3:::trail/AWSLogs/x"),
        ("s3:DeleteBucket", "arn:aws:s3:::trail"),
        *((f"secretsmanager:{name}", f"{SECRET}other-1a2b3c") for name in ("PutResourcePolicy", "GetSecretValue")),
        *((f"secretsmanager:{name}", f"{SECRET}Pepper-1A2B-x1") for name in ("GetSecretValue", "DeleteSecret")),
        *((f"secretsmanager:{name}", f"{SECRET}AuditKey-1A-x1") for name in ("PutSecretValue", "RotateSecret")),
        *((name, KEY) for name in ("kms:Sign", "kms:DisableKey", "kms:CreateGrant", "kms:ScheduleKeyDeletion")),
        *((f"dsql:{name}", "*") for name in ("DbConnect", "DbConnectAdmin", "DeleteCluster")),
        *((f"backup:{name}", "*") for name in ("StartRestoreJob", "StartCopyJob", "DeleteRecoveryPoint")),
        *((f"logs:{name}", "*") for name in ("GetLogEvents", "StartLiveTail", "CreateExportTask", "DeleteLogGroup")),
        ("ses:SendEmail", "*"),
        ("sts:AssumeRole", f"{IAM}role/secure-backend/STACK/STACK-BreakGlassRole-1A2B3C"),
        # Without a boundary, with another one, or without the one that the role has.
        *((f"iam:{name}", ROLE) for name in ("CreateRole", "PutRolePolicy", "AttachRolePolicy")),
        *((f"iam:{name}", ROLE) for name in ("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary")),
        *((f"iam:{name}", f"{IAM}policy/secure-backend-boundary") for name in ("CreatePolicyVersion", "DeletePolicy")),
        ("iam:UpdateAssumeRolePolicy", f"{IAM}role/Administrator"),
        ("iam:CreateUser", f"{IAM}user/attacker"),
        ("iam:PassRole", f"{IAM}role/Administrator"),
        ("iam:PassRole", ROLE),
    ],
)
def test_pipeline_can_neither_escalate_nor_use_keys_and_data(action, resource):
    for context in ({}, {"iam__PermissionsBoundary": f"{IAM}policy/another"}):
        assert not allows(DEPLOY, action, resource, **context)
        assert not through(DEPLOY, action, resource, **context)
    assert not through(DEPLOY, "iam:PassRole", f"{IAM}role/Administrator", **PASSED_TO_LAMBDA)
    assert not through(DEPLOY, "iam:PassRole", ROLE, iam__PassedToService="ec2.amazonaws.com")


@pytest.mark.threat("deployment-excess-rights")
@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("iam:CreateRole", ROLE, BOUNDED),
        ("iam:PutRolePolicy", f"{IAM}role/STACK-BackupRole-1A2B3C", BOUNDED),
        ("iam:UpdateAssumeRolePolicy", ROLE, {}),
        ("lambda:UpdateFunctionCode", f"{LAMBDA}STACK-LoginFunction-1A2B3C", {}),
        ("lambda:InvokeFunction", f"{LAMBDA}STACK-MigrateFunction-1A2B3C", {}),
        ("lambda:PublishLayerVersion", "arn:aws:lambda:eu-central-1:ACCOUNT:layer:CommonLayerX86", {}),
        ("kms:PutKeyPolicy", KEY, {}),
        ("kms:CreateGrant", KEY, {"kms__GrantIsForAWSResource": "true"}),
        ("kms:ScheduleKeyDeletion", KEY, {"aws__ResourceTag/aws__cloudformation__logical-id": "SigningKeyBlue"}),
        ("secretsmanager:PutResourcePolicy", f"{SECRET}Pepper-1A2B3C-x1y2z3", {}),
        ("secretsmanager:GetSecretValue", f"{SECRET}ProxyLockBlue-1A2B3C-x1y2z3", {}),
        ("events:PutRule", "arn:aws:events:eu-central-1:ACCOUNT:rule/STACK-key-access", {}),
        ("s3:PutBucketPolicy", "arn:aws:s3:::STACK-pagesbucket-1a2b3c", {}),
    ],
)
def test_pipeline_changes_the_stacks_resources_by_change_sets_only(action, resource, context):
    """An attacker with the credentials can change nothing without a change set, which raises function-changes."""
    assert through(DEPLOY, action, resource, **context)
    assert not allows(DEPLOY, action, resource, **context)


@pytest.mark.threat("deployment-excess-rights")
def test_pipeline_makes_change_sets_of_its_stack_without_imports():
    """An import would make a key, a bucket or a function of another application a resource of the stack."""
    for name in ("CreateChangeSet", "ExecuteChangeSet", "DescribeStacks", "DescribeStackEvents"):
        assert allows(DEPLOY, f"cloudformation:{name}", f"{STACKS}STACK/0a1b"), name
    transform = "arn:aws:cloudformation:eu-central-1:aws:transform/Serverless-2016-10-31"
    assert allows(DEPLOY, "cloudformation:CreateChangeSet", transform)
    assert allows(DEPLOY, "s3:PutObject", "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a/0a1b")
    imported = {"cloudformation__ImportResourceTypes": ["AWS::KMS::Key"]}
    assert not allows(DEPLOY, "cloudformation:CreateChangeSet", f"{STACKS}STACK/0a1b", **imported)


def test_names_in_the_pipelines_policy_are_those_of_the_template():
    """CloudFormation makes the names of the logical ids. A test of a new name belongs to the policy's list."""
    resources = deployed(ProxyLocks="blue+green", Stage="prod", PublicDomain="x.example", PagesCertificateArn="arn")
    statements = json.dumps(DEPLOY)
    for kind in ("AWS::SecretsManager::Secret", "AWS::Lambda::LayerVersion"):
        names = [name for name, resource in resources.items() if resource["Type"] == kind]
        assert names
        assert [name for name in names if not re.search(rf":(?:secret|layer):{name[:9]}", statements)] == []
    custom = {r["Properties"]["ServiceToken"] for r in resources.values() if r["Type"].startswith("Custom::")}
    assert custom == {"MigrateFunction.Arn", "PublishKeysFunction.Arn"}
    assert "PagesBucket" in resources


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
def test_policy_is_valid_for_iam(policy):
    """moto rejects the grammar errors that IAM rejects."""
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1")
        iam.create_policy(PolicyName="policy", PolicyDocument=json.dumps(policy).replace("ACCOUNT", "123456789012"))
        with pytest.raises(ClientError, match="MalformedPolicyDocument"):
            iam.create_policy(PolicyName="broken", PolicyDocument=json.dumps(policy).replace('"Allow"', '"allow"'))


@pytest.mark.parametrize("policy", [BOUNDARY, DEPLOY], ids=["boundary", "deploy"])
def test_policy_is_short_enough_for_iam(policy):
    """IAM counts the characters without white space: at most 6,144 in a managed policy."""
    text = json.dumps(policy, separators=(",", ":")).replace("ACCOUNT", "123456789012").replace("STACK", "s" * 20)
    assert len(text) <= 6_144


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
