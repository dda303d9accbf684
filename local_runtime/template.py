"""Read an API from a SAM template: its functions, routes, authorizers and gateway responses.

The template is the only description of the service. A property that the runtime does not emulate is an error at start:
a route must not be open here because its protection was ignored.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_runtime.cloudformation import Intrinsics, TemplateError, function_arn, read_template
from local_runtime.gateway_responses import GatewayResponses

_FUNCTION: Final = "AWS::Serverless::Function"
_API: Final = "AWS::Serverless::Api"
#: The property with the expression, by the type of the event.
_SCHEDULES: Final = {"Schedule": "Schedule", "ScheduleV2": "ScheduleExpression"}
_RATE: Final = re.compile(r"rate\((?P<number>[1-9]\d*) (?P<unit>minute|hour|day)s?\)")
_UNITS: Final = {"minute": 60, "hour": 3600, "day": 86400}
#: Lambda's and API Gateway's defaults, in seconds and MB.
_DEFAULT_TIMEOUT: Final = 3
_DEFAULT_MEMORY: Final = 128
_DEFAULT_REAUTHORIZE_EVERY: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Lambda function."""

    #: The logical id.
    name: str
    #: ``CodeUri``. In Lambda this folder is the root of imports.
    folder: Path
    #: ``module.attribute``, relative to ``folder``.
    handler: str
    #: Seconds.
    timeout: float
    #: MB. The function can read this number, but the runtime does not enforce it.
    memory: int
    environment: Mapping[str, str]
    #: Seconds between two runs on a schedule. None: the function has no event of the type Schedule or ScheduleV2.
    interval: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorizer:
    """A Lambda authorizer of the type REQUEST."""

    name: str
    function: Function
    #: The identity sources. A request without one of them is rejected, and the function is not called.
    headers: tuple[str, ...]
    query_strings: tuple[str, ...]
    #: Seconds that a result is cached for the same identity sources. 0 disables the cache.
    reauthorize_every: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path, with the function that handles them."""

    #: In upper case. ``ANY`` stands for all methods.
    method: str
    #: As in the template, for example ``/users/{id}``.
    path: str
    function: Function
    #: None if the template has ``Authorizer: NONE`` or no default authorizer.
    authorizer: Authorizer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Everything that the local runtime needs from a template."""

    stage: str
    routes: tuple[Route, ...]
    #: The functions that have a route or a schedule, and the authorizers.
    functions: tuple[Function, ...]
    gateway_responses: GatewayResponses
    #: ``BinaryMediaTypes``: the media types whose bodies are base64 in events and results.
    binary_media_types: frozenset[str]


def load_template(path: Path) -> Template:
    """Return the API in the SAM template ``path``.

    Raises:
        TemplateError: the template is invalid, or uses a feature that the local runtime does not emulate.

    """
    document = read_template(path)
    try:
        return _Reader(document, path.parent.absolute()).template()
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        message = f"{path.name} has another shape than SAM's templates: {error}"
        raise TemplateError(message) from error


class _Reader:
    """Reads the dictionary of one template."""

    def __init__(self, document: Mapping[str, Any], folder: Path) -> None:
        self._globals: Mapping[str, Any] = document.get("Globals") or {}
        self._intrinsics = Intrinsics(document)
        self._folder = folder
        self._functions = {name: self._function(name, p) for name, p in self._resources(_FUNCTION, "Function")}

    def template(self) -> Template:
        apis = list(self._resources(_API, "Api"))
        if len(apis) != 1:
            message = f"the local runtime serves one {_API}, but the template has {len(apis)}"
            raise TemplateError(message)
        ((api_name, api),) = apis
        auth = _require_known(
            api.get("Auth") or {},
            {"AddDefaultAuthorizerToCorsPreflight", "Authorizers", "DefaultAuthorizer", "UsagePlan"},
            f"{api_name}.Auth",
        )
        authorizers = {name: self._authorizer(name, p) for name, p in (auth.get("Authorizers") or {}).items()}
        routes = tuple(self._routes(api_name, authorizers, auth.get("DefaultAuthorizer")))
        reachable = {route.function.name for route in routes} | {a.function.name for a in authorizers.values()}
        return Template(
            stage=str(_required(api, "StageName", api_name)),
            routes=routes,
            functions=tuple(f for f in self._functions.values() if f.name in reachable or f.interval),
            gateway_responses=GatewayResponses.parse(api.get("GatewayResponses") or {}),
            binary_media_types=frozenset(kind.replace("~1", "/") for kind in api.get("BinaryMediaTypes") or ()),
        )

    def _resources(self, kind: str, globals_section: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, resource in self._intrinsics.resources.items():
            if resource.get("Type") == kind:
                properties = _merge(self._globals.get(globals_section) or {}, resource.get("Properties") or {})
                yield name, self._intrinsics.resolve(properties)

    def _function(self, name: str, properties: Mapping[str, Any]) -> Function:
        code = _required(properties, "CodeUri", name)
        if not isinstance(code, str) or not (self._folder / code).is_dir():
            message = f"{name}: CodeUri {code} is not a folder"
            raise TemplateError(message)
        variables = (properties.get("Environment") or {}).get("Variables") or {}
        return Function(
            name=name,
            folder=self._folder / code,
            handler=_required(properties, "Handler", name),
            timeout=float(properties.get("Timeout", _DEFAULT_TIMEOUT)),
            memory=int(properties.get("MemorySize", _DEFAULT_MEMORY)),
            environment={key: _to_text(value) for key, value in variables.items()},
            interval=_interval(name, properties.get("Events") or {}),
        )

    def _authorizer(self, name: str, properties: Mapping[str, Any]) -> Authorizer:
        if properties.get("FunctionPayloadType") != "REQUEST":
            message = f"authorizer {name} must be a Lambda authorizer with FunctionPayloadType REQUEST"
            raise TemplateError(message)
        arn = _required(properties, "FunctionArn", name)
        function = next((f for f in self._functions.values() if function_arn(f.name) == arn), None)
        if function is None:
            # To skip this authorizer would open its routes.
            message = f"authorizer {name}: {arn} is not a function of this template"
            raise TemplateError(message)
        identity = _require_known(
            properties.get("Identity") or {}, {"Headers", "QueryStrings", "ReauthorizeEvery"}, f"{name}.Identity"
        )
        return Authorizer(
            name=name,
            function=function,
            headers=tuple(identity.get("Headers") or ()),
            query_strings=tuple(identity.get("QueryStrings") or ()),
            reauthorize_every=int(identity.get("ReauthorizeEvery", _DEFAULT_REAUTHORIZE_EVERY)),
        )

    def _routes(self, api: str, authorizers: Mapping[str, Authorizer], default: str | None) -> Iterator[Route]:
        for name, properties in self._resources(_FUNCTION, "Function"):
            for event_name, event in (properties.get("Events") or {}).items():
                where = f"{name}.{event_name}"
                if event.get("Type") == "HttpApi":
                    message = f"{where}: the local runtime serves REST APIs (Type: Api)"
                    raise TemplateError(message)
                if event.get("Type") != "Api":
                    continue  # an HTTP request cannot cause this event
                route = _required(event, "Properties", where)
                if route.get("RestApiId") != api:
                    message = f"{where}: RestApiId must be !Ref {api}"
                    raise TemplateError(message)
                auth = _require_known(route.get("Auth") or {}, {"Authorizer"}, f"{where}.Auth")
                chosen: str = auth.get("Authorizer") or default or "NONE"
                if chosen not in {"NONE", *authorizers}:
                    message = f"{where}: there is no authorizer {chosen}"
                    raise TemplateError(message)
                yield Route(
                    method=_required(route, "Method", where).upper(),
                    path=_required(route, "Path", where),
                    function=self._functions[name],
                    authorizer=authorizers.get(chosen),
                )


def _interval(function: str, events: Mapping[str, Any]) -> float | None:
    """Return the seconds between two runs of a function, or None if it has no schedule."""
    intervals: list[float] = []
    for name, event in events.items():
        if event.get("Type") in _SCHEDULES:
            where = f"{function}.{name}"
            properties = _required(event, "Properties", where)
            rate = _RATE.fullmatch(_required(properties, _SCHEDULES[event["Type"]], where))
            if rate is None:
                message = f"{where}: the local runtime knows schedules such as rate(5 minutes) only"
                raise TemplateError(message)
            intervals.append(int(rate["number"]) * _UNITS[rate["unit"]])
    return min(intervals, default=None)


def _merge(base: Any, own: Any) -> Any:
    """Return a resource's properties with a section of Globals: maps are merged and lists are joined, as in SAM."""
    if isinstance(base, dict) and isinstance(own, dict) and not _is_intrinsic(base) and not _is_intrinsic(own):
        return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in own.items()}}
    if isinstance(base, list) and isinstance(own, list):
        return base + own
    return own


def _is_intrinsic(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref"))


def _require_known(properties: Mapping[str, Any], known: set[str], where: str) -> Mapping[str, Any]:
    """Return ``properties``, or raise ``TemplateError`` if one of them is not in ``known``.

    A property that restricts access but is not emulated would otherwise be ignored without notice.
    """
    if unknown := sorted(set(properties) - known):
        message = f"{where}: the local runtime does not know {', '.join(unknown)}"
        raise TemplateError(message)
    return properties


def _required(properties: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in properties:
        message = f"{where} has no {key}"
        raise TemplateError(message)
    return properties[key]


def _to_text(value: Any) -> str:
    """Return an environment variable's value as CloudFormation writes it: ``true``, not ``True``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
