"""The transport Amazon SES: boto3's real client calls moto."""

from email import message_from_bytes, policy

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from auth_common.aws_calls import aws_client
from auth_common.mail import ses
from auth_common.mail.configured_transport import configured_transport
from auth_common.mail.transports import MailDeferred, MailRefused
from tests.support.aws_services import REGION, returning_error, with_each_outage
from tests.support.databases import start_fresh_environment
from tests.support.mail_servers import a_message

pytestmark = [pytest.mark.mail, pytest.mark.usefixtures("environment", "aws")]

RECIPIENT = "ada@example.com"


@pytest.fixture(autouse=True)
def settings(environment, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "ses")
    monkeypatch.setenv("MAIL_FROM", "no-reply@example.com")
    start_fresh_environment()


@pytest.fixture
def identity(aws, settings):
    """The verified domain of the deployer."""
    boto3.client("sesv2", region_name=REGION).create_email_identity(EmailIdentity="example.com")
    boto3.client("ses", region_name=REGION).verify_domain_identity(Domain="example.com")


def sent_mails():
    return ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages


def send():
    return configured_transport().send(a_message(), recipient=RECIPIENT)


@pytest.mark.usefixtures("identity")
def test_message_is_sent_as_it_is_and_ses_returns_its_id():
    message_id = send()
    (sent,) = sent_mails()
    assert message_id == sent.id
    assert (sent.source, set(sent.destinations)) == ("no-reply@example.com", {RECIPIENT})
    message = message_from_bytes(sent.raw_data.encode(), policy=policy.default)
    assert (message["To"], message["Subject"]) == (RECIPIENT, "Hello")


@pytest.mark.usefixtures("identity")
def test_request_names_the_configuration_set(monkeypatch):
    requests = []
    monkeypatch.setenv("SES_CONFIGURATION_SET", "auth-mail")
    start_fresh_environment()
    aws_client("sesv2", None, tries=1, timeout=ses.SECONDS).meta.events.register(
        "provide-client-params.sesv2.SendEmail", lambda params, **_: requests.append(params)
    )
    send()
    assert requests[0]["ConfigurationSetName"] == "auth-mail"


@pytest.mark.parametrize(
    ("code", "reason"),
    [("MessageRejected", "ses_message_rejected"), ("BadRequestException", "ses_bad_request_exception")],
)
def test_message_that_ses_rejects_is_not_sent_again(code, reason):
    with returning_error(code, service="sesv2"), pytest.raises(MailRefused, match=reason):
        send()


@pytest.mark.parametrize(
    "code",
    [
        *("TooManyRequestsException", "LimitExceededException", "AccountSuspendedException", "SendingPausedException"),
        *("MailFromDomainNotVerifiedException", "NotFoundException", "AccessDeniedException", "InternalFailure"),
    ],
)
def test_fault_of_the_account_or_of_ses_defers_the_mail(code):
    with returning_error(code, service="sesv2"), pytest.raises(MailDeferred, match=r"^ses(_[a-z]+)+$"):
        send()


@with_each_outage("sesv2")
def test_outage_defers_the_mail(trouble, monkeypatch):
    monkeypatch.setattr(ses, "SECONDS", 0.2)
    with trouble(), pytest.raises(MailDeferred, match=r"^ses_(unavailable|throttling_exception)$"):
        send()


@pytest.mark.usefixtures("identity")
def test_error_is_not_followed_by_a_second_request():
    """SES may have sent the mail although it returns an error, as here, and it has no idempotency keys."""
    with returning_error("InternalFailure", service="sesv2", times=1), pytest.raises(MailDeferred):
        send()
    assert len(sent_mails()) == 1
