"""Backups of the cluster, and the steps of docs/runbooks/restore-the-database.md, in the deployed template."""

import json
import re

import pytest
from sqlalchemy import make_url

from local_runtime.cloudformation import read_template
from tests.support.combinations import conditions_in
from tests.support.deployment import (
    TEMPLATE,
    as_list,
    deployed,
    policy_statements,
    rejections,
    resources_of_type,
    translated,
)
from tests.support.documentation import PAGES, blocks
from tests.support.runtime import PROJECT

pytestmark = [pytest.mark.deployment, pytest.mark.template]

RESTORED = {"ClusterIdentifier": "abcdefghijklmnopqrstuvwxyz"}
RESTORED_ARN = f"arn:aws:dsql:us-east-1:123456789012:cluster/{RESTORED['ClusterIdentifier']}"
CLOSED = {"Service": "closed"}
BACKUP_TYPES = {"AWS::Backup::BackupVault", "AWS::Backup::BackupPlan", "AWS::Backup::BackupSelection"}


def types(**parameters):
    return {resource["Type"] for resource in deployed(**parameters).values()}


def without_deployment(**parameters):
    """Return the resources except the deployment of the gateway, whose name is a hash of the whole API."""
    return {
        name: {**resource, "Properties": {k: v for k, v in resource["Properties"].items() if k != "DeploymentId"}}
        for name, resource in deployed(**parameters).items()
        if resource["Type"] != "AWS::ApiGateway::Deployment"
    }


@pytest.mark.threat("database-deleted")
@pytest.mark.parametrize(("parameters", "arn"), [({}, "Cluster.ResourceArn"), (RESTORED, RESTORED_ARN)])
def test_backups_are_of_the_cluster_that_functions_use(parameters, arn):
    (selection,) = resources_of_type("AWS::Backup::BackupSelection", **parameters).values()
    assert selection["BackupSelection"]["Resources"] == [arn]
    assert selection["BackupSelection"]["IamRoleArn"] == "BackupRole.Arn"
    connecting = {
        resource
        for role in resources_of_type("AWS::IAM::Role", **parameters).values()
        for statement in policy_statements(role)
        if {"dsql:DbConnect", "dsql:DbConnectAdmin"} & {*as_list(statement["Action"])}
        for resource in as_list(statement["Resource"])
    }
    assert connecting == {arn}


@pytest.mark.parametrize("off", [{"Backups": "off"}, {"Stage": "local"}, {"DatabaseUrlSecretArn": "arn:aws:x"}])
def test_backups_are_made_only_of_a_cluster_and_only_if_wanted(off):
    assert types() >= BACKUP_TYPES
    assert types(**off) & BACKUP_TYPES == set()


@pytest.mark.threat("database-deleted")
def test_backups_outlive_the_stack_in_a_locked_encrypted_vault():
    resources = deployed(BackupRetentionDays="90")
    vault = resources["BackupVault"]
    assert vault["Properties"]["EncryptionKeyArn"] == "BackupKey.Arn"
    assert vault["Properties"]["LockConfiguration"]["MinRetentionDays"] == 7
    for name in ("BackupVault", "BackupKey"):
        policies = resources[name]["DeletionPolicy"], resources[name]["UpdateReplacePolicy"]
        assert policies == ("RetainExceptOnCreate", "Retain")
    (rule,) = resources["BackupPlan"]["Properties"]["BackupPlan"]["BackupPlanRule"]
    assert (rule["TargetBackupVault"], rule["Lifecycle"]) == ("BackupVault", {"DeleteAfterDays": "90"})
    # A retention below the vault's minimum makes each backup fail.
    assert read_template(TEMPLATE)["Parameters"]["BackupRetentionDays"]["MinValue"] == 7


def test_failed_backup_notifies_the_topic():
    rule = deployed()["BackupFailedRule"]["Properties"]
    assert [target["Arn"] for target in rule["Targets"]] == ["AlarmTopic"]
    assert "EXPIRED" in rule["EventPattern"]["detail"]["state"]
    (page,) = re.findall(r"docs/runbooks/[a-z-]+\.md", rule["Description"])
    assert (PROJECT / page).exists()


# --- The steps of a restore ------------------------------------------------------------------------------------------


@pytest.mark.threat("deployment-half-done")
def test_closed_service_rejects_every_request_and_runs_no_schedule():
    (stage,) = resources_of_type("AWS::ApiGateway::Stage", **CLOSED).values()
    limits = {m[limit] for m in stage["MethodSettings"] for limit in ("ThrottlingRateLimit", "ThrottlingBurstLimit")}
    assert limits == {0}
    schedules = resources_of_type("AWS::Scheduler::Schedule", MailFrom="no-reply@example.com", **CLOSED)
    assert {schedule["State"] for schedule in schedules.values()} == {"DISABLED"}
    opened = resources_of_type("AWS::Scheduler::Schedule", MailFrom="no-reply@example.com")
    assert {schedule["State"] for schedule in opened.values()} == {"ENABLED"}


def test_closing_changes_only_the_gateways_limits_and_schedules():
    """The functions of the deployment still run: the migration and the public keys of the next step."""
    opened, closed = without_deployment(), without_deployment(**CLOSED)
    assert opened.keys() == closed.keys()
    changed = {opened[name]["Type"] for name in opened if opened[name] != closed[name]}
    assert changed == {"AWS::ApiGateway::Stage", "AWS::Scheduler::Schedule"}


def test_restored_cluster_replaces_the_stacks_cluster_everywhere():
    """The schema's custom resource runs again, all functions get a new version, and the old cluster stays."""
    before, after = without_deployment(), without_deployment(**RESTORED)
    assert before.keys() - after.keys() == {"Cluster"}
    assert before["Cluster"]["DeletionPolicy"] == "Retain"
    assert after["Schema"]["Properties"]["Database"] == RESTORED["ClusterIdentifier"]
    assert RESTORED["ClusterIdentifier"] in after["PublicKeys"]["Properties"]["Configuration"]
    urls = [
        make_url(function["Environment"]["Variables"]["DATABASE_URL"])
        for function in resources_of_type("AWS::Lambda::Function", **RESTORED).values()
    ]
    assert {url.host for url in urls} == {f"{RESTORED['ClusterIdentifier']}.dsql.us-east-1.on.aws"}


def test_both_a_cluster_and_a_postgresql_are_rejected():
    postgresql = dict.fromkeys(("DatabaseUrlSecretArn", "MigrationDatabaseUrlSecretArn"), "arn:aws:secretsmanager:x")
    assert rejections(**postgresql) == rejections(**RESTORED) == set()
    assert rejections(**postgresql, **RESTORED) == {"Database"}


def test_outputs_that_the_runbook_names_exist():
    text = (PROJECT / "docs/runbooks/restore-the-database.md").read_text()
    named = set(re.findall(r"is the output `(\w+)`", text))
    assert named == {"BackupVaultName", "BackupRoleArn"}
    outputs = translated()["Outputs"]
    assert named <= outputs.keys()
    assert {*conditions_in([outputs[name] for name in named])} == {"HasBackups"}


@pytest.mark.threat("database-stranger-logs-in")
def test_policy_in_the_runbook_is_that_of_the_stacks_cluster():
    text = (PROJECT / "docs/runbooks/restore-the-database.md").read_text()
    (documented,) = blocks(text, "json")
    filled = documented.replace("ACCOUNT", "123456789012").replace("STACK", "local")
    assert json.loads(filled) == json.loads(deployed()["Cluster"]["Properties"]["PolicyDocument"])
    assert text.index(documented) < text.index("ClusterIdentifier=")


OVERRIDES = [
    (str(page), name, value)
    for page, text in PAGES.items()
    for block in blocks(text, "sh")
    for listed in re.findall(r"--parameter-overrides ((?:[ \\\n]*\w+=\S+)+)", block)
    for name, value in re.findall(r"(\w+)=(\S+)", listed)
]


def test_parameters_in_documented_deployments_exist_with_these_values():
    parameters = read_template(TEMPLATE)["Parameters"]
    assert {"Service", "ClusterIdentifier", "SigningKeys", "ProxyLocks"} <= {name for _, name, _ in OVERRIDES}
    for page, name, value in OVERRIDES:
        allowed = parameters[name].get("AllowedValues", [value])
        assert value in map(str, allowed), page
        assert re.search(parameters[name].get("AllowedPattern", ""), value), page
