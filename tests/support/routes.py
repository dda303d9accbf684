"""The routes of the template, and which of them need no access token."""

from local_runtime.template import load_template
from tests.support.runtime import PROJECT

_ALL_ROUTES = load_template(PROJECT / "template.yaml").routes
ROUTES = [route for route in _ALL_ROUTES if route.method != "OPTIONS"]
#: One for each path: the CORS preflight.
PREFLIGHT_ROUTES = [route for route in _ALL_ROUTES if route.method == "OPTIONS"]
PROTECTED = [route for route in ROUTES if route.authorizer]

#: The routes that any client on the internet may call. Adding one is a security decision.
OPEN_ROUTES = {
    ("POST", "/users"),
    ("POST", "/login"),
    ("POST", "/token/refresh"),
    ("POST", "/revoke"),
    ("POST", "/introspect"),
    ("POST", "/token"),
    ("POST", "/email/verify"),
    ("POST", "/password/reset"),
    ("POST", "/password/reset/complete"),
    ("POST", "/account/secure"),
    ("POST", "/email/verification"),
    ("POST", "/webauthn/login/begin"),
    ("POST", "/webauthn/login/complete"),
    *(
        (method, path)
        for method in ("GET", "HEAD")
        for path in (
            "/health",
            "/.well-known/jwks.json",
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
            "/.well-known/webauthn",
            "/.well-known/passkey-endpoints",
            "/.well-known/change-password",
            "/.well-known/security.txt",
            "/.well-known/assetlinks.json",
            "/.well-known/apple-app-site-association",
        )
    ),
}
