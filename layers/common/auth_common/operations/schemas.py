"""The response of GET /health."""

from typing import Literal

from pydantic import BaseModel


class HealthResponse(BaseModel):
    """GET /health."""

    status: Literal["ok"] = "ok"
