"""A minimal authorizer with only PyJWT and cryptography. It reads the service's key file."""

import json
import os
from pathlib import Path
from typing import Any

import jwt


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Verify the token and return a policy."""
    keys = jwt.PyJWKSet.from_dict(json.loads(Path(os.environ["DATA_DIR"], "keys", "jwks.json").read_text()))
    token = event["headers"]["Authorization"].removeprefix("Bearer ")
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["ES256"], audience="secure-backend-users", issuer="http://localhost:8000"
    )
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
    return {"principalId": claims["sub"], "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
