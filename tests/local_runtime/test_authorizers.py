import asyncio
import tracemalloc
from pathlib import Path

import pytest

from local_runtime.authorizers import CachingAuthorizer
from local_runtime.gateway_responses import Failure, RequestFailed
from local_runtime.proxy_events import Request, request_context
from local_runtime.routing import Match
from local_runtime.template import Authorizer, Function, Route
from local_runtime.workers import FunctionCrashed, FunctionFailed

pytestmark = pytest.mark.local_runtime

FUNCTION = Function(name="Guard", folder=Path(), handler="app.handler", timeout=1, memory=128, environment={})
API = "arn:aws:execute-api:us-east-1:123456789012:1234567890/local"


def result(effect="Allow", resource=f"{API}/*", **changes):
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    return {"principalId": "ann", "policyDocument": {"Statement": [statement]}, **changes}


class Gate:
    """An authorizer whose function returns ``result`` and counts its calls. The time changes only through ``now``."""

    def __init__(self, result, *, reauthorize_every=300, query_strings=()):
        self.result = result
        self.calls = 0
        self.now = 1000.0
        authorizer = Authorizer(
            name="Bearer",
            function=FUNCTION,
            headers=("Authorization",),
            query_strings=query_strings,
            reauthorize_every=reauthorize_every,
        )
        self.authorizer = CachingAuthorizer(authorizer, self.invoke, clock=lambda: self.now)

    async def invoke(self, event):
        self.calls += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result(event) if callable(self.result) else self.result

    def authorize(self, path="/users/1", headers=(("authorization", "Bearer a"),), query=""):
        request = Request(
            method="GET", path=path, query=query, headers=headers, body=b"", source_ip="::1", protocol="HTTP/1.1"
        )
        match = Match(Route(method="GET", path="/{proxy+}", function=FUNCTION, authorizer=None), {"proxy": path[1:]})
        context = request_context(request, stage="local", match=match)
        return asyncio.run(self.authorizer.authorize(request, match, context))

    def failure(self, **request):
        with pytest.raises(RequestFailed) as caught:
            self.authorize(**request)
        return caught.value.failure


def test_context_of_the_authorizer_has_only_strings():
    gate = Gate(result(context={"user": "ann", "version": 3, "mfa": True, "share": 0.5, "principalId": "mallory"}))
    strings = {"principalId": "ann", "user": "ann", "version": "3", "mfa": "true", "share": "0.5"}
    assert gate.authorize() == strings


@pytest.mark.parametrize("headers", [(), (("authorization", ""),), (("x-other", "1"),)])
def test_request_without_identity_source_is_rejected_without_a_call(headers):
    gate = Gate(result())
    assert gate.failure(headers=headers) is Failure.UNAUTHORIZED
    assert gate.calls == 0


def test_request_without_one_of_two_identity_sources_is_rejected():
    gate = Gate(result(), query_strings=("key",))
    assert gate.failure() is gate.failure(query="key=") is Failure.UNAUTHORIZED
    assert gate.authorize(query="key=1")["principalId"] == "ann"


def test_policy_is_cached_for_all_paths_for_reauthorize_every():
    gate = Gate(result(), reauthorize_every=300)
    for path in ("/users/1", "/users/2", "/sessions"):
        gate.authorize(path)
    gate.now += 299
    gate.authorize()
    assert gate.calls == 1
    gate.now += 1
    gate.authorize()
    assert gate.calls == 2


def test_cached_policy_for_one_path_denies_other_paths():
    """A frequent bug of authorizers: a policy for an exact ARN works in a test with one request."""
    gate = Gate(lambda event: result(resource=event["methodArn"]))
    gate.authorize("/users/1")
    assert gate.failure(path="/users/2") is Failure.ACCESS_DENIED
    assert gate.calls == 1


def test_policy_with_reauthorize_every_0_is_not_cached():
    gate = Gate(result(), reauthorize_every=0)
    gate.authorize()
    gate.authorize()
    assert gate.calls == 2


@pytest.mark.parametrize("tokens", ["b", "ba", "ab"])
def test_policy_of_one_identity_is_not_used_for_another(tokens):
    gate = Gate(result())
    gate.authorize()
    gate.authorize(headers=tuple(("authorization", f"Bearer {token}") for token in tokens))
    assert gate.calls == 2


def test_deny_is_cached():
    gate = Gate(result("Deny"))
    assert gate.failure() is gate.failure() is Failure.ACCESS_DENIED
    assert gate.calls == 1


@pytest.mark.asvs("16.5.3")
@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (FunctionFailed("Unauthorized"), Failure.UNAUTHORIZED),
        (FunctionFailed("unauthorized"), Failure.AUTHORIZER_FAILURE),
        (FunctionFailed("boom"), Failure.AUTHORIZER_FAILURE),
        (FunctionCrashed("the worker has ended"), Failure.AUTHORIZER_FAILURE),
    ],
)
def test_failure_of_the_authorizer_rejects_and_is_not_cached(error, failure):
    gate = Gate(error)
    assert gate.failure() is gate.failure() is failure
    assert gate.calls == 2


@pytest.mark.parametrize(
    "result",
    [
        None,
        "Allow",
        result(principalId=None),
        result(policyDocument=None),
        result(policyDocument={"Statement": []} | {"Statement": [{"Effect": "Allow"}]}),
        result(context=["ann"]),
        result(context={"nested": {"a": 1}}),
        result(context={"list": []}),
        result(context={"nothing": None}),
    ],
)
def test_malformed_result_of_the_authorizer_is_rejected(result):
    assert Gate(result).failure() is Failure.AUTHORIZER_CONFIGURATION_ERROR


def test_cache_of_results_has_a_limited_size():
    """Unauthenticated requests with different long tokens must not fill the memory."""
    gate = Gate(result("Deny"))
    gate.failure(headers=(("authorization", "warm up"),))
    tracemalloc.start()
    try:
        for number in range(2_000):
            gate.failure(headers=(("authorization", f"Bearer {number} {'a' * 10_000}"),))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 5_000_000
    calls = gate.calls
    gate.failure(headers=(("authorization", f"Bearer 1999 {'a' * 10_000}"),))
    assert gate.calls == calls
