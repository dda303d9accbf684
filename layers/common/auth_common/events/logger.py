"""Structured logs: one JSON object per line (Powertools Logger), without secrets and safe to show in a terminal.

Secrets are masked as the last step before the line is written, so the lines of libraries are masked too (ASVS 5.0
16.2.5). The encoding prevents log injection (ASVS 5.0 16.4.1).
"""

import json
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

REDACTED: Final = "[REDACTED]"

#: Field names whose values are always masked.
_SECRET_FIELDS: Final = frozenset(
    {
        "password", "current_password", "new_password", "password_hash", "pepper", "token", "access_token",
        "refresh_token", "mfa_token", "step_up_token", "step-up-token", "address_token", "code", "token_hash",
        "authorization", "authorizationtoken", "cookie", "set-cookie", "secret", "private_key", "challenge",
        "database_url", "client_secret", "client_assertion",
    }
)  # fmt: skip

#: How refresh, step-up and mail tokens begin, and secrets of clients.
SECRET_PREFIXES: Final = ("rt_", "su_", "mt_", "cs_")
#: Secrets inside a longer text: a JWT or the start of one, a bcrypt hash, a secret with one of the prefixes, a
#: private key, and the user and password in a database URL.
_SECRET_SHAPES: Final = re.compile(
    r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}"
    r"|\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"
    rf"|\b(?:{'|'.join(SECRET_PREFIXES)})[\w-]{{20,}}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",
    re.DOTALL,
)
#: Each of these secrets contains one of these texts. Most texts contain none, so this cheap search comes first.
_MARKS: Final = re.compile("|".join(map(re.escape, ("eyJ", "$2", *SECRET_PREFIXES, "-----BEGIN ", "://"))))
#: The types that are written as they are. A bool is an int.
_PLAIN: Final = (int, float, type(None))
#: The types whose items are masked. A dict is the first one, because the check for an abstract class takes longer.
_MAPPINGS: Final = (dict, Mapping)
_COLLECTIONS: Final = (list, tuple, set, frozenset)
#: More names than all records have.
_CACHED_NAMES: Final = 1024


def redact(value: Any) -> Any:
    """Return ``value`` with secrets masked at any depth: by field name in mappings, and by pattern in texts."""
    if isinstance(value, str):
        return _SECRET_SHAPES.sub(REDACTED, value) if _MARKS.search(value) else value
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, _MAPPINGS):
        redacted = {}
        for key, item in value.items():
            name, is_secret = _field(str(key))
            redacted[name] = REDACTED if is_secret else redact(item)
        return redacted
    if isinstance(value, _COLLECTIONS):
        return [redact(item) for item in value]
    return redact(str(value))


@lru_cache(_CACHED_NAMES)
def _field(name: str) -> tuple[str, bool]:
    """Return the masked name of a field, and whether its value is a secret. Cached: all records have the same names."""
    return redact(name), name.lower() in _SECRET_FIELDS


def to_json_line(record: Mapping[str, Any]) -> str:
    """Return a log record as one line of JSON, masked and in printable ASCII.

    Newlines, control characters and bidirectional characters are escaped. So an attacker's name or User-Agent can
    neither forge a second log line nor rearrange this one in a terminal (CWE-117). ``ensure_ascii`` leaves DEL.
    """
    return json.dumps(redact(record), ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")


class RedactingFormatter(LambdaPowertoolsFormatter):
    """The Powertools formatter with ``to_json_line`` as its serialiser."""

    def __init__(self, **options: Any) -> None:
        """Pass options to Powertools. The serialiser and UTC are fixed."""
        super().__init__(**{**options, "json_serializer": to_json_line, "utc": True})


#: The one logger. Service name and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL (template.yaml).
logger: Final = Logger(logger_formatter=RedactingFormatter())

for _handler in logging.getLogger().handlers:
    # Lambda's runtime adds this handler for the lines of libraries, which it would write without masking.
    _handler.setFormatter(logger.registered_formatter)
