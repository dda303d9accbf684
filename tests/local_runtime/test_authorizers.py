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


def answer(effect="Allow", resource=f"{API}/*", **changes):
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    return {"principalId": "ann", "policyDocument": {"Statement": [statement]}, **changes}


class Gate:
    """An authorizer with a function that answers as told and counts, and a clock that stands still until moved."""

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

    def pass_through(self, path="/users/1", headers=(("authorization", "Bearer a"),), query=""):
        request = Request(
            method="GET", path=path, query=query, headers=headers, body=b"", source_ip="::1", protocol="HTTP/1.1"
        )
        match = Match(Route(method="GET", path="/{proxy+}", function=FUNCTION, authorizer=None), {"proxy": path[1:]})
        context = request_context(request, stage="local", match=match)
        return asyncio.run(self.authorizer.authorize(request, match, context))

    def refusal(self, **request):
        with pytest.raises(RequestFailed) as refused:
            self.pass_through(**request)
        return refused.value.failure


def test_context_of_the_authorizer_reaches_the_function_as_strings():
    gate = Gate(answer(context={"user": "ann", "version": 3, "mfa": True, "share": 0.5, "principalId": "mallory"}))
    strings = {"principalId": "ann", "user": "ann", "version": "3", "mfa": "true", "share": "0.5"}
    assert gate.pass_through() == strings


@pytest.mark.parametrize("headers", [(), (("authorization", ""),), (("x-other", "1"),)])
def test_without_its_identity_source_a_request_is_refused_and_the_function_not_asked(headers):
    gate = Gate(answer())
    assert gate.refusal(headers=headers) is Failure.UNAUTHORIZED
    assert gate.calls == 0


def test_request_without_one_of_two_identity_sources_is_rejected():
    gate = Gate(answer(), query_strings=("key",))
    assert gate.refusal() is gate.refusal(query="key=") is Failure.UNAUTHORIZED
    assert gate.pass_through(query="key=1")["principalId"] == "ann"


def test_policy_is_kept_for_all_paths_until_reauthorize_every_has_passed():
    gate = Gate(answer(), reauthorize_every=300)
    for path in ("/users/1", "/users/2", "/sessions"):
        gate.pass_through(path)
    gate.now += 299
    gate.pass_through()
    assert gate.calls == 1
    gate.now += 1
    gate.pass_through()
    assert gate.calls == 2


def test_a_cached_policy_that_names_one_path_denies_the_next():
    """The commonest authorizer bug: an exact ARN works in a test of one request."""
    gate = Gate(lambda event: answer(resource=event["methodArn"]))
    gate.pass_through("/users/1")
    assert gate.refusal(path="/users/2") is Failure.ACCESS_DENIED
    assert gate.calls == 1


def test_policy_with_reauthorize_every_0_is_never_kept():
    gate = Gate(answer(), reauthorize_every=0)
    gate.pass_through()
    gate.pass_through()
    assert gate.calls == 2


@pytest.mark.parametrize("tokens", ["b", "ba", "ab"])
def test_policy_of_one_identity_is_not_used_for_another(tokens):
    gate = Gate(answer())
    gate.pass_through()
    gate.pass_through(headers=tuple(("authorization", f"Bearer {token}") for token in tokens))
    assert gate.calls == 2


def test_deny_is_kept():
    gate = Gate(answer("Deny"))
    assert gate.refusal() is gate.refusal() is Failure.ACCESS_DENIED
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
def test_failure_of_the_authorizer_rejects_the_request_and_is_not_kept(error, failure):
    gate = Gate(error)
    assert gate.refusal() is gate.refusal() is failure
    assert gate.calls == 2


@pytest.mark.parametrize(
    "result",
    [
        None,
        "Allow",
        answer(principalId=None),
        answer(policyDocument=None),
        answer(policyDocument={"Statement": []} | {"Statement": [{"Effect": "Allow"}]}),
        answer(context=["ann"]),
        answer(context={"nested": {"a": 1}}),
        answer(context={"list": []}),
        answer(context={"nothing": None}),
    ],
)
def test_an_answer_that_is_no_policy_lets_nobody_through(result):
    assert Gate(result).refusal() is Failure.AUTHORIZER_CONFIGURATION_ERROR


def test_answers_that_are_kept_are_bounded_in_number_and_size():
    """Unauthenticated requests, each with another long token, must not fill the memory."""
    gate = Gate(answer("Deny"))
    gate.refusal(headers=(("authorization", "warm up"),))
    tracemalloc.start()
    try:
        for number in range(2_000):
            gate.refusal(headers=(("authorization", f"Bearer {number} {'a' * 10_000}"),))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5_000_000
    calls = gate.calls
    gate.refusal(headers=(("authorization", f"Bearer 1999 {'a' * 10_000}"),))
    assert gate.calls == calls
