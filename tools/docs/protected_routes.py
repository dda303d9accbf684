"""``make docs``: the authorizer's list of protected routes, from the declarations of the endpoints."""

import re

from auth_common.web.endpoint import BEARER
from tools.docs.openapi_document import document

_FILE = '''"""The routes behind the authorizer.

`make docs` writes this file from the declarations of the endpoints. Do not edit it. The authorizer must not import the
endpoints, because they import FastAPI.
"""

from typing import Final

#: For the resources of an IAM policy. "*" also matches slashes. A test proves that no open route matches.
PROTECTED_ROUTES: Final = (
{}
)
'''


def module() -> str:
    """Return the text of ``auth_common/web/protected_routes.py``."""
    routes = [
        f"{method.upper()}{re.sub('{.*?}', '*', path)}"
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if operation["security"] == BEARER
    ]
    return _FILE.format("\n".join(f'    "{route}",' for route in routes))
