"""What a deployment makes of the database: where it is, who gets in as whom, and that its schema comes first."""

import pytest
from sqlalchemy import URL, make_url

from auth_common.db.migrations import HEAD
from auth_common.db.privileges import CLEANUP_ROLE, PRIVILEGES, SERVICE_ROLE
from tests.support.deployment import deployed, listed, of_type, statements, translated

READ = "secretsmanager:GetSecretValue"
POSTGRESQL = {
    "DatabaseUrl": URL.create("postgresql+psycopg", "service", "hunter2", "db.example").render_as_string(
        hide_password=False
    ),
    "MigrationDatabaseUrl": URL.create("postgresql+psycopg", "owner", "hunter3", "db.example").render_as_string(
        hide_password=False
    ),
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


def test_a_cluster_is_made_that_nobody_deletes_by_mistake():
    cluster = deployed()["Cluster"]
    assert cluster["Type"] == "AWS::DSQL::Cluster"
    assert cluster["Properties"]["DeletionProtectionEnabled"] is True
    assert (cluster["DeletionPolicy"], cluster["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_each_function_gets_in_as_who_it_is_and_without_a_password():
    """ASVS 13.2.1, 13.2.2."""
    urls = {name: make_url(found["DATABASE_URL"]) for name, found in variables().items()}
    assert {url.password for url in urls.values()} == {None}
    assert {url.drivername for url in urls.values()} == {"auroradsql+psycopg"}
    assert {url.host for url in urls.values()} == {"Cluster.dsql.us-east-1.on.aws"}
    users = {name: url.username for name, url in urls.items()}
    assert {name: user for name, user in users.items() if user != SERVICE_ROLE} == {
        "MigrateFunction": "admin",
        "CleanupFunction": CLEANUP_ROLE,
    }


def test_the_schema_lets_in_exactly_those_who_may_connect():
    roles = deployed()["Schema"]["Properties"]["Roles"]
    assert roles.keys() == PRIVILEGES.keys()
    may_connect = {
        f"{name}.Arn"
        for name, role in of_type("AWS::IAM::Role").items()
        for statement in statements(role)
        if "dsql:DbConnect" in listed(statement["Action"])
    }
    let_in = [arn for arns in roles.values() for arn in arns]
    assert sorted(let_in) == sorted(may_connect)
    assert roles[CLEANUP_ROLE] == ["CleanupRole.Arn"]
    assert may_connect == {f"{name.removesuffix('Function')}Role.Arn" for name in variables()} - {"MigrateRole.Arn"}


def test_no_function_runs_before_the_schema_is_that_of_its_version():
    assert deployed()["Schema"]["Properties"]["Revision"] == HEAD
    after = {
        name for name, resource in translated()["Resources"].items() if "Schema" in listed(resource.get("DependsOn"))
    }
    assert variables().keys() - after == {"MigrateFunction"}


def test_a_migration_has_its_time():
    resources = deployed()
    migrate = resources["MigrateFunction"]["Properties"]
    assert migrate["Timeout"] == resources["Schema"]["Properties"]["ServiceTimeout"] == 900
    assert int(migrate["Environment"]["Variables"]["DATABASE_TIMEOUT"]) < migrate["Timeout"]


def test_a_postgresql_of_somebody_elses_takes_the_clusters_place():
    assert not [name for name, resource in deployed(**POSTGRESQL).items() if resource["Type"] == "AWS::DSQL::Cluster"]
    resources = deployed(**POSTGRESQL)
    assert resources["DatabaseUrlSecret"]["Properties"]["SecretString"] == POSTGRESQL["DatabaseUrl"]
    assert resources["MigrationDatabaseUrlSecret"]["Properties"]["SecretString"] == POSTGRESQL["MigrationDatabaseUrl"]
    assert readers("MigrationDatabaseUrlSecret", **POSTGRESQL) == {"Migrate"}
    assert readers("DatabaseUrlSecret", **POSTGRESQL) == {name.removesuffix("Function") for name in variables()} - {
        "Migrate"
    }
    for name, found in variables(**POSTGRESQL).items():
        secret = "MigrationDatabaseUrlSecret" if name == "MigrateFunction" else "DatabaseUrlSecret"
        assert (found["DATABASE_URL"], found["DATABASE_URL_SECRET_ARN"]) == ("", secret)


@pytest.mark.parametrize("parameters", [{}, POSTGRESQL])
def test_no_password_is_in_anybodys_environment(parameters):
    """ASVS 13.3.1."""
    functions = of_type("AWS::Lambda::Function", **parameters)
    assert "hunter" not in str([function["Environment"] for function in functions.values()])


def test_what_the_parameters_say_in_secret_is_not_shown():
    parameters = translated()["Parameters"]
    assert parameters["DatabaseUrl"]["NoEcho"] is parameters["MigrationDatabaseUrl"]["NoEcho"] is True
