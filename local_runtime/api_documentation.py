"""``/docs``: docs/openapi.json in Swagger UI, whose files come from a package and not from a CDN.

Of the local runtime alone: a deployed API serves no documentation of itself (ASVS 5.0 13.4.5).
"""

import json
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp

DOCUMENTATION_PATH: Final = "/docs"

_REDIRECT_PATH: Final = f"{DOCUMENTATION_PATH}/oauth2-redirect"
_HEADERS: Final = {
    # Swagger UI starts by a script in the page, and draws with styles and images in the page.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_api_documentation(document: Path) -> ASGIApp:
    """Return the ASGI application that shows an OpenAPI ``document`` at ``DOCUMENTATION_PATH`` and below."""
    # Half a second that only whoever reads the documentation waits for.
    from fastapi import Response  # noqa: PLC0415
    from fastapi_offline import FastAPIOffline  # noqa: PLC0415

    async def with_headers(request: Any, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    app = FastAPIOffline(
        title="Secure Backend",
        docs_url=DOCUMENTATION_PATH,
        redoc_url=None,
        openapi_url=f"{DOCUMENTATION_PATH}/openapi.json",
        static_url=f"{DOCUMENTATION_PATH}/static",
        swagger_ui_oauth2_redirect_url=_REDIRECT_PATH,
    )
    # FastAPIOffline insists on this page, and there is no OAuth behind it.
    app.router.routes[:] = [route for route in app.routes if getattr(route, "path", None) != _REDIRECT_PATH]
    app.middleware("http")(with_headers)
    # FastAPI's way to bring one's own document. "Try it out" asks the service that serves the page, whatever its port.
    app.openapi = lambda: json.loads(document.read_text()) | {"servers": [{"url": "/"}]}  # type: ignore[method-assign]
    return app
