from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.routing import Router
from local_runtime.template import Function, Route

pytestmark = pytest.mark.local_runtime

FUNCTION = Function(name="F", folder=Path(), handler="app.handler", timeout=1, memory=128, environment={})


def router(*routes):
    return Router(
        Route(method=method, path=path, function=FUNCTION, authorizer=None)
        for method, path in (route.split() for route in routes)
    )


def matched(router, method, path):
    match = router.match(method, path)
    return match and (match.route.path, match.path_parameters)


ROUTES = router(
    *("GET /", "GET /users/{id}", "POST /users", "GET /users/me", "GET /users/{id}/sessions/{session}"),
    *("ANY /files/{path+}", "PUT /files/{path+}", "GET /files/index", "GET /a/b/c", "GET /a/{x}/d"),
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", ("/", {})),
        ("GET", "/users/7", ("/users/{id}", {"id": "7"})),
        ("GET", "/users/me", ("/users/me", {})),
        ("GET", "/users/7/sessions/8", ("/users/{id}/sessions/{session}", {"id": "7", "session": "8"})),
        ("GET", "/users/a%20b", ("/users/{id}", {"id": "a b"})),
        ("GET", "/users/a%2Fb", ("/users/{id}", {"id": "a/b"})),
        ("GET", "/users/%ff", ("/users/{id}", {"id": "\ufffd"})),
        ("GET", "/us%65rs/me", ("/users/me", {})),
        ("DELETE", "/files/a/b", ("/files/{path+}", {"path": "a/b"})),
        ("GET", "/files/a/", ("/files/{path+}", {"path": "a/"})),
        ("GET", "/files/index", ("/files/index", {})),
        ("GET", "/a/b/d", ("/a/{x}/d", {"x": "b"})),
    ],
)
def test_most_specific_resource_wins(method, path, expected):
    assert matched(ROUTES, method, path) == expected


@pytest.mark.parametrize(
    ("method", "paths"),
    [
        ("GET", ["", "/nowhere", "/users", "/users/", "/users/7/", "/users/7/sessions", "/users/7/sessions/"]),
        ("GET", ["/files", "/files/"]),
        ("POST", ["users", "/users/", "//users", "/Users", "/users/me", "/files/index"]),
        ("HEAD", ["/users/7"]),
        ("OPTIONS", ["/users/7", "*"]),
    ],
)
def test_request_without_a_route_matches_none(method, paths):
    assert {path: matched(ROUTES, method, path) for path in paths} == dict.fromkeys(paths)


def test_named_method_wins_over_any():
    assert ROUTES.match("PUT", "/files/a").route.method == "PUT"
    assert ROUTES.match("GET", "/files/a").route.method == "ANY"


SEGMENT = st.text(min_size=1).filter(lambda text: text.isprintable())


@given(SEGMENT, SEGMENT)
def test_path_parameters_are_decoded(user, session):
    path = f"/users/{quote(user, safe='')}/sessions/{quote(session, safe='')}"
    expected = {"id": user, "session": session}
    assert matched(ROUTES, "GET", path) == ("/users/{id}/sessions/{session}", expected)


@given(st.lists(st.text("/%2Fa{}+", max_size=4), max_size=5))
def test_any_path_has_a_route_or_none(segments):
    match = ROUTES.match("GET", "/" + "/".join(segments))
    assert match is None or match.route.method in {"GET", "ANY"}
