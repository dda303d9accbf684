"""GET and HEAD /health: whether this service can do its work."""

from auth_common.audit_log.writer import install_audit_writer
from auth_common.operations.health import check_health
from auth_common.operations.schemas import HealthResponse
from auth_common.web.application import create_app, create_handler, get_and_head
from auth_common.web.endpoint import ANYONE, endpoint

app = create_app()


@get_and_head(app, "/health", **endpoint(access=ANYONE))
async def health() -> HealthResponse:
    """Check the database. Return 503 if it is unreachable or has an older schema than this version.

    The response has no details, because any client may call the endpoint.
    """
    check_health()
    return HealthResponse()


install_audit_writer()
handler = create_handler(app)
