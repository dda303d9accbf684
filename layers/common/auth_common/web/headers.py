"""Header fields of every response, for functions with and without FastAPI."""

from typing import Final

#: ``Cache-Control`` of public documents, instead of ``no-store``.
PUBLIC_FOR_FIVE_MINUTES: Final = "public, max-age=300"
#: On every response (ASVS 5.0 V3, V14.2). A cacheable endpoint replaces ``Cache-Control``. A browser that opens a
#: response as a page runs, loads and frames nothing. No other site can embed a response.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Cache-Control": "no-store",
}
