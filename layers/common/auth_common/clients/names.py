"""Names of clients, scopes and resources, as operators register them and clients send them."""

import re
from typing import Final

#: A ``client_id``: a part of ``sub``, of log lines and of the header field of client_secret_basic.
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
#: A scope token (RFC 6749 section 3.3), without those characters that URLs and shells treat as special.
_SCOPE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
#: An absolute URI without a fragment (RFC 8707 section 2).
_RESOURCE: Final = re.compile(r"(?=.{1,200}\Z)[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?@!$&'()*+,;=%-]+")


def is_client_name(text: str) -> bool:
    """Return whether ``text`` can be the name of a client. PostgreSQL cannot look for every text."""
    return _NAME.fullmatch(text) is not None


def is_scope(text: str) -> bool:
    """Return whether ``text`` can be a scope."""
    return _SCOPE.fullmatch(text) is not None


def is_resource(text: str) -> bool:
    """Return whether ``text`` can be the audience of a service token."""
    return _RESOURCE.fullmatch(text) is not None
