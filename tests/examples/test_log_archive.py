"""The example of an account with a copy of the logs: what has arrived cannot be changed or deleted."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from local_runtime.cloudformation import Intrinsics, read_template
from tests.support.deployment import as_list, deployed, policy_statements, resources_of_type
from tests.support.runtime import PROJECT, run_command
from tools.uv_path import uv_path

TEMPLATE = PROJECT / "examples" / "log-archive" / "template.yaml"
SOURCE = "210987654321"
ARCHIVE = {"LogArchiveDestinationArn": "arn:aws:logs:us-east-1:210987654321:destination:archive"}


def resources(**parameters):
    document = read_template(TEMPLATE)
    given = {"SourceAccount": SOURCE, "LockMode": "COMPLIANCE", "AlarmEmail": "security@example.com", **parameters}
    for name, value in given.items():
        document["Parameters"][name]["Default"] = value
    intrinsics = Intrinsics(document)
    return {name: intrinsics.resolve(resource["Properties"]) for name, resource in intrinsics.resources.items()}


@pytest.mark.threat("logs-deleted")
@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_attacker_cannot_delete_or_unlock_a_line_that_has_arrived(mode):
    """With the lock of the template. moto emulates Object Lock, also its rejections."""
    lock = resources(LockMode=mode)["Bucket"]["ObjectLockConfiguration"]
    retention = lock["Rule"]["DefaultRetention"]
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="archive", ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": retention["Mode"], "Days": int(retention["Days"])}}
        s3.put_object_lock_configuration(
            Bucket="archive", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        version = s3.put_object(Bucket="archive", Key="logs/line", Body=b"evidence")["VersionId"]

        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(Bucket="archive", Key="logs/line", VersionId=version)
        # A new file of the same name, or a deletion without a version, leaves the locked version.
        s3.put_object(Bucket="archive", Key="logs/line", Body=b"forged")
        s3.delete_object(Bucket="archive", Key="logs/line")
        kept = s3.get_object(Bucket="archive", Key="logs/line", VersionId=version)
        assert kept["Body"].read() == b"evidence"
        assert kept["ObjectLockMode"] == mode


@pytest.mark.threat("logs-deleted")
def test_locked_lines_need_no_key_that_a_user_can_delete():
    """Object Lock does not protect a key of KMS, whose deletion makes each locked line unreadable."""
    (rule,) = resources()["Bucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


@pytest.mark.threat("logs-deleted")
def test_stream_may_write_and_neither_delete_nor_unlock():
    found = resources()
    actions = {
        a for role in ("StreamRole", "LogsRole") for s in policy_statements(found[role]) for a in as_list(s["Action"])
    }
    assert actions == {
        *("s3:AbortMultipartUpload", "s3:PutObject", "s3:GetBucketLocation", "s3:ListBucket"),
        *("s3:ListBucketMultipartUploads", "firehose:PutRecord", "firehose:PutRecordBatch"),
    }
    assert set(found["Bucket"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert found["Bucket"]["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.asvs("16.4.3")
def test_only_the_account_of_the_service_may_send_logs():
    (allowed,) = json.loads(resources()["Destination"]["DestinationPolicy"])["Statement"]
    assert (allowed["Principal"], allowed["Action"]) == ({"AWS": SOURCE}, "logs:PutSubscriptionFilter")
    (trust,) = resources()["LogsRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert {arn.split(":")[4] for arn in trust["Condition"]["StringLike"]["aws:SourceArn"]} == {SOURCE, "123456789012"}


def test_silence_and_delay_of_the_copying_raise_alarms():
    found = resources()
    alarms = [each for name, each in found.items() if name in {"SilenceAlarm", "DelayAlarm"}]
    assert {alarm["MetricName"] for alarm in alarms} == {"IncomingRecords", "DeliveryToS3.DataFreshness"}
    assert {alarm["AlarmActions"][0] for alarm in alarms} == {"AlarmTopic"}
    # No lines at all are the sign that the copying was stopped.
    assert found["SilenceAlarm"]["TreatMissingData"] == "breaching"


@pytest.mark.deployment
@pytest.mark.template
@pytest.mark.asvs("16.4.2", "16.4.3")
def test_each_log_group_is_copied_only_with_the_parameter():
    types = {resource["Type"] for resource in deployed().values()}
    assert "AWS::Logs::SubscriptionFilter" not in types
    for parameters in (ARCHIVE, {**ARCHIVE, "WebAcl": "off"}):
        filters = resources_of_type("AWS::Logs::SubscriptionFilter", **parameters).values()
        groups = resources_of_type("AWS::Logs::LogGroup", **parameters)
        assert sorted(each["LogGroupName"] for each in filters) == sorted(groups)
        assert {(each["DestinationArn"], each["FilterPattern"]) for each in filters} == {
            (ARCHIVE["LogArchiveDestinationArn"], "")
        }


@pytest.mark.deployment
@pytest.mark.template
@pytest.mark.parametrize("tool", ["template_lint", "template_scan"])
def test_template_of_the_archive_passes_the_checks_of_the_project(tool):
    """Standard input is the template too, because the checks of `make lint` take the service's there."""
    text = json.dumps(read_template(TEMPLATE))
    done = run_command(uv_path(), "run", "--script", "--locked", f"tools/template/{tool}.py", str(TEMPLATE), text=text)
    assert done.returncode == 0, done.stdout + done.stderr
