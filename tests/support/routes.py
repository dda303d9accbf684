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
    ("POST", "/email/verify"),
    ("POST", "/password/reset"),
    ("POST", "/password/reset/complete"),
    ("POST", "/email/verification"),
    ("POST", "/webauthn/login/begin"),
    ("POST", "/webauthn/login/complete"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/health"),
    ("GET", "/.well-known/webauthn"),
    ("GET", "/.well-known/passkey-endpoints"),
    ("GET", "/.well-known/change-password"),
    ("GET", "/.well-known/security.txt"),
    ("GET", "/.well-known/assetlinks.json"),
    ("GET", "/.well-known/apple-app-site-association"),
    ("HEAD", "/.well-known/jwks.json"),
    ("HEAD", "/health"),
}
