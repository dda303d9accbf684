"""An IDOR scan (OWASP API1:2023): a user who is not an admin requests the data of many users."""

from http import HTTPStatus
from typing import Final
from uuid import uuid4

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target
from tools.attacks.users import log_in, register, register_users

_VICTIMS: Final = 10


def scan_for_others_data(target: Target) -> Run:
    """Request ids that exist and ids that do not. The responses must be the same for both."""
    ids = [*(user.id for user in register_users(target, _VICTIMS)), *(str(uuid4()) for _ in range(_VICTIMS))]
    token = log_in(target, register(target, "scanner")).access

    def run() -> Breaches:
        responses = [target.send("GET", f"/users/{user_id}", token=token) for user_id in ids]
        results = {(response.status, response.document.get("code")) for response in responses}
        if results == {(HTTPStatus.FORBIDDEN, "forbidden")}:
            return []
        return [f"unexpected response {status} {code}" for status, code in sorted(results)]

    return run
