"""An installed Chromium, as Playwright drives it, with a virtual authenticator in each window."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

#: The headless shell comes first, because the browser tests take two thirds of the time with it.
_NAMES: Final = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
#: Root in a container has no sandbox and no graphics. The other switches stop requests that Chromium sends by itself.
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_AUTHENTICATOR: Final = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

#: A script for each page of a window with a virtual authenticator, after which the page asks for no passkey in the
#: autofill of its login form (conditional mediation). Chromium would not wait until the user selects one, but log in.
NO_AUTOFILL: Final = "if (window.PublicKeyCredential) delete PublicKeyCredential.isConditionalMediationAvailable;"


def find_chromium() -> str | None:
    """Return the path of an installed Chromium. Return None if there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """Run Chromium while the block runs. Playwright runs an event loop in this thread meanwhile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def add_authenticator(page: Page) -> tuple[CDPSession, Any]:
    """Add a virtual authenticator, in which a page of the browser can store passkeys.

    Return its DevTools session, and the argument that names the authenticator in DevTools commands. The authenticator
    is removed when the session is detached.
    """
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    return devtools, devtools.send("WebAuthn.addVirtualAuthenticator", {"options": _AUTHENTICATOR})
