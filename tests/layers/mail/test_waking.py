"""Requests wake the sender after their commit, for unknown addresses too, and a failed wake-up changes no response."""

from types import SimpleNamespace
from uuid import UUID

import pytest

from auth_common.aws_calls import aws_client
from auth_common.database.tables import mails
from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import DECOY, queue_mail
from auth_common.mail.waking import wake_sender
from auth_common.transactions import transaction
from auth_common.web.application import create_app, create_handler
from tests.support.aws_services import REGION, redirected, returning_error, unresponsive
from tests.support.databases import start_fresh_environment
from tests.support.events import lambda_context, proxy_event
from tests.support.factories import EMAIL, sign_up
from tests.support.mails import mailbox, queue

pytestmark = [pytest.mark.mail, pytest.mark.sqlite, pytest.mark.usefixtures("registration_without_mail")]

ALIAS = f"arn:aws:lambda:{REGION}:123456789012:function:stack-SendMailFunction-1A2B:live"


def request(route):
    """Handle a request by calling ``route``. Return the status of the response."""
    app = create_app()
    app.get("/")(route)
    return create_handler(app)(proxy_event("GET", "/"), lambda_context("register"))["statusCode"]


@pytest.fixture
def invocations(database, aws, monkeypatch):
    """The parameters of each invocation of the sender, and the number of mails that were committed before it."""
    monkeypatch.setenv("SEND_MAIL_ARN", ALIAS)
    start_fresh_environment()
    found = []

    def accept(params, **_):
        found.append((params["url_path"], params["headers"]["X-Amz-Invocation-Type"], database.count(mails)))
        return SimpleNamespace(status_code=202), {"StatusCode": 202}

    events = aws_client("lambda", REGION, tries=1).meta.events
    events.register("before-call.lambda.Invoke", accept)
    yield found
    events.unregister("before-call.lambda.Invoke", accept)


def test_request_that_queues_mails_wakes_the_sender_once_after_the_commit(invocations):
    def route():
        queue()
        queue()

    assert request(route) == 200
    ((path, kind, committed),) = invocations
    assert (path.endswith("%3Alive/invocations"), kind, committed) == (True, "Event", 2)


@pytest.mark.threat("function-account-enumeration")
def test_unknown_address_causes_the_same_wake_up(invocations):
    """A decoy, and a service that calls ``wake_sender`` itself, do what a mail to a user does."""
    user = sign_up()
    for route in (lambda: queue(user_id=UUID(user.id)), lambda: queue(recipient=DECOY), wake_sender):
        assert request(route) == 200
    assert [call[:2] for call in invocations] == [invocations[0][:2]] * 3


def test_request_without_mail_wakes_no_sender(invocations):
    assert request(lambda: None) == 200
    queue()  # outside a request, as in an operator's command
    wake_sender()
    assert invocations == []


def test_request_whose_transaction_fails_gets_its_error(invocations):
    def route():
        def fail(connection):
            queue_mail_in(connection)
            raise LookupError

        transaction(fail)

    assert request(route) == 500
    # The wake-up is of no use, and does no harm.
    assert [committed for *_, committed in invocations] == [0]


def queue_mail_in(connection):
    values = {"token": "a-token-of-a-link", "code": "K7Q2M9XR"}
    queue_mail(connection, MailKind.VERIFY_EMAIL, recipient=EMAIL, user_id=None, locale="en", variables=values)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: returning_error("AccessDeniedException", service="lambda"),
        lambda: redirected("http://127.0.0.1:9", service="lambda"),
        lambda: unresponsive(service="lambda"),
    ],
    ids=["denied", "away", "hanging"],
)
def test_failed_wake_up_is_logged_and_changes_no_response(database, aws, monkeypatch, log_lines, trouble):
    """The request makes one try, because the response waits for it."""
    monkeypatch.setenv("SEND_MAIL_ARN", ALIAS)
    start_fresh_environment()
    with trouble():
        assert request(queue) == 200
    assert [record["level"] for record in log_lines.records if "was not woken" in record["message"]] == ["WARNING"]
    assert database.count(mails) == 1


def test_request_in_sam_sends_before_its_response(database, environment, monkeypatch):
    assert request(queue) == 200
    assert mailbox(environment) == []
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")
    assert request(queue) == 200
    assert len(mailbox(environment)) == 2
