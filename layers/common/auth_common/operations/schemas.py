"""The response body of GET /health."""

from typing import Literal

from pydantic import BaseModel


class HealthResponse(BaseModel):
    """GET /health: the service can do its work."""

    status: Literal["ok"] = "ok"
