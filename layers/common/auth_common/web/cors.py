"""Cross-Origin Resource Sharing (Fetch standard, section 3.3): pages on which other origins may call the API.

A browser shows a response to a page on another origin only if the response names that origin. The pages send tokens in
header fields and bodies. No response allows credentials mode, so a browser sends no cookie or client certificate.
"""

from collections.abc import Sequence
from typing import Final

from auth_common.errors import Misconfigured
from auth_common.settings import settings

_REQUEST_HEADERS: Final = "Authorization, Content-Type, Step-Up-Token"
#: API Gateway renames the WWW-Authenticate of a function.
_RESPONSE_HEADERS: Final = (
    "Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, "
    "WWW-Authenticate, x-amzn-Remapped-WWW-Authenticate"
)
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
#: Browsers cache a preflight for at most this time.
_MAX_AGE_SECONDS: Final = 7_200


def cors_headers(origins: Sequence[str]) -> dict[str, str]:
    """Return the CORS header fields of a response.

    Args:
        origins: the values of the request's ``Origin``. Only one value of the setting CORS_ORIGINS is accepted.

    """
    try:
        is_allowed = _is_allowed(origins)
    except Misconfigured:
        is_allowed = False  # The response is the 503 for this error.
    if not is_allowed:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origins[0],
        "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
    }


def preflight_headers(origins: Sequence[str]) -> dict[str, str]:
    """Return the CORS header fields of the response to a preflight (OPTIONS).

    Raises:
        Misconfigured: a setting is wrong.

    """
    if not _is_allowed(origins):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origins[0],
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
    }


def _is_allowed(origins: Sequence[str]) -> bool:
    allowed = settings().page_origins()
    return len(origins) == 1 and origins[0] in allowed
