"""Identities of the AWS account outside the stack: what they are denied, and which of their calls raise an alarm."""

import json
import re
from fnmatch import fnmatchcase

import pytest

from tests.support.deployment import as_list, deployed, resources_of_type
from tests.support.event_patterns import matches
from tests.support.runtime import PROJECT

pytestmark = [pytest.mark.deployment, pytest.mark.template]

ACCOUNT = "arn:aws:iam::123456789012"
FUNCTION = f"{ACCOUNT}:role/secure-backend/local/local-LoginRole-1A2B3C"
OPERATOR = f"{ACCOUNT}:role/secure-backend/local/local-BreakGlassRole-7G8H9I"
#: As ``aws:PrincipalArn`` shows them: the root user, a user, an administrator, a role with the name of one of ours, a
#: role of another stack and of another account.
OTHERS = [
    f"{ACCOUNT}:root",
    f"{ACCOUNT}:user/secure-backend/local/admin",
    f"{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_AdministratorAccess_0a1b",
    f"{ACCOUNT}:role/local-LoginRole-1A2B3C",
    f"{ACCOUNT}:role/secure-backend/local-dev/local-dev-LoginRole-1A2B3C",
    FUNCTION.replace("123456789012", "999999999999"),
]
SMTP = {
    "MailFrom": "no-reply@example.com",
    "SmtpUrlSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:smtp-1a2b3c",
}


def denied(policy):
    """Return what a policy denies: actions, and a function that says whether it denies them to a principal."""
    (statement,) = [each for each in policy["Statement"] if each["Effect"] == "Deny"]
    assert (statement["Principal"], statement["Resource"]) == ({"AWS": "*"}, "*")
    ((operator, keys),) = statement["Condition"].items()
    ((key, pattern),) = keys.items()
    assert (operator, key) == ("ArnNotLike", "aws:PrincipalArn")
    return as_list(statement["Action"]), lambda principal: not fnmatchcase(principal, pattern)


def policies(**parameters):
    """Return the policies of the signing keys, of the secrets and of the cluster, by logical id."""
    found = deployed(SigningKeys="blue+green", **parameters)
    keys = {name: found[name]["Properties"]["KeyPolicy"] for name in ("SigningKeyBlue", "SigningKeyGreen")}
    secrets = {
        resource["Properties"]["SecretId"]: resource["Properties"]["ResourcePolicy"]
        for resource in found.values()
        if resource["Type"] == "AWS::SecretsManager::ResourcePolicy"
    }
    return {**keys, **secrets, "Cluster": json.loads(found["Cluster"]["Properties"]["PolicyDocument"])}


@pytest.mark.asvs("13.3.2")
@pytest.mark.threat("signing-key-misuse", "secrets-read", "database-stranger-logs-in")
@pytest.mark.parametrize("principal", OTHERS)
def test_other_identities_can_neither_sign_nor_read_secrets_nor_log_in(principal):
    """An explicit Deny of the resource's policy wins against ``AdministratorAccess`` and against a grant of KMS."""
    found = policies(**SMTP)
    actions = {name: denied(policy)[0] for name, policy in found.items()}
    assert actions == {
        "SigningKeyBlue": ["kms:Sign"],
        "SigningKeyGreen": ["kms:Sign"],
        **{name: ["secretsmanager:GetSecretValue"] for name in ("Pepper", "AuditKey", SMTP["SmtpUrlSecretArn"])},
        "Cluster": ["dsql:DbConnect", "dsql:DbConnectAdmin"],
    }
    assert [name for name, policy in found.items() if not denied(policy)[1](principal)] == []


def test_roles_of_the_stack_are_not_denied():
    for principal in (FUNCTION, OPERATOR):
        assert [name for name, policy in policies(**SMTP).items() if denied(policy)[1](principal)] == []


def test_deployer_keeps_the_administration_of_keys_and_secrets():
    """A policy that denied it would lock the deployer out of a key or secret for ever."""
    administration = {"kms:*", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:GetPublicKey", "kms:DescribeKey"}
    administration |= {f"secretsmanager:{name}" for name in ("*", "DeleteResourcePolicy", "PutResourcePolicy")}
    for policy in policies(**SMTP).values():
        assert not administration & set(denied(policy)[0])
    for name in ("SigningKeyBlue", "SigningKeyGreen"):
        allowed = [each for each in policies()[name]["Statement"] if each["Effect"] == "Allow"]
        assert [(each["Principal"], each["Action"]) for each in allowed] == [({"AWS": f"{ACCOUNT}:root"}, "kms:*")]


def test_secret_of_the_smtp_server_keeps_a_policy_of_the_deployer():
    assert SMTP["SmtpUrlSecretArn"] not in policies(**SMTP, SmtpUrlSecretPolicy="there")
    assert policies().keys() == {"SigningKeyBlue", "SigningKeyGreen", "Pepper", "AuditKey", "Cluster"}


def call(source, name, *, by=None, identity=None, address="198.51.100.7", **detail):
    """Return the event of a call that CloudTrail reports. ``by`` is the role of the session that made it."""
    session = {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"type": "Role", "arn": by}}}
    return {
        "source": f"aws.{source}",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventSource": f"{source}.amazonaws.com",
            "eventName": name,
            "sourceIPAddress": address,
            "userIdentity": identity or session,
            **detail,
        },
    }


def alarms(event, **parameters):
    """Return the rules that report an event."""
    rules = resources_of_type("AWS::Events::Rule", **parameters)
    return {name.removesuffix("Rule") for name, rule in rules.items() if matches(rule["EventPattern"], event)}


ADMIN = OTHERS[2]
ROOT = {"type": "Root", "arn": f"{ACCOUNT}:root"}
USER = {"type": "IAMUser", "arn": f"{ACCOUNT}:user/admin", "userName": "admin"}
PEPPER = "arn:aws:secretsmanager:us-east-1:123456789012:secret:Pepper-a1B2c3D4e5F6"
CLOUDFORMATION = "cloudformation.amazonaws.com"


def reading(secret, **options):
    return call("secretsmanager", "GetSecretValue", requestParameters={"secretId": secret}, **options)


@pytest.mark.asvs("16.2.1", "16.3.3")
@pytest.mark.threat("secrets-read", "signing-key-misuse")
@pytest.mark.parametrize("who", [{"by": ADMIN}, {"by": "BreakGlassRole.Arn"}, {"identity": ROOT}, {"identity": USER}])
def test_secret_read_or_signature_by_another_identity_raises_an_alarm(who):
    """A call names a secret by its ARN, by the ARN without its random end, or by its name."""
    for secret in (f"{PEPPER}-x1y2z3", PEPPER, "Pepper-a1B2c3D4e5F6", "AuditKey-a1B2c3D4e5F6"):
        assert alarms(reading(secret, **who)) == {"SecretAccess"}, secret
    for name in ("DatabaseUrl-functions", "DatabaseUrl-migrations", "SmtpUrl-auth"):
        for secret in (name, f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-1a2b3c"):
            assert alarms(reading(secret, **who)) == {"SecretAccess"}, secret
    urls = {
        "DatabaseUrlSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:functions-1a2b3c",
        "MigrationDatabaseUrlSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:owner-4d5e6f",
    }
    for secret in urls.values():
        assert (alarms(reading(secret, **who), **urls), alarms(reading(secret, **who))) == ({"SecretAccess"}, set())
    smtp = SMTP["SmtpUrlSecretArn"]
    assert (alarms(reading(smtp, **who), **SMTP), alarms(reading(smtp, **who))) == ({"SecretAccess"}, set())
    for key, expected in (("SigningKeyBlue.Arn", {"SecretAccess"}), ("arn:aws:kms:::key/other", set())):
        signed = call("kms", "Sign", resources=[{"ARN": "x"}, {"ARN": key, "type": "AWS::KMS::Key"}], **who)
        assert alarms(signed) == expected


@pytest.mark.asvs("16.3.3")
@pytest.mark.parametrize("who", [{"by": ADMIN}, {"identity": USER}])
def test_operator_who_assumes_the_role_raises_an_alarm(who):
    """An operator who only connects to the database reads no secret, and CloudTrail reports no connection."""
    assumed = call("sts", "AssumeRole", requestParameters={"roleArn": "BreakGlassRole.Arn"}, **who)
    assert alarms(assumed) == {"SecretAccess"}
    other = call("sts", "AssumeRole", requestParameters={"roleArn": ADMIN}, resources=[{"ARN": ADMIN}], **who)
    assert alarms(other) == set()


def test_deployments_own_changes_of_alarms_raise_no_alarm():
    """A first deployment makes dozens of alarms. The start of the deployment is reported."""
    for source, name in (("monitoring", "PutMetricAlarm"), ("events", "PutRule"), ("wafv2", "UpdateWebACL")):
        assert alarms(call(source, name, by=ADMIN, address=CLOUDFORMATION)) == set()


def test_secret_read_or_signature_by_a_function_raises_no_alarm():
    """Every login would. Functions of other stacks read secrets of their own, which have the same kind of name."""
    for role in (FUNCTION, FUNCTION.replace("/local/", "/other/")):
        assert alarms(reading(f"{PEPPER}-x1y2z3", by=role)) == set()
    assert alarms(call("kms", "Sign", by=FUNCTION, resources=[{"ARN": "SigningKeyBlue.Arn"}])) == set()
    assert alarms(reading("another-secret", by=ADMIN)) == set()


def test_names_of_secrets_in_the_guide_are_those_that_the_alarm_knows():
    names = re.findall(r"create-secret --name (\S+)", (PROJECT / "docs" / "deploy.md").read_text())
    assert len(names) == 3
    assert {name: alarms(reading(name, by=ADMIN)) for name in names} == {name: {"SecretAccess"} for name in names}


def test_rule_for_reads_gets_read_only_events():
    """EventBridge, "Receiving read-only management events": the state ENABLED leaves them out."""
    states = {name: rule.get("State") for name, rule in resources_of_type("AWS::Events::Rule").items()}
    assert states["SecretAccessRule"] == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"


@pytest.mark.asvs("16.3.3")
@pytest.mark.threat("deployment-replaced-code")
@pytest.mark.parametrize(
    ("source", "name", "alarm"),
    [
        ("lambda", "UpdateFunctionCode20150331v2", "FunctionChanges"),
        # Its role can be one of the stack's, which can read the secrets and sign.
        ("lambda", "CreateFunction20150331", "FunctionChanges"),
        ("lambda", "CreateFunctionUrlConfig", "FunctionChanges"),
        ("lambda", "UpdateFunctionConfiguration20150331v2", "FunctionChanges"),
        ("lambda", "UpdateAlias20150331", "FunctionChanges"),
        ("lambda", "AddPermission20150331v2", "FunctionChanges"),
        ("iam", "CreateRole", "AccessChanges"),
        ("iam", "UpdateAssumeRolePolicy", "AccessChanges"),
        ("iam", "PutRolePolicy", "AccessChanges"),
        ("apigateway", "UpdateAuthorizer", "AccessChanges"),
        ("apigateway", "CreateDeployment", "AccessChanges"),
        # A second stage has no firewall, and the domain can lead to another API.
        ("apigateway", "CreateStage", "AccessChanges"),
        ("apigateway", "UpdateBasePathMapping", "AccessChanges"),
        # Another origin, function or record leads the users' passwords to an attacker.
        ("cloudfront", "UpdateDistribution2020_05_31", "AccessChanges"),
        ("cloudfront", "PublishFunction", "AccessChanges"),
        ("route53", "ChangeResourceRecordSets", "AccessChanges"),
        ("dsql", "PutClusterPolicy", "AccessChanges"),
        ("dsql", "DeleteClusterPolicy", "AccessChanges"),
        ("secretsmanager", "ReplicateSecretToRegions", "KeyAccess"),
        ("kms", "PutKeyPolicy", "KeyAccess"),
        # Each of these silences the alarms, although the trail, the rule and the alarm still exist.
        ("cloudtrail", "PutEventSelectors", "KeyAccess"),
        ("events", "PutRule", "KeyAccess"),
        ("events", "PutTargets", "KeyAccess"),
        ("monitoring", "PutMetricAlarm", "KeyAccess"),
        ("sns", "SetSubscriptionAttributes", "KeyAccess"),
        ("backup", "DeleteRecoveryPoint", "KeyAccess"),
        # A restored cluster has no policy, so an administrator can read all accounts there.
        ("backup", "StartRestoreJob", "KeyAccess"),
    ],
)
def test_change_outside_a_deployment_raises_an_alarm(source, name, alarm):
    for who in ({"by": ADMIN}, {"identity": ROOT}, {"by": FUNCTION}):
        assert alarms(call(source, name, **who)) == {alarm}
    if alarm != "KeyAccess":
        assert alarms(call(source, name, by=ADMIN, address=CLOUDFORMATION)) == set()


def test_deployment_of_the_stack_raises_one_alarm():
    """A deployment by an attacker would otherwise be silent, because the changes that it makes are left out."""
    for name in ("ExecuteChangeSet", "UpdateStack"):
        for stack in ("local", "arn:aws:cloudformation:us-east-1:123456789012:stack/local/0"):
            event = call("cloudformation", name, by=ADMIN, requestParameters={"stackName": stack})
            assert alarms(event) == {"FunctionChanges"}
    other = call("cloudformation", "UpdateStack", by=ADMIN, requestParameters={"stackName": "another"})
    assert alarms(other) == set()
    assert alarms(call("lambda", "GetFunction20150331v2", by=ADMIN)) == set()
