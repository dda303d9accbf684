"""Routing: find the route of a request, as a REST API of API Gateway does.

The path selects a resource: a static segment wins over ``{name}``, and ``{name}`` wins over ``{name+}``. Then the
method selects a route of that resource. ``/users/`` differs from ``/users``, and HEAD differs from GET.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

from local_runtime.template import Route

#: One number for each segment: 0 if it matched as static text, 1 by ``{name}``, 2 by ``{name+}``. The smallest wins.
_Precedence: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the decoded path parameters."""

    route: Route
    path_parameters: dict[str, str]


class Router:
    """The routes of an API."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Group the routes by resource."""
        self._resources: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._resources.setdefault(route.path, {})[route.method] = route

    def match(self, method: str, path: str) -> Match | None:
        """Return the route for a request, or None if there is none.

        Args:
            method: the method in upper case.
            path: the percent-encoded path. An encoded slash does not separate segments.

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
    """Return how a request's path matches a resource's path, and the path parameters. Return None if it does not."""
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
