"""Lambda authorizers: who is asked, what is kept of the answer, and what it means for a request."""

import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from local_runtime.gateway_responses import Failure, RequestFailed
from local_runtime.policies import MalformedPolicy, is_allowed
from local_runtime.proxy_events import Request, authorizer_event, method_arn, query_pairs, values_by_name
from local_runtime.routing import Match
from local_runtime.template import Authorizer
from local_runtime.workers import FunctionFailed

_log = logging.getLogger(__name__)

#: Answers of one authorizer that are kept. Without a bound, unauthenticated requests would fill the memory.
_MAX_KEPT: Final = 1_000

Invoke = Callable[[dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """An authorizer's answer, checked. It holds for every route, which is what makes it safe to keep."""

    policy_document: Any
    #: ``requestContext.authorizer`` of the events that get through.
    context: dict[str, str]


class CachingAuthorizer:
    """One authorizer, and its answers for as long as ``ReauthorizeEvery`` says.

    Args:
        authorizer: what the template says of it.
        invoke: calls its function.
        clock: seconds, never going back.

    """

    def __init__(self, authorizer: Authorizer, invoke: Invoke, clock: Callable[[], float] = time.monotonic) -> None:
        """See the class."""
        self._authorizer = authorizer
        self._invoke = invoke
        self._clock = clock
        #: By identity, the oldest first: all are kept for the same time.
        self._kept: dict[bytes, tuple[float, _Verdict]] = {}

    async def authorize(self, request: Request, match: Match, context: Mapping[str, Any]) -> dict[str, str]:
        """Return the caller's context for the function's event.

        Raises:
            RequestFailed: UNAUTHORIZED without identity sources, or when the function says so; ACCESS_DENIED by its
                policy; AUTHORIZER_FAILURE or AUTHORIZER_CONFIGURATION_ERROR when it fails or answers nonsense.

        """
        verdict = await self._verdict(self._identity(request), authorizer_event(request, match, context))
        try:
            allowed = is_allowed(verdict.policy_document, method_arn(request, stage=context["stage"]))
        except MalformedPolicy as error:
            raise self._misconfigured(str(error)) from error
        if not allowed:
            raise RequestFailed(Failure.ACCESS_DENIED)
        return verdict.context

    def _identity(self, request: Request) -> bytes:
        """Return what the answer is kept under: all values, so that a second header is another identity.

        A hash, because a header may be long, and because a memory dump should not show tokens.
        """
        headers, query = values_by_name(request.headers), values_by_name(query_pairs(request))
        sources = [headers.get(name.lower(), []) for name in self._authorizer.headers]
        sources += [query.get(name, []) for name in self._authorizer.query_strings]
        if not all(any(values) for values in sources):
            raise RequestFailed(Failure.UNAUTHORIZED)
        return hashlib.sha256(json.dumps(sources).encode()).digest()

    async def _verdict(self, identity: bytes, event: dict[str, Any]) -> _Verdict:
        now = self._clock()
        self._kept = {key: (until, kept) for key, (until, kept) in self._kept.items() if until > now}
        if identity in self._kept:
            return self._kept[identity][1]
        try:
            answer = await self._invoke(event)
        except FunctionFailed as error:
            # The one exception that API Gateway knows by its text.
            failure = Failure.UNAUTHORIZED if str(error) == "Unauthorized" else Failure.AUTHORIZER_FAILURE
            raise RequestFailed(failure) from error
        verdict = self._check(answer)
        if self._authorizer.reauthorize_every:
            self._kept[identity] = (now + self._authorizer.reauthorize_every, verdict)
            if len(self._kept) > _MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return verdict

    def _check(self, answer: Any) -> _Verdict:
        if not isinstance(answer, Mapping):
            raise self._misconfigured("it did not return an object")
        principal_id, context = answer.get("principalId"), answer.get("context") or {}
        if not isinstance(principal_id, str) or not isinstance(context, Mapping):
            raise self._misconfigured("it needs a principalId (string), and context is an object")
        if not all(isinstance(value, str | int | float) for value in context.values()):
            raise self._misconfigured("context values are strings, numbers and booleans")
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in context.items()}
        return _Verdict(answer.get("policyDocument"), {**texts, "principalId": principal_id})

    def _misconfigured(self, reason: str) -> RequestFailed:
        _log.error("%s: %s", self._authorizer.name, reason)
        return RequestFailed(Failure.AUTHORIZER_CONFIGURATION_ERROR)
