"""Rule E9004: each method of an API has an authorizer, except those in a list."""

from collections.abc import Iterator
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

#: The methods that any client on the internet may call. Review each new entry. tests/support/routes.py has the same
#: list.
OPEN = {
    "GET /.well-known/apple-app-site-association",
    "GET /.well-known/assetlinks.json",
    "GET /.well-known/change-password",
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/passkey-endpoints",
    "GET /.well-known/security.txt",
    "GET /.well-known/webauthn",
    "GET /health",
    "HEAD /.well-known/apple-app-site-association",
    "HEAD /.well-known/assetlinks.json",
    "HEAD /.well-known/change-password",
    "HEAD /.well-known/jwks.json",
    "HEAD /.well-known/oauth-authorization-server",
    "HEAD /.well-known/openid-configuration",
    "HEAD /.well-known/passkey-endpoints",
    "HEAD /.well-known/security.txt",
    "HEAD /.well-known/webauthn",
    "HEAD /health",
    "POST /account/secure",
    "POST /email/verification",
    "POST /email/verify",
    "POST /introspect",
    "POST /login",
    "POST /password/reset",
    "POST /password/reset/complete",
    "POST /revoke",
    "POST /token",
    "POST /token/refresh",
    "POST /users",
    "POST /webauthn/login/begin",
    "POST /webauthn/login/complete",
}


class OpenMethods(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """Finds methods of an API without an authorizer."""

    id = "E9004"
    shortdesc = "Methods have an authorizer"
    description = "Every method of an API must have an authorizer, except the listed ones"
    tags = ("apigateway",)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the open methods that are not in the list."""
        return [
            RuleMatch(["Resources", api], f"{method} has no authorizer")
            for api, resource in cfn.get_resources(["AWS::ApiGateway::RestApi"]).items()
            for method in _open_methods(resource["Properties"].get("Body") or {})
            # A browser sends a preflight without a token. It reaches functions/preflight only.
            if method not in OPEN and not method.startswith("OPTIONS ")
        ]


def _open_methods(body: Any) -> Iterator[str]:
    for path, item in (body.get("paths") or {}).items():
        for method, operation in item.items():
            authorizers = {name for choice in operation.get("security") or [] for name in choice}
            # Each choice alone suffices, also NONE (OpenAPI 3.0.4, "Security Requirement Object").
            if not authorizers or "NONE" in authorizers:
                yield f"{method.upper()} {path}"
