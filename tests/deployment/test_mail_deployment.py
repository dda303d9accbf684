"""Mail on AWS: the identity, the permissions and the events of Amazon SES, or an SMTP server of the deployer."""

import json

import pytest

from tests.support.deployment import as_list, deployed, policy_statements, resources_of_type

pytestmark = [pytest.mark.deployment, pytest.mark.mail, pytest.mark.template]

MAIL = {"MailFrom": "no-reply@example.com"}
SMTP = {**MAIL, "SmtpUrlSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:smtp"}


def variables(name, **parameters):
    return deployed(**parameters)[f"{name}Function"]["Properties"]["Environment"]["Variables"]


def mail_permissions(**parameters):
    """Return the statements about SES and the secret of the SMTP server, of all roles."""
    return {
        name: [
            statement
            for statement in policy_statements(role)
            if any(action.startswith("ses:") for action in as_list(statement["Action"]))
            or statement["Resource"] == SMTP["SmtpUrlSecretArn"]
        ]
        for name, role in resources_of_type("AWS::IAM::Role", **parameters).items()
    }


def test_stack_without_sender_sends_no_mail():
    assert [name for name, resource in deployed().items() if resource["Type"].startswith("AWS::SES::")] == []
    assert variables("SendMail")["MAIL_TRANSPORT"] == ""
    assert [statement for statements in mail_permissions().values() for statement in statements] == []


@pytest.mark.asvs("13.2.2")
@pytest.mark.threat("function-taken-over")
def test_only_the_sender_may_send_and_only_from_its_own_address():
    permissions = mail_permissions(**MAIL)
    (statement,) = permissions.pop("SendMailRole")
    assert [found for found in permissions.values() if found] == []
    assert statement["Action"] == ["ses:SendEmail", "ses:SendRawEmail"]
    assert [arn.rpartition(":")[2] for arn in statement["Resource"]] == [
        "identity/example.com",
        f"configuration-set/{deployed(**MAIL)['MailConfigurationSet']['Properties']['Name']}",
    ]
    assert statement["Condition"] == {"StringEquals": {"ses:FromAddress": "no-reply@example.com"}}
    assert variables("SendMail", **MAIL)["MAIL_TRANSPORT"] == "ses"
    assert variables("SendMail", **MAIL)["SES_CONFIGURATION_SET"] == "MailConfigurationSet"


def test_configuration_set_tracks_no_reader_and_leaves_complaints_to_the_service():
    resources = deployed(**MAIL)
    configuration_set = resources["MailConfigurationSet"]["Properties"]
    assert configuration_set["DeliveryOptions"] == {"TlsPolicy": "REQUIRE"}
    assert configuration_set["SuppressionOptions"] == {"SuppressedReasons": ["BOUNCE"]}
    assert "TrackingOptions" not in configuration_set
    destination = resources["MailEvents"]["Properties"]["EventDestination"]
    assert destination["MatchingEventTypes"] == ["BOUNCE", "COMPLAINT"]


@pytest.mark.threat("mail-forged-bounce")
def test_feedback_comes_from_this_stacks_configuration_set_only():
    name = deployed(**MAIL)["MailConfigurationSet"]["Properties"]["Name"]
    rules = resources_of_type("AWS::Events::Rule", **MAIL)
    (pattern,) = [rule["EventPattern"] for rule in rules.values() if rule["EventPattern"]["source"] == ["aws.ses"]]
    assert pattern["detail"] == {"mail": {"tags": {"ses:configuration-set": [name]}}}
    assert len(pattern["account"]) == 1
    assert variables("MailFeedback", **MAIL)["SES_CONFIGURATION_SET"] == name
    assert json.dumps(pattern["detail-type"]) == '["Email Bounced", "Email Complaint Received"]'


def test_domain_is_created_unless_the_account_has_it():
    domain = deployed(**MAIL)["MailDomain"]
    assert domain["Properties"]["EmailIdentity"] == "example.com"
    assert domain["DeletionPolicy"] == "Retain"
    assert "MailDomain" not in deployed(**MAIL, MailIdentity="there")


def test_smtp_server_replaces_ses():
    permissions = mail_permissions(**SMTP)
    (statement,) = permissions.pop("SendMailRole")
    # An operator's role.
    assert permissions.pop("BreakGlassRole") == [statement]
    assert [found for found in permissions.values() if found] == []
    assert (statement["Action"], statement["Resource"]) == (
        "secretsmanager:GetSecretValue",
        SMTP["SmtpUrlSecretArn"],
    )
    assert [name for name, found in deployed(**SMTP).items() if found["Type"].startswith("AWS::SES::")] == []
    assert variables("SendMail", **SMTP)["MAIL_TRANSPORT"] == "smtp"
    assert variables("SendMail", **SMTP)["SMTP_URL_SECRET_ARN"] == SMTP["SmtpUrlSecretArn"]


def test_texts_of_the_deployer_come_as_a_layer_beside_our_own():
    layer = "arn:aws:lambda:eu-west-1:123456789012:layer:texts:1"
    function = deployed(MailTextsLayerArn=layer)["SendMailFunction"]["Properties"]
    assert len(function["Layers"]) == 2
    assert function["Layers"][1] == layer
    assert function["Environment"]["Variables"]["MAIL_TEXTS_DIR"] == "/opt/mail-texts"
    assert len(deployed()["SendMailFunction"]["Properties"]["Layers"]) == 1
