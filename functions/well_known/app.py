"""Documents under /.well-known/: for verifiers of tokens, passkeys, password managers, native apps and reports.

They contain settings of the deployer only. Without its setting a document is a 404, except for the metadata of the
issuer. The function needs no database.
"""

from typing import Any

from fastapi import Depends, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from auth_common.errors import NotFound
from auth_common.operations import schemas, well_known
from auth_common.web.application import create_app, create_handler, get_and_head
from auth_common.web.endpoint import ANYONE, endpoint, header, success
from auth_common.web.headers import PUBLIC_FOR_FIVE_MINUTES

app = create_app()
CACHEABLE = {"Cache-Control": PUBLIC_FOR_FIVE_MINUTES}
FOR_ANYONE = endpoint(access=ANYONE, errors=(NotFound,))


async def _allow_caching(response: Response) -> None:
    response.headers.update(CACHEABLE)


def document(declaration: dict[str, Any] = FOR_ANYONE, **options: Any) -> dict[str, Any]:
    """Return the arguments of a route that returns a public document."""
    is_cacheable = success(200, {"Cache-Control": header(value=PUBLIC_FOR_FIVE_MINUTES)})
    return {"dependencies": [Depends(_allow_caching)], "responses": is_cacheable, **declaration, **options}


@get_and_head(app, "/.well-known/openid-configuration", **document(endpoint(access=ANYONE)))
async def openid_configuration() -> schemas.MetadataResponse:
    """Return the metadata of the issuer (RFC 8414).

    Libraries for OpenID Connect look for it here. The response has no members that only OpenID providers need.
    """
    return schemas.MetadataResponse.model_validate(well_known.authorization_server_metadata())


@get_and_head(app, "/.well-known/oauth-authorization-server", **document(endpoint(access=ANYONE)))
async def oauth_authorization_server() -> schemas.MetadataResponse:
    """Return the metadata of the issuer (RFC 8414)."""
    return schemas.MetadataResponse.model_validate(well_known.authorization_server_metadata())


@get_and_head(app, "/.well-known/webauthn", **document())
async def related_origins() -> schemas.RelatedOriginsResponse:
    """Return the related origins: pages on other domains that may use the passkeys."""
    return schemas.RelatedOriginsResponse.model_validate(well_known.related_origins())


@get_and_head(app, "/.well-known/passkey-endpoints", **document(response_model_exclude_unset=True))
async def passkey_endpoints() -> schemas.PasskeyEndpointsResponse:
    """Return the pages where a user adds and manages passkeys."""
    return schemas.PasskeyEndpointsResponse.model_validate(well_known.passkey_endpoints())


@get_and_head(
    app,
    "/.well-known/change-password",
    status_code=302,
    response_class=RedirectResponse,
    responses=success(
        302,
        {
            "Location": header(pattern="https?://.+", example="https://example.com/account"),
            "Cache-Control": header(value=PUBLIC_FOR_FIVE_MINUTES),
        },
    ),
    **FOR_ANYONE,
)
async def change_password() -> Response:
    """Redirect to the page where a user changes the password."""
    return Response(status_code=302, headers={"Location": well_known.change_password_url(), **CACHEABLE})


@get_and_head(app, "/.well-known/security.txt", **document(response_class=PlainTextResponse))
async def security_txt() -> PlainTextResponse:
    """Return how to report a vulnerability."""
    return PlainTextResponse(well_known.security_txt(), headers=CACHEABLE)


@get_and_head(app, "/.well-known/assetlinks.json", **document())
async def asset_links() -> list[schemas.AssetLinkResponse]:
    """Return the Android apps that may use the passkeys."""
    return [schemas.AssetLinkResponse.model_validate(link) for link in well_known.android_asset_links()]


@get_and_head(app, "/.well-known/apple-app-site-association", **document())
async def apple_app_site_association() -> schemas.AppleAppSiteAssociationResponse:
    """Return the iOS apps that may use the passkeys."""
    association = well_known.apple_app_site_association()
    return schemas.AppleAppSiteAssociationResponse.model_validate(association)


handler = create_handler(app)
