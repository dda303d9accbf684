"""No method is open but those that must be."""

from collections.abc import Iterator
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

#: What any client on the internet may call. A new entry is a decision. tests/support/routes.py has the same list.
OPEN = {
    "GET /.well-known/jwks.json",
    "GET /health",
    "HEAD /.well-known/jwks.json",
    "HEAD /health",
    "POST /login",
    "POST /token/refresh",
    "POST /users",
    "POST /webauthn/login/begin",
    "POST /webauthn/login/complete",
}


class OpenMethods(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """What an API answers without asking its authorizer."""

    id = "E9004"
    shortdesc = "Methods ask the authorizer"
    description = "Every method of an API but the listed ones must have an authorizer"
    tags = ("apigateway",)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the open methods that are not in the list."""
        return [
            RuleMatch(["Resources", api], f"{method} asks no authorizer")
            for api, resource in cfn.get_resources(["AWS::ApiGateway::RestApi"]).items()
            for method in _open_methods(resource["Properties"].get("Body") or {})
            if method not in OPEN
        ]


def _open_methods(body: Any) -> Iterator[str]:
    for path, item in (body.get("paths") or {}).items():
        for method, operation in item.items():
            asked = {name for choice in operation.get("security") or [] for name in choice}
            # Each choice alone is enough (OpenAPI 3.0.4, "Security Requirement Object"), NONE among them.
            if not asked or "NONE" in asked:
                yield f"{method.upper()} {path}"
