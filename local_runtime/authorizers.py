"""Lambda authorizers: call the function, cache its result and apply its policy to a request."""

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

#: Results that one authorizer's cache holds. Without a limit, unauthenticated requests would fill the memory.
_MAX_CACHED: Final = 1_000

Invoke = Callable[[dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class _Result:
    """An authorizer's validated result. Its policy covers every route, so all routes can share one cached result."""

    policy_document: Any
    #: ``requestContext.authorizer`` of the function's event.
    context: dict[str, str]


class CachingAuthorizer:
    """One authorizer, and a cache of its results for ``ReauthorizeEvery`` seconds.

    Args:
        authorizer: the authorizer's properties in the template.
        invoke: calls the authorizer's function.
        clock: returns a monotonic time in seconds.

    """

    def __init__(self, authorizer: Authorizer, invoke: Invoke, clock: Callable[[], float] = time.monotonic) -> None:
        """See the class."""
        self._authorizer = authorizer
        self._invoke = invoke
        self._clock = clock
        #: Identity to expiry time and result, the oldest first, because all entries live for the same time.
        self._cache: dict[bytes, tuple[float, _Result]] = {}

    async def authorize(self, request: Request, match: Match, context: Mapping[str, Any]) -> dict[str, str]:
        """Return the authorizer's context for the function's event.

        Raises:
            RequestFailed: UNAUTHORIZED if an identity source is missing or the function raises "Unauthorized".
                ACCESS_DENIED if the policy does not allow the request. AUTHORIZER_FAILURE if the function fails.
                AUTHORIZER_CONFIGURATION_ERROR if its result is malformed.

        """
        result = await self._result(self._identity(request), authorizer_event(request, match, context))
        try:
            allowed = is_allowed(result.policy_document, method_arn(request, stage=context["stage"]))
        except MalformedPolicy as error:
            raise self._misconfigured(str(error)) from error
        if not allowed:
            raise RequestFailed(Failure.ACCESS_DENIED)
        return result.context

    def _identity(self, request: Request) -> bytes:
        """Return the cache key: a hash of all values of the identity sources.

        A repeated header has several values, and each of them counts. The key is a hash because a header may be long
        and a memory dump should not show tokens.
        """
        headers, query = values_by_name(request.headers), values_by_name(query_pairs(request))
        sources = [headers.get(name.lower(), []) for name in self._authorizer.headers]
        sources += [query.get(name, []) for name in self._authorizer.query_strings]
        if not all(any(values) for values in sources):
            raise RequestFailed(Failure.UNAUTHORIZED)
        return hashlib.sha256(json.dumps(sources).encode()).digest()

    async def _result(self, identity: bytes, event: dict[str, Any]) -> _Result:
        now = self._clock()
        self._cache = {key: (expiry, cached) for key, (expiry, cached) in self._cache.items() if expiry > now}
        if identity in self._cache:
            return self._cache[identity][1]
        try:
            response = await self._invoke(event)
        except FunctionFailed as error:
            # API Gateway answers 401 if the exception has exactly this text.
            failure = Failure.UNAUTHORIZED if str(error) == "Unauthorized" else Failure.AUTHORIZER_FAILURE
            raise RequestFailed(failure) from error
        result = self._validate(response)
        if self._authorizer.reauthorize_every:
            self._cache[identity] = (now + self._authorizer.reauthorize_every, result)
            if len(self._cache) > _MAX_CACHED:
                del self._cache[next(iter(self._cache))]
        return result

    def _validate(self, response: Any) -> _Result:
        if not isinstance(response, Mapping):
            raise self._misconfigured("the function did not return an object")
        principal_id, context = response.get("principalId"), response.get("context") or {}
        if not isinstance(principal_id, str) or not isinstance(context, Mapping):
            raise self._misconfigured("principalId must be a string, and context must be an object")
        if not all(isinstance(value, str | int | float) for value in context.values()):
            raise self._misconfigured("context values must be strings, numbers or booleans")
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in context.items()}
        return _Result(response.get("policyDocument"), {**texts, "principalId": principal_id})

    def _misconfigured(self, reason: str) -> RequestFailed:
        _log.error("%s: %s", self._authorizer.name, reason)
        return RequestFailed(Failure.AUTHORIZER_CONFIGURATION_ERROR)
