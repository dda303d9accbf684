"""The database of a deployment: its address, the database role of each function, and the migration of its schema."""

import hashlib
import json

import pytest
from sqlalchemy import make_url

from auth_common.database.migrations import HEAD
from auth_common.database.privileges import (
    CLEANUP_ROLE,
    CLIENTS_ROLE,
    HEALTH_ROLE,
    INTROSPECTION_ROLE,
    MAIL_ROLE,
    PRIVILEGES,
    READER_ROLE,
    REGISTRATION_ROLE,
    REVOCATION_ROLE,
    SECURING_ROLE,
    SERVICE_ROLE,
)
from auth_common.settings import Settings, Stack
from local_runtime.cloudformation import read_template
from tests.support.deployment import TEMPLATE, as_list, deployed, policy_statements, resources_of_type, translated

pytestmark = [pytest.mark.deployment, pytest.mark.template]

READ = "secretsmanager:GetSecretValue"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
POSTGRESQL = {
    "DatabaseUrlSecretArn": f"{SECRET}functions-1a2b3c",
    "MigrationDatabaseUrlSecretArn": f"{SECRET}owner-4d5e6f",
}
#: How the ARNs of the stack's roles begin. It has the name "local" here.
ROLES_OF_THE_STACK = "arn:aws:iam::123456789012:role/secure-backend/local/"
#: Roles in the database that a function had before. Its previous version runs during a deployment and after a rollback.
ROLES_OF_THE_PREVIOUS_VERSION = {("RegisterRole.Arn", SERVICE_ROLE)}
WITHOUT_DATABASE = {
    "AuthorizerFunction",
    "JwksFunction",
    "PreflightFunction",
    "PublishKeysFunction",
    "WellKnownFunction",
}


def variables(**parameters):
    """Return the environment variables of each function that has a database."""
    functions = resources_of_type("AWS::Lambda::Function", **parameters)
    return {
        name: function["Environment"]["Variables"]
        for name, function in functions.items()
        if name not in WITHOUT_DATABASE
    }


def readers(secret, **parameters):
    """Return the functions that may read a secret."""
    return {
        name.removesuffix("Role")
        for name, role in resources_of_type("AWS::IAM::Role", **parameters).items()
        for statement in policy_statements(role)
        if READ in as_list(statement["Action"]) and secret in as_list(statement["Resource"])
    }


@pytest.mark.threat("database-deleted")
def test_cluster_is_protected_from_deletion():
    cluster = deployed()["Cluster"]
    assert cluster["Type"] == "AWS::DSQL::Cluster"
    assert cluster["Properties"]["DeletionProtectionEnabled"] is True
    assert (cluster["DeletionPolicy"], cluster["UpdateReplacePolicy"]) == ("Retain", "Retain")


@pytest.mark.asvs("13.2.2", "13.2.4")
@pytest.mark.threat("database-stranger-logs-in")
def test_only_roles_of_the_stack_may_log_in_to_the_cluster():
    """Each identity with ``dsql:DbConnectAdmin`` for all clusters, such as an administrator, is rejected."""
    policy = json.loads(deployed()["Cluster"]["Properties"]["PolicyDocument"])
    (statement,) = policy["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Resource"]) == ("Deny", {"AWS": "*"}, "*")
    # Not the administration of the cluster: the deployer could lock themselves out.
    assert statement["Action"] == ["dsql:DbConnect", "dsql:DbConnectAdmin"]
    assert statement["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": f"{ROLES_OF_THE_STACK}*"}}
    assert Stack(deployed()["MigrateFunction"]["Properties"]["Environment"]["Variables"]["STACK_ID"]).role_prefix == (
        ROLES_OF_THE_STACK
    )


def test_cluster_has_a_key_of_its_own_by_parameter():
    assert deployed()["Cluster"]["Properties"]["KmsEncryptionKey"] == "AWS_OWNED_KMS_KEY"
    assert "DatabaseKey" not in deployed()
    own = deployed(DatabaseEncryption="make")
    assert own["Cluster"]["Properties"]["KmsEncryptionKey"] == "DatabaseKey.Arn"
    key = own["DatabaseKey"]
    # A restored backup is unreadable without it.
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert key["Properties"]["EnableKeyRotation"] is True
    (account, service) = key["Properties"]["KeyPolicy"]["Statement"]
    assert (account["Principal"], account["Action"]) == ({"AWS": "arn:aws:iam::123456789012:root"}, "kms:*")
    assert service["Principal"] == {"Service": "dsql.amazonaws.com"}
    assert service["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:dsql:us-east-1:123456789012:cluster/*"},
    }
    assert "DatabaseKey" not in deployed(**POSTGRESQL, DatabaseEncryption="make")


@pytest.mark.threat("deployment-custom-resource-call")
def test_only_custom_resources_know_their_stack():
    functions = resources_of_type("AWS::Lambda::Function")
    stacks = {name: f["Environment"]["Variables"].get("STACK_ID") for name, f in functions.items()}
    assert {name for name, stack in stacks.items() if stack} == {"MigrateFunction", "PublishKeysFunction"}


@pytest.mark.asvs("12.3.5", "13.2.1")
@pytest.mark.threat("database-stranger-logs-in")
def test_function_connects_with_its_role_and_without_a_password():
    """ASVS 13.2.1, 13.2.2: no password, and a database role with the privileges that the function needs."""
    urls = {name: make_url(found["DATABASE_URL"]) for name, found in variables().items()}
    assert {url.password for url in urls.values()} == {None}
    assert {url.drivername for url in urls.values()} == {"auroradsql+psycopg"}
    assert {url.host for url in urls.values()} == {"Cluster.dsql.us-east-1.on.aws"}
    users = {name: url.username for name, url in urls.items()}
    assert {name: user for name, user in users.items() if user != SERVICE_ROLE} == {
        "RegisterFunction": REGISTRATION_ROLE,
        "SecureAccountFunction": SECURING_ROLE,
        "RevokeFunction": REVOCATION_ROLE,
        "IntrospectFunction": INTROSPECTION_ROLE,
        "TokenFunction": CLIENTS_ROLE,
        "GetUserFunction": READER_ROLE,
        "AuditFunction": READER_ROLE,
        "HealthFunction": HEALTH_ROLE,
        "CleanupFunction": CLEANUP_ROLE,
        "SendMailFunction": MAIL_ROLE,
        "MailFeedbackFunction": MAIL_ROLE,
        "MigrateFunction": "admin",
    }


@pytest.mark.threat("database-stranger-logs-in")
def test_schema_maps_each_function_role_to_its_database_role():
    roles = deployed()["Schema"]["Properties"]["Roles"]
    assert roles.keys() == PRIVILEGES.keys()
    may_connect = {
        f"{name}.Arn"
        for name, role in resources_of_type("AWS::IAM::Role").items()
        for statement in policy_statements(role)
        if "dsql:DbConnect" in as_list(statement["Action"])
    }
    mapped = {(arn, role) for role, arns in roles.items() for arn in arns}
    assert {arn for arn, _ in mapped} == may_connect
    assert mapped - ROLES_OF_THE_PREVIOUS_VERSION == {
        (f"{name.removesuffix('Function')}Role.Arn", make_url(found["DATABASE_URL"]).username)
        for name, found in variables().items()
        if name != "MigrateFunction"
    }
    assert mapped >= ROLES_OF_THE_PREVIOUS_VERSION


@pytest.mark.threat("deployment-half-done")
def test_functions_are_deployed_after_the_schema():
    resources = translated()["Resources"]
    after = {name for name, resource in resources.items() if "Schema" in as_list(resource.get("DependsOn"))}
    assert variables().keys() - after == {"MigrateFunction"}


def test_changed_schema_privileges_or_database_run_the_migration():
    properties = deployed()["Schema"]["Properties"]
    assert properties["Revision"] == HEAD
    privileges = json.dumps({role: {table: list(of) for table, of in may.items()} for role, may in PRIVILEGES.items()})
    assert properties["Privileges"] == hashlib.sha256(privileges.encode()).hexdigest()[:16]
    assert properties["Database"] == "Cluster"
    assert deployed(**POSTGRESQL)["Schema"]["Properties"]["Database"] == POSTGRESQL["MigrationDatabaseUrlSecretArn"]


@pytest.mark.threat("deployment-half-done")
@pytest.mark.parametrize(("function", "resource"), [("Migrate", "Schema"), ("PublishKeys", "PublicKeys")])
def test_custom_resource_timeout_exceeds_its_functions_timeout(function, resource):
    """Without a ServiceTimeout, CloudFormation would wait an hour for the response of a function that failed."""
    timeout = deployed()[f"{function}Function"]["Properties"]["Timeout"]
    assert timeout < deployed()[resource]["Properties"]["ServiceTimeout"] <= timeout + 60
    configurations = resources_of_type("AWS::Lambda::EventInvokeConfig").values()
    (once,) = [each for each in configurations if each["FunctionName"] == f"{function}Function"]
    assert once["MaximumRetryAttempts"] == 0


@pytest.mark.threat("deployment-readable-parameters")
def test_own_postgresql_replaces_the_cluster():
    assert not [name for name, resource in deployed(**POSTGRESQL).items() if resource["Type"] == "AWS::DSQL::Cluster"]
    functions, owner = POSTGRESQL.values()
    assert readers(owner, **POSTGRESQL) == {"Migrate", "BreakGlass"}
    assert readers(functions, **POSTGRESQL) == {name.removesuffix("Function") for name in variables()} - {"Migrate"}
    for name, found in variables(**POSTGRESQL).items():
        secret = owner if name == "MigrateFunction" else functions
        assert (found["DATABASE_URL"], found["DATABASE_URL_SECRET_ARN"]) == ("", secret)


@pytest.mark.threat("deployment-readable-parameters")
def test_parameters_have_no_noecho():
    """``sam deploy --guided`` repeats its prompt endlessly for a NoEcho parameter whose value may be empty."""
    parameters = read_template(TEMPLATE)["Parameters"]
    assert [name for name, parameter in parameters.items() if "NoEcho" in parameter] == []


def test_statement_timeout_is_shorter_than_the_functions():
    """Otherwise Lambda ends the environment before the function returns 503. A request may reach the timeout twice."""
    for name, function in resources_of_type("AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        timeout = float(variables.get("DATABASE_TIMEOUT", Settings().database_timeout))
        assert 2 * timeout < function["Timeout"], name


@pytest.mark.parametrize("name", ["Audit", "Cleanup"])
def test_functions_that_read_whole_tables_have_a_longer_timeout(name):
    variables = deployed()[f"{name}Function"]["Properties"]["Environment"]["Variables"]
    assert float(variables["DATABASE_TIMEOUT"]) > Settings().database_timeout
