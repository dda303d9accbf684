"""Documents under /.well-known/ for browsers, password managers, mobile systems and security researchers.

Each is made of settings only, and is absent without them. ``docs/deploy.md`` says on which host each must be served.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from auth_common.errors import NotFound
from auth_common.events.logger import logger
from auth_common.settings import settings

#: Android requires both for passkeys. The first one alone lets an app open the domain's links, if it asks for them.
_ANDROID_RELATIONS: Final = ("delegate_permission/common.handle_all_urls", "delegate_permission/common.get_login_creds")

#: How long before its expiry the log reminds operators to renew security.txt.
_REMINDER: Final = timedelta(days=30)


#: The URLs of the metadata, by member. Each is the path of a route (RFC 8414 section 2).
_ENDPOINTS: Final[Mapping[str, str]] = {
    "jwks_uri": "/.well-known/jwks.json",
    "token_endpoint": "/token",
    "introspection_endpoint": "/introspect",
    "revocation_endpoint": "/revoke",
}
#: How clients authenticate, and the algorithms of their assertions, as in ``clients``, whose import would take longer.
_CLIENT_METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt")
_CLIENT_ALGORITHMS: Final = ("ES256", "PS256", "RS256")


def authorization_server_metadata() -> dict[str, Any]:
    """Return what clients, services and gateways need to know of this issuer (RFC 8414).

    It lists what exists. The login is no grant of OAuth but a request of first-party clients, so ``password`` is
    missing (RFC 9700 section 2.4). There is no authorization endpoint, so ``response_types_supported``, which RFC 8414
    requires, is empty.
    """
    issuer = settings().issuer()
    return {
        "issuer": issuer,
        **{member: f"{issuer}{path}" for member, path in _ENDPOINTS.items()},
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": _CLIENT_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": _CLIENT_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": _CLIENT_METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": _CLIENT_ALGORITHMS,
        # The refresh token is the proof.
        "revocation_endpoint_auth_methods_supported": ["none"],
    }


def related_origins() -> dict[str, Any]:
    """Return the origins on other domains whose pages may use the passkeys (WebAuthn Level 3, section 5.11).

    Raises:
        NotFound: all pages are on the relying party's domain.

    """
    origins = settings().related_origins()
    if not origins:
        raise NotFound
    return {"origins": origins}


def passkey_endpoints() -> dict[str, str]:
    """Return the pages to which password managers link (W3C, "Relying Party Passkey Endpoints").

    Raises:
        NotFound: no page is set.

    """
    pages = {"enroll": settings().passkey_enroll_url, "manage": settings().passkey_manage_url}
    found = {name: url for name, url in pages.items() if url}
    if not found:
        raise NotFound
    return found


def change_password_url() -> str:
    """Return the page to which password managers send a user (W3C, "A Well-Known URL for Changing Passwords").

    Raises:
        NotFound: no page is set.

    """
    url = settings().change_password_url
    if url is None:
        raise NotFound
    return url


def security_txt() -> str:
    """Return how to report a vulnerability (RFC 9116).

    ``Expires`` is a setting and does not advance by itself. It says until when a deployer has confirmed the contacts. A
    service that its deployer has forgotten must not confirm them for ever. After that time the document is still
    returned, and its readers see that it is out of date (RFC 9116 section 2.5.5). A rejected setting would be an outage
    of all documents at that moment. Instead the log has a warning, from 30 days before.

    Raises:
        NotFound: no contact is set.

    """
    expires = settings().security_txt_expires
    if expires is None:
        raise NotFound
    if datetime.fromisoformat(expires) - datetime.now(UTC) < _REMINDER:
        logger.warning("SECURITY_TXT_EXPIRES: renew it, because it is past or less than 30 days ahead")
    contacts = (f"Contact: {contact}\n" for contact in settings().security_contact)
    return f"{''.join(contacts)}Expires: {expires}\n"


def android_asset_links() -> list[dict[str, Any]]:
    """Return the Android apps that may use the passkeys (Google, "Digital Asset Links").

    The certificates are those of the origins that logins accept, so both cannot differ. Each app gets all of them. An
    attacker has the private key of none.

    Raises:
        NotFound: no app is set.

    """
    fingerprints = [certificate.hex(":").upper() for certificate in settings().android_certificates()]
    apps = [
        {"namespace": "android_app", "package_name": package, "sha256_cert_fingerprints": fingerprints}
        for package in settings().android_packages
    ]
    if not apps:
        raise NotFound
    return [{"relation": _ANDROID_RELATIONS, "target": app} for app in apps]


def apple_app_site_association() -> dict[str, Any]:
    """Return the iOS apps that may use the passkeys (Apple, "Supporting associated domains").

    Raises:
        NotFound: no app is set.

    """
    if not settings().ios_apps:
        raise NotFound
    return {"webcredentials": {"apps": settings().ios_apps}}
