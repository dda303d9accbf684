"""HTTP clients of services on this machine, which tests open often."""

import ssl
from typing import Any, Final

import httpx

#: Trusts no certificate. httpx would load those of the machine for each client, which takes 40 ms.
_NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(url: str, **options: Any) -> httpx.Client:
    """Return a client of the service at ``url``, an http URL. ``options`` are those of ``httpx.Client``."""
    return httpx.Client(base_url=url, verify=_NO_CERTIFICATES, timeout=60, **options)
