"""The page /docs of the local runtime: Swagger UI with the OpenAPI document, without requests to other servers."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.factories import registration

pytestmark = [pytest.mark.pages, pytest.mark.browser]

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())


def test_docs_page_lists_every_operation_and_executes_one(visit):
    page = visit(path="/docs").page
    operations = [f"{method} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods]
    expect(page.locator(".opblock")).to_have_count(len(operations))
    shown = page.locator(".opblock").evaluate_all(
        """blocks => blocks.map((block) => {
          const method = block.querySelector(".opblock-summary-method").textContent.toLowerCase();
          return `${method} ${block.querySelector("[data-path]").dataset.path}`;
        })"""
    )
    assert sorted(shown) == sorted(operations)

    register = page.locator(".opblock-post", has=page.locator('[data-path="/users"]'))
    register.locator(".opblock-summary-control").click()
    register.get_by_role("button", name="Try it out").click()
    person = registration(email="documentation@example.com")
    register.locator("textarea.body-param__text").fill(json.dumps(person))
    register.get_by_role("button", name="Execute").click()
    expect(register.locator(".live-responses-table tbody .response-col_status")).to_have_text("201")


def test_docs_page_has_security_headers_and_only_its_paths(client):
    for path in ("/docs", "/docs/openapi.json", "/docs/static/swagger-ui.css"):
        response = client.get(path).raise_for_status()
        policy = set(response.headers["content-security-policy"].split("; "))
        assert policy >= {"object-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"}
        assert response.headers["x-content-type-options"] == "nosniff"
    for path in ("/docs/nowhere", "/docs/oauth2-redirect", "/docs/static/../../openapi.json", "/documents"):
        assert client.get(path).status_code == 404, path
