"""A trusted proxy in front of the gateway, such as the CloudFront distribution of template.yaml."""

from hashlib import sha256
from typing import Final

#: The secret that the proxy sends. A deployment makes one of 64 letters and digits.
LOCK: Final = "Lock7" * 12 + "abcd"
#: The client IP that the proxy reports in tests.
FORWARDED_IP: Final = "198.51.100.9"


def accepting(*locks: str) -> dict[str, str]:
    """Return the environment variable of functions that accept these locks."""
    return {"PROXY_LOCKS": ",".join(sha256(lock.encode()).hexdigest() for lock in locks)}


def sent_by_proxy(client_ip: str = FORWARDED_IP, *, lock: str = LOCK) -> dict[str, str]:
    """Return the header fields that the proxy adds to a request."""
    return {"X-Proxy-Lock": lock, "X-Client-IP": client_ip}
