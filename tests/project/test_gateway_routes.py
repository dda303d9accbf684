"""Template, functions and authorizer agree on the routes, on the protected routes, and on the settings."""

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant

from auth_common.settings import Settings
from auth_common.web.caller import Caller
from auth_common.web.protected_routes import PROTECTED_ROUTES
from local_runtime.policies import matches
from tests.support.routes import OPEN_ROUTES, ROUTES
from tests.support.source_code import DEPLOYED, FUNCTIONS, libraries, project_path
from tools.template.deployed_template import with_defaults

pytestmark = pytest.mark.project

TEMPLATE = with_defaults({})
RESOURCES = TEMPLATE["Resources"].values()
TEMPLATE_FUNCTIONS = [each["Properties"] for each in RESOURCES if each["Type"] == "AWS::Serverless::Function"]
VARIABLES = {
    name: value
    for section in (TEMPLATE["Globals"]["Function"], *TEMPLATE_FUNCTIONS)
    for name, value in section.get("Environment", {}).get("Variables", {}).items()
}
API = TEMPLATE["Resources"]["Api"]["Properties"]
PROTECTED = {(route.method, route.path) for route in ROUTES if route.authorizer}


def application(function: str) -> Any:
    """Return the FastAPI application of a function. Return None if the function has no routes."""
    return getattr(importlib.import_module(f"functions.{function}.app"), "app", None)


def endpoints(function: str) -> list[Any]:
    app = application(function)
    return list(app.routes) if app else []


@pytest.mark.asvs("4.1.4", "13.4.4")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_template_has_exactly_the_routes_of_the_function(function):
    """Each folder is exactly one function of the template, with the same methods and paths."""
    assert [each["CodeUri"] for each in TEMPLATE_FUNCTIONS].count(f"functions/{function}") == 1
    implemented = [(method, route.path) for route in endpoints(function) for method in route.methods]
    routed = [(route.method, route.path) for route in ROUTES if route.function.folder.name == function]
    assert sorted(implemented) == sorted(routed)  # tests/functions/preflight checks the preflights


@pytest.mark.threat("authorizer-cached-policy")
def test_authorizer_policy_allows_exactly_protected_routes():
    """A wildcard matches slashes, so ``GET/users/*`` also allows ``GET/users/1/x``. It must be protected as well."""
    assert sorted(PROTECTED_ROUTES) == sorted(f"{method}{path.replace('{id}', '*')}" for method, path in PROTECTED)
    for route in ROUTES:
        path = f"{route.method}{route.path.replace('{id}', '1')}"
        assert any(matches(pattern, path) for pattern in PROTECTED_ROUTES) == bool(route.authorizer), path


@pytest.mark.asvs("6.3.4", "6.3.6", "7.2.2", "8.2.1", "13.4.5")
@pytest.mark.threat("deployment-custom-resource-call", "deployment-weakened-template", "gateway-open-route")
def test_routes_without_authorizer_are_the_listed_ones():
    assert {(route.method, route.path) for route in ROUTES if not route.authorizer} == OPEN_ROUTES


def calls(dependant: Dependant) -> Iterator[Any]:
    """Yield the function of an endpoint and the functions that it depends on."""
    yield dependant.call
    for inner in dependant.dependencies:
        yield from calls(inner)


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_protected_endpoint_has_a_caller_and_only_coroutines(function):
    """FastAPI would run a plain function on another thread, which has its own chain of audit records."""
    principal = Caller.__metadata__[0].dependency  # type: ignore[attr-defined]
    for route in endpoints(function):
        (method,) = route.methods
        called = [*calls(route.dependant)]
        assert (principal in called) == ((method, route.path) in PROTECTED), route.path
        assert [call for call in called if not inspect.iscoroutinefunction(call)] == []


@pytest.mark.asvs("15.4.1")
def test_only_the_application_uses_asyncio():
    """The event loop is reused: a task that a request leaves behind would run during a request of another caller."""
    importers = {project_path(path) for path in DEPLOYED if libraries(path) & {"anyio", "asyncio", "concurrent"}}
    assert importers == {"layers/common/auth_common/web/application.py"}


@pytest.mark.asvs("13.4.2")
def test_functions_have_no_debug_mode_and_only_known_variables():
    """The service would ignore a misspelt variable, and use the default of the setting."""
    apps = [app for app in map(application, FUNCTIONS) if app]
    assert apps
    assert [app for app in apps if app.debug] == []
    assert VARIABLES["POWERTOOLS_LOG_LEVEL"] == "INFO"
    assert [name for name in VARIABLES if "DEV" in name or "DEBUG" in name] == []
    settings = {name.upper() for name in Settings.__dataclass_fields__}
    # STACK_ID is no setting, because a custom resource also needs it while a setting is wrong.
    assert {name for name in VARIABLES if not name.startswith("POWERTOOLS_")} <= {*settings, "STACK_ID"}


@pytest.mark.asvs("14.2.2")
@pytest.mark.threat("gateway-logged-secrets")
def test_gateway_caches_no_responses():
    """ASVS 14.2.2: a cache would store personal data and return it to the next caller."""
    assert not API.keys() & {"CacheClusterEnabled", "CacheClusterSize"}
    assert {method["CachingEnabled"] for method in API["MethodSettings"]} == {False}


@pytest.mark.asvs("3.4.2")
@pytest.mark.threat("page-csrf-or-framing")
def test_gateway_responses_that_any_origin_reads_are_static():
    """The id of the request is the only variable. Others would show the body, the token's claims or an error."""
    for name, response in API["GatewayResponses"].items():
        headers = response["ResponseParameters"]["Headers"]
        assert headers["Access-Control-Allow-Origin"] == "'*'", name
        assert "Access-Control-Allow-Credentials" not in headers, name
        variables = {value for value in headers.values() if not value.startswith("'")}
        (template,) = response["ResponseTemplates"].values()
        variables |= set(re.findall(r"\$+[\w.]*|#\w+", template))
        assert variables == {"context.requestId", "$context.requestId"}, name


@pytest.mark.asvs("3.4.1", "12.2.1")
@pytest.mark.threat("gateway-plain-http")
def test_gateways_own_responses_have_hsts():
    """ASVS 3.4.1: two years of HSTS, as in the responses of the functions."""
    responses = API["GatewayResponses"]
    assert responses.keys() >= {"UNAUTHORIZED", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"}
    for name, response in responses.items():
        headers = response["ResponseParameters"]["Headers"]
        assert headers.get("Strict-Transport-Security") == "'max-age=63072000; includeSubDomains'", name
