"""Routing: which route of a REST API a request takes.

As API Gateway: the path chooses a resource (a static segment before ``{name}`` before ``{name+}``), then the method
chooses within that resource. ``/users/`` is not ``/users``, and HEAD is not GET.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

from local_runtime.template import Route

#: How each segment matched: 0 by its text, 1 by ``{name}``, 2 by ``{name+}``. The smallest wins.
_Precedence: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the path parameters, decoded."""

    route: Route
    path_parameters: dict[str, str]


class Router:
    """The routes of an API."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Sort the routes by resource."""
        self._resources: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._resources.setdefault(route.path, {})[route.method] = route

    def match(self, method: str, path: str) -> Match | None:
        """Return the route for a request, or ``None``.

        Args:
            method: in upper case.
            path: percent-encoded, as it came: an encoded slash does not separate segments.

        """
        segments = [unquote(segment) for segment in path.split("/")]
        candidates = [
            (precedence, methods, parameters)
            for resource, methods in self._resources.items()
            if (found := _match_resource(resource.split("/"), segments))
            for precedence, parameters in [found]
        ]
        if not candidates:
            return None
        _, methods, parameters = min(candidates, key=lambda candidate: candidate[0])
        route = methods.get(method) or methods.get("ANY")
        return Match(route, parameters) if route else None


def _match_resource(pattern: list[str], segments: list[str]) -> tuple[_Precedence, dict[str, str]] | None:
    """Compare a resource's path with a request's, segment by segment."""
    precedence: list[int] = []
    parameters: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if index == len(segments):
            return None
        if part.startswith("{") and part.endswith("+}"):
            rest = "/".join(segments[index:])
            if not rest:
                return None
            return (*precedence, 2), {**parameters, part[1:-2]: rest}
        is_parameter = part.startswith("{") and part.endswith("}")
        if is_parameter and segments[index]:
            parameters[part[1:-1]] = segments[index]
        elif part != segments[index] or is_parameter:
            return None
        precedence.append(int(is_parameter))
    return (tuple(precedence), parameters) if len(pattern) == len(segments) else None
