"""GET and HEAD /health: whether this service can do its work."""

from auth_common.operations.health import check_health
from auth_common.operations.schemas import HealthResponse
from auth_common.web.application import create_app, create_handler

app = create_app()


@app.head("/health", name="head_health")
@app.get("/health")
async def health() -> HealthResponse:
    """Answer 200 when the database answers and has this version's schema, or a newer one, else 503.

    No details: anyone may ask.
    """
    check_health()
    return HealthResponse()


handler = create_handler(app)
