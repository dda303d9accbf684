"""``/docs``: the project's OpenAPI document in Swagger UI. Its files come from an installed package, not from a CDN.

Only the local runtime has this page. A deployed API serves no documentation (ASVS 5.0 13.4.5).
"""

import json
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp

DOCUMENTATION_PATH: Final = "/docs"

_REDIRECT_PATH: Final = f"{DOCUMENTATION_PATH}/oauth2-redirect"
_HEADERS: Final = {
    # Swagger UI has inline scripts and styles, and images as data URLs.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_api_documentation(openapi: Path) -> ASGIApp:
    """Return an ASGI application that shows the OpenAPI document in ``openapi`` at ``DOCUMENTATION_PATH``."""
    # These imports take half a second, so they happen at the first request for this page.
    from fastapi import Response  # noqa: PLC0415
    from fastapi_offline import FastAPIOffline  # noqa: PLC0415

    async def with_headers(request: Any, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    app = FastAPIOffline(
        title=_read(openapi)["info"]["title"],
        docs_url=DOCUMENTATION_PATH,
        redoc_url=None,
        openapi_url=f"{DOCUMENTATION_PATH}/openapi.json",
        static_url=f"{DOCUMENTATION_PATH}/static",
        swagger_ui_oauth2_redirect_url=_REDIRECT_PATH,
    )
    # FastAPIOffline always adds this page, but this API has no OAuth login.
    app.router.routes[:] = [route for route in app.routes if getattr(route, "path", None) != _REDIRECT_PATH]
    app.middleware("http")(with_headers)
    # FastAPI's documentation replaces the document in this way. With the server "/", "Try it out" calls the service
    # that serves the page, on any port.
    app.openapi = lambda: _read(openapi) | {"servers": [{"url": "/"}]}  # type: ignore[method-assign]
    return app


def _read(openapi: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(openapi.read_text(encoding="utf-8"))
    return document
