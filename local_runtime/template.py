"""What a SAM template says about an API: its functions, routes, authorizers and gateway responses.

The template is the only truth: nothing about the service is written a second time here. What the local runtime would
have to leave out silently, above all a route's protection, is an error at start.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_runtime.cloudformation import Intrinsics, TemplateError, function_arn, read_template
from local_runtime.gateway_responses import GatewayResponses

_FUNCTION: Final = "AWS::Serverless::Function"
_API: Final = "AWS::Serverless::Api"
_SCHEDULES: Final = ("Schedule", "ScheduleV2")
#: Lambda's and API Gateway's defaults, in seconds and MB.
_DEFAULT_TIMEOUT: Final = 3
_DEFAULT_MEMORY: Final = 128
_DEFAULT_REAUTHORIZE_EVERY: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Lambda function."""

    #: Its logical id.
    name: str
    #: ``CodeUri``; in Lambda this folder is the root of imports.
    folder: Path
    #: ``module.attribute``, relative to ``folder``.
    handler: str
    #: Seconds.
    timeout: float
    #: MB. Told to the function, not enforced.
    memory: int
    environment: Mapping[str, str]
    #: Whether it has a schedule, of whatever rate.
    is_scheduled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorizer:
    """A Lambda authorizer of the REQUEST kind."""

    name: str
    function: Function
    #: The identity sources: a request that lacks one is refused without asking the function.
    headers: tuple[str, ...]
    query_strings: tuple[str, ...]
    #: Seconds that its answer is kept for the same identity sources; 0: not at all.
    reauthorize_every: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method on a path, and who answers it."""

    #: In upper case; ``ANY`` stands for all.
    method: str
    #: As in the template: ``/users/{id}``.
    path: str
    function: Function
    #: ``None``: the template says ``Authorizer: NONE``, or has no default authorizer.
    authorizer: Authorizer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Everything that the local runtime takes from a template."""

    stage: str
    routes: tuple[Route, ...]
    #: The functions that a request can reach, authorizers included, and those on a schedule.
    functions: tuple[Function, ...]
    gateway_responses: GatewayResponses
    #: Media types whose bodies travel as base64, as in ``BinaryMediaTypes``.
    binary_media_types: frozenset[str]


def load_template(path: Path) -> Template:
    """Read ``path``.

    Raises:
        TemplateError: the template is wrong, or needs something that the local runtime does not do.

    """
    document = read_template(path)
    try:
        return _Reader(document, path.parent.absolute()).template()
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        message = f"{path.name} has another shape than SAM's templates: {error}"
        raise TemplateError(message) from error


class _Reader:
    """Reads one document."""

    def __init__(self, document: Mapping[str, Any], folder: Path) -> None:
        self._globals: Mapping[str, Any] = document.get("Globals") or {}
        self._intrinsics = Intrinsics(document)
        self._folder = folder
        self._functions = {name: self._function(name, p) for name, p in self._resources(_FUNCTION, "Function")}

    def template(self) -> Template:
        apis = list(self._resources(_API, "Api"))
        if len(apis) != 1:
            message = f"the local runtime serves one {_API}; the template has {len(apis)}"
            raise TemplateError(message)
        ((api_name, api),) = apis
        auth = _only(
            api.get("Auth") or {},
            {"AddDefaultAuthorizerToCorsPreflight", "Authorizers", "DefaultAuthorizer", "UsagePlan"},
            f"{api_name}.Auth",
        )
        authorizers = {name: self._authorizer(name, p) for name, p in (auth.get("Authorizers") or {}).items()}
        routes = tuple(self._routes(api_name, authorizers, auth.get("DefaultAuthorizer")))
        reached = {route.function.name for route in routes} | {a.function.name for a in authorizers.values()}
        return Template(
            stage=str(_required(api, "StageName", api_name)),
            routes=routes,
            functions=tuple(f for f in self._functions.values() if f.name in reached or f.is_scheduled),
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
            is_scheduled=any(event.get("Type") in _SCHEDULES for event in (properties.get("Events") or {}).values()),
        )

    def _authorizer(self, name: str, properties: Mapping[str, Any]) -> Authorizer:
        if properties.get("FunctionPayloadType") != "REQUEST":
            message = f"authorizer {name}: the local runtime knows Lambda authorizers of FunctionPayloadType REQUEST"
            raise TemplateError(message)
        arn = _required(properties, "FunctionArn", name)
        function = next((f for f in self._functions.values() if function_arn(f.name) == arn), None)
        if function is None:
            # Never skipped: without it every route behind it would be open, or would seem to be protected.
            message = f"authorizer {name}: {arn} is not a function of this template"
            raise TemplateError(message)
        identity = _only(
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
                    continue  # nothing that an HTTP request could start
                route = _required(event, "Properties", where)
                if route.get("RestApiId") != api:
                    message = f"{where}: RestApiId must be !Ref {api}"
                    raise TemplateError(message)
                auth = _only(route.get("Auth") or {}, {"Authorizer"}, f"{where}.Auth")
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


def _merge(base: Any, own: Any) -> Any:
    """Merge a section of Globals into a resource's properties by SAM's rule: maps merge, lists add up."""
    if isinstance(base, dict) and isinstance(own, dict) and not _is_intrinsic(base) and not _is_intrinsic(own):
        return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in own.items()}}
    if isinstance(base, list) and isinstance(own, list):
        return base + own
    return own


def _is_intrinsic(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref"))


def _only(properties: Mapping[str, Any], known: set[str], where: str) -> Mapping[str, Any]:
    """Return ``properties``; refuse what is not ``known``: protection that is not emulated must not seem to be."""
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
    """Return an environment variable's value as CloudFormation passes it on: ``true``, not ``True``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
