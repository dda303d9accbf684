"""Registration of clients by operators, and concurrent changes."""

import pytest

from auth_common.clients import registration
from auth_common.clients.registration import (
    InvalidRegistration,
    PublicKeyCredential,
    add_client,
    end_old_credential,
    list_clients,
    remove_client,
    rotate_credential,
)
from auth_common.errors import NotFound
from tests.support.clients import NAME, RESOURCE, basic, register_client
from tests.support.clients import request_token as request
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.races import before_statement

pytestmark = [pytest.mark.clients, pytest.mark.sqlite]

KEY = PublicKeyCredential("ES256", b"any")


@pytest.mark.aurora_dsql
def test_clients_are_listed_by_name_and_a_name_is_unique(database):
    for name in ("reports", NAME, "0.a-b_c"):
        register_client(name)
    with acting_as("admin"):
        assert [client.name for client in list_clients()] == ["0.a-b_c", NAME, "reports"]
    with pytest.raises(InvalidRegistration, match="has this name"):
        register_client(NAME)
    with acting_as("admin"):
        remove_client(NAME)
    register_client(NAME)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("", "A", "a b", "-a", "a-", "é", "a" * 65, "a:b", "a\0", "../a", "client:a")),
        *((NAME, {"scopes": [scope]}) for scope in ("", "a b", 'a"', "a\\", "é", "a" * 65)),
        (NAME, {"scopes": [f"s{number}" for number in range(21)]}),
        *((NAME, {"resources": [resource]}) for resource in ("", "a b", "https://a#b", 'https://"', "é")),
        *((NAME, {"resources": [resource]}) for resource in ("orders", "orders.example.com", "https:", "//a", "a:b\n")),
        (NAME, {"resources": ["https://" + "a" * 193]}),
        (NAME, {"resources": [f"https://{number}.example" for number in range(21)]}),
        (NAME, {"audience": "https://a#b"}),
        (NAME, {"audience": "orders.example.com"}),
        (NAME, {"may_introspect": True}),
        (NAME, {"resources": ["secure-backend-users"]}),
        ("first-party", {}),
    ],
)
def test_registration_with_invalid_values_is_rejected(database, name, options):
    with pytest.raises(InvalidRegistration):
        register_client(name, **options)
    assert list_clients() == []


def test_audience_of_users_cannot_be_a_resource_of_a_client(database, monkeypatch):
    monkeypatch.setenv("TOKEN_AUDIENCE", RESOURCE)
    start_fresh_environment()
    with pytest.raises(InvalidRegistration, match="TOKEN_AUDIENCE"):
        register_client(resources=[RESOURCE])


def test_longest_values_are_stored(database):
    resources = [f"https://{number:02}.example/{'a:/' * 57}"[:200] for number in range(20)]
    scopes = [f"{number:02}:{'s/' * 31}"[:64] for number in range(20)]
    add_client("a" * 64, resources=resources, scopes=scopes, audience=resources[0], may_introspect=True)
    (client,) = list_clients()
    assert (client.resources, client.scopes, client.audience) == (tuple(resources), tuple(scopes), resources[0])
    assert client.may_introspect


def test_stored_credential_is_not_in_the_text_of_a_client(database):
    """A traceback or a log line may contain the text."""
    register_client()
    (client,) = list_clients()
    assert "credential" not in repr(client)


def test_third_credential_is_rejected_until_the_old_one_is_ended(database):
    register_client()
    rotate_credential(NAME)
    with pytest.raises(InvalidRegistration, match="two credentials"):
        rotate_credential(NAME)
    end_old_credential(NAME)
    with pytest.raises(InvalidRegistration, match="one credential"):
        end_old_credential(NAME)
    rotate_credential(NAME)


def test_another_method_ends_the_credential_before_and_needs_a_confirmation(database):
    secret = register_client()
    with pytest.raises(InvalidRegistration, match="at once"):
        rotate_credential(NAME, public_key=KEY)
    client, none = rotate_credential(NAME, public_key=KEY, ends_old_now=True)
    assert (client.algorithm, client.old_credential, none) == ("ES256", None, None)
    assert request(authorization=basic(NAME, secret)).code == "invalid_client"


@pytest.mark.threat("client-assertion-forged")
def test_rotation_to_a_key_that_the_client_has_is_rejected(database):
    """Otherwise a leaked key would stay valid, and the operator would think that it has ended."""
    first, second = (PublicKeyCredential("ES256", each) for each in (b"first", b"second"))
    add_client(NAME, resources=[], scopes=[], public_key=first)
    rotate_credential(NAME, public_key=second)
    for known in (first, second):
        with pytest.raises(InvalidRegistration, match="has this key"):
            rotate_credential(NAME, public_key=known, ends_old_now=True)


def test_service_may_introspect_tokens_for_this_service(database):
    register_client(audience="secure-backend-users", may_introspect=True)
    assert [client.audience for client in list_clients()] == ["secure-backend-users"]


@pytest.mark.parametrize("name", [NAME, "", "a\udcff"])
def test_change_of_an_unknown_client_is_not_found(database, name):
    for change in (rotate_credential, end_old_credential, remove_client):
        with pytest.raises(NotFound):
            change(name)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_change_between_read_and_write_is_rejected(database):
    """Otherwise the secret that the first operator has seen would not work."""
    register_client()
    with (
        before_statement("UPDATE clients", lambda: rotate_credential(NAME)),
        pytest.raises(InvalidRegistration, match="at the same time"),
    ):
        rotate_credential(NAME)
    assert [client.old_credential is not None for client in list_clients()] == [True]


def test_events_of_changes_name_the_client_and_its_method(database, log_lines):
    register_client(resources=[RESOURCE], scopes=[], audience=RESOURCE, may_introspect=True)
    rotate_credential(NAME)
    end_old_credential(NAME)
    rotate_credential(NAME, public_key=KEY, ends_old_now=True)
    remove_client(NAME)
    events = [event for event in log_lines.security_events if event["name"].startswith("client_")]
    assert [(event["name"], event["reason"], event.get("method")) for event in events] == [
        ("client_created", "by_operator", "client_secret"),
        ("client_credential_changed", "rotated", "client_secret"),
        ("client_credential_changed", "old_ended", "client_secret"),
        ("client_credential_changed", "old_ended_now", "ES256"),
        ("client_deleted", "by_operator", None),
    ]
    assert {event["client"] for event in events} == {NAME}
    assert events[0]["introspects"] == "yes"


def test_method_of_a_client_is_its_algorithm_or_its_secret(database):
    client, _ = add_client(NAME, resources=[], scopes=[], public_key=KEY)
    assert registration.method_of(client) == "ES256"
