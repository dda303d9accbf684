"""Fixtures for the tests of introspection."""

import pytest

from tests.support.clients import basic, register_client, send_form
from tests.support.databases import start_fresh_environment

ORDERS = "https://orders.example.com"
BILLING = "https://billing.example.com"


@pytest.fixture
def resources(database, monkeypatch):
    """Two other services, for which users can have tokens."""
    monkeypatch.setenv("TOKEN_RESOURCES", f"{ORDERS},{BILLING}")
    start_fresh_environment()


@pytest.fixture
def ask(resources):
    """Introspect a token as the client of the service for orders."""
    secret = register_client("orders", audience=ORDERS, may_introspect=True)

    def introspect(token, **parameters):
        return send_form(
            "introspect", "/introspect", {"token": token, **parameters}, authorization=basic("orders", secret)
        )

    return introspect
