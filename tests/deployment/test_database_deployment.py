"""What a deployment makes of the database: where it is, who gets in as whom, and that its schema comes first."""

import hashlib
import json

import pytest
from sqlalchemy import make_url

from auth_common.database.migrations import HEAD
from auth_common.database.privileges import CLEANUP_ROLE, HEALTH_ROLE, PRIVILEGES, READER_ROLE, SERVICE_ROLE
from auth_common.settings import Settings
from local_runtime.cloudformation import read_template
from tests.support.deployment import TEMPLATE, deployed, listed, of_type, statements, translated

pytestmark = [pytest.mark.deployment, pytest.mark.template]

READ = "secretsmanager:GetSecretValue"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
POSTGRESQL = {
    "DatabaseUrlSecretArn": f"{SECRET}functions-1a2b3c",
    "MigrationDatabaseUrlSecretArn": f"{SECRET}owner-4d5e6f",
}
#: Functions without a database.
WITHOUT = {"AuthorizerFunction", "JwksFunction", "PublishKeysFunction"}


def variables(**parameters):
    functions = of_type("AWS::Lambda::Function", **parameters)
    return {name: function["Environment"]["Variables"] for name, function in functions.items() if name not in WITHOUT}


def readers(secret, **parameters):
    return {
        name.removesuffix("Role")
        for name, role in of_type("AWS::IAM::Role", **parameters).items()
        for statement in statements(role)
        if READ in listed(statement["Action"]) and secret in listed(statement["Resource"])
    }


@pytest.mark.threat("database-deleted")
def test_a_cluster_is_made_that_nobody_deletes_by_mistake():
    cluster = deployed()["Cluster"]
    assert cluster["Type"] == "AWS::DSQL::Cluster"
    assert cluster["Properties"]["DeletionProtectionEnabled"] is True
    assert (cluster["DeletionPolicy"], cluster["UpdateReplacePolicy"]) == ("Retain", "Retain")


@pytest.mark.asvs("12.3.5", "13.2.1")
@pytest.mark.threat("database-stranger-logs-in")
def test_each_function_gets_in_as_who_it_is_and_without_a_password():
    """ASVS 13.2.1, 13.2.2."""
    urls = {name: make_url(found["DATABASE_URL"]) for name, found in variables().items()}
    assert {url.password for url in urls.values()} == {None}
    assert {url.drivername for url in urls.values()} == {"auroradsql+psycopg"}
    assert {url.host for url in urls.values()} == {"Cluster.dsql.us-east-1.on.aws"}
    users = {name: url.username for name, url in urls.items()}
    assert {name: user for name, user in users.items() if user != SERVICE_ROLE} == {
        "GetUserFunction": READER_ROLE,
        "AuditFunction": READER_ROLE,
        "HealthFunction": HEALTH_ROLE,
        "CleanupFunction": CLEANUP_ROLE,
        "MigrateFunction": "admin",
    }


@pytest.mark.threat("database-stranger-logs-in")
def test_the_schema_lets_in_each_who_may_connect_as_who_it_is():
    roles = deployed()["Schema"]["Properties"]["Roles"]
    assert roles.keys() == PRIVILEGES.keys()
    may_connect = {
        f"{name}.Arn"
        for name, role in of_type("AWS::IAM::Role").items()
        for statement in statements(role)
        if "dsql:DbConnect" in listed(statement["Action"])
    }
    let_in = {arn: role for role, arns in roles.items() for arn in arns}
    assert let_in.keys() == may_connect
    assert let_in == {
        f"{name.removesuffix('Function')}Role.Arn": make_url(found["DATABASE_URL"]).username
        for name, found in variables().items()
        if name != "MigrateFunction"
    }


@pytest.mark.threat("deployment-half-done")
def test_no_function_runs_before_the_schema_is_that_of_its_version():
    resources = translated()["Resources"]
    after = {name for name, resource in resources.items() if "Schema" in listed(resource.get("DependsOn"))}
    assert variables().keys() - after == {"MigrateFunction"}


def test_cloudformation_asks_again_where_schema_privileges_or_database_are_others():
    properties = deployed()["Schema"]["Properties"]
    assert properties["Revision"] == HEAD
    privileges = json.dumps({role: {table: list(of) for table, of in may.items()} for role, may in PRIVILEGES.items()})
    assert properties["Privileges"] == hashlib.sha256(privileges.encode()).hexdigest()[:16]
    assert properties["Database"] == "Cluster"
    assert deployed(**POSTGRESQL)["Schema"]["Properties"]["Database"] == POSTGRESQL["MigrationDatabaseUrlSecretArn"]


@pytest.mark.threat("deployment-half-done")
@pytest.mark.parametrize(("function", "resource"), [("Migrate", "Schema"), ("PublishKeys", "PublicKeys")])
def test_cloudformation_waits_a_little_longer_than_the_function_runs_once(function, resource):
    """Otherwise it would wait for an hour for a response that does not come."""
    timeout = deployed()[f"{function}Function"]["Properties"]["Timeout"]
    assert timeout < deployed()[resource]["Properties"]["ServiceTimeout"] <= timeout + 60
    configurations = of_type("AWS::Lambda::EventInvokeConfig").values()
    (once,) = [each for each in configurations if each["FunctionName"] == f"{function}Function"]
    assert once["MaximumRetryAttempts"] == 0


@pytest.mark.threat("deployment-readable-parameters")
def test_a_postgresql_of_ones_own_takes_the_clusters_place():
    assert not [name for name, resource in deployed(**POSTGRESQL).items() if resource["Type"] == "AWS::DSQL::Cluster"]
    functions, owner = POSTGRESQL.values()
    assert readers(owner, **POSTGRESQL) == {"Migrate"}
    assert readers(functions, **POSTGRESQL) == {name.removesuffix("Function") for name in variables()} - {"Migrate"}
    for name, found in variables(**POSTGRESQL).items():
        secret = owner if name == "MigrateFunction" else functions
        assert (found["DATABASE_URL"], found["DATABASE_URL_SECRET_ARN"]) == ("", secret)


@pytest.mark.threat("deployment-readable-parameters")
def test_sam_can_ask_for_every_parameter():
    """It repeats its question for ever where one must not be shown and may be empty."""
    parameters = read_template(TEMPLATE)["Parameters"]
    assert [name for name, parameter in parameters.items() if "NoEcho" in parameter] == []


def test_a_statement_ends_before_lambda_ends_its_function():
    """So the caller gets a 503, and the environment lives on. A request that fails may ask the database twice."""
    for name, function in of_type("AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        timeout = float(variables.get("DATABASE_TIMEOUT", Settings().database_timeout))
        assert 2 * timeout < function["Timeout"], name


@pytest.mark.parametrize("name", ["Audit", "Cleanup"])
def test_what_reads_whole_tables_may_take_longer_than_a_login(name):
    variables = deployed()[f"{name}Function"]["Properties"]["Environment"]["Variables"]
    assert float(variables["DATABASE_TIMEOUT"]) > Settings().database_timeout
