"""A real browser, Chromium, with a virtual authenticator: a person at the page in public/."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support import leaks

PASSWORD: Final = "seven purple kites over Lyon"

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: A container's root has no sandbox and no graphics; and the browser must call nobody of its own accord.
_ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: What Chromium reports of every answer that is not a success, however well the page deals with it.
_REFUSAL: Final = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_numbers = count(1)


def find_chromium() -> str | None:
    """Return the path of an installed Chromium."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """Start Chromium. An event loop runs in this thread for as long."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A person with a browser window and a device that holds passkeys. Nothing that they see may go wrong unnoticed."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        """Open the page at ``url``."""
        self.url = url
        self.email = f"person{next(_numbers)}@example.com"
        self.requests: list[str] = []
        #: Statuses of refusals that have been seen, in the order of the requests.
        self.refusals: list[int] = []
        self.complaints: list[str] = []
        self._context = browser.new_context(**{"reduced_motion": "reduce", "viewport": _DESK, **context})
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("request", self._on_request)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._devtools = self._context.new_cdp_session(self.page)
        self._devtools.send("WebAuthn.enable")
        self._authenticator = self._devtools.send("WebAuthn.addVirtualAuthenticator", {"options": _AUTHENTICATOR})
        leaks.remember(PASSWORD)
        self.page.goto(url)

    def close(self) -> None:
        """Close the window."""
        self._context.close()

    def set_authenticator(self, *, verifies: bool = True, answers: bool = True) -> None:
        """Say whether the device recognises the person, and whether the person touches it."""
        which = {"authenticatorId": self._authenticator["authenticatorId"]}
        self._devtools.send("WebAuthn.setUserVerified", {**which, "isUserVerified": verifies})
        self._devtools.send("WebAuthn.setAutomaticPresenceSimulation", {**which, "enabled": answers})

    def register(self) -> None:
        """Register; the login's fields are filled in afterwards."""
        for label, text in {
            "Name": "Ann Example",
            "E-mail": self.email,
            "Date of birth": "1980-04-14",
            "Job title": "Baker",
            "Password": PASSWORD,
        }.items():
            self.page.locator("#register-form").get_by_label(label, exact=True).fill(text)
        self.press("Register")
        expect(self.status).to_have_text("You are registered. Now log in.")

    def give_password(self, password: str = PASSWORD) -> None:
        """Fill in the login's form and send it."""
        self.page.locator("#login-email").fill(self.email)
        self.page.locator("#login-password").fill(password)
        self.press("Log in")

    def enter(self) -> None:
        """Register and log in."""
        self.register()
        self.press("Log in")
        self.expect_to_be_in()

    def add_passkey(self, name: str = "Laptop") -> None:
        """Add a passkey to the account."""
        self.page.get_by_label("Name of a new passkey").fill(name)
        self.press("Add a passkey")
        expect(self.status).to_have_text(f"The passkey “{name}” is registered.")
        expect(self.passkeys.get_by_text(name)).to_be_visible()

    def delete_passkey(self, name: str = "Laptop") -> None:
        """Delete a passkey, in both steps."""
        self.press(f"Delete {name}")
        self.press("Delete for good")

    def forget_passkeys(self) -> None:
        """Let the device be a new one: it has no passkey."""
        which = {"authenticatorId": self._authenticator["authenticatorId"]}
        self._devtools.send("WebAuthn.clearCredentials", which)

    def log_out(self) -> None:
        """Log out."""
        self.press("Log out")
        expect(self.status).to_have_text("You are logged out.")

    def press(self, name: str) -> None:
        """Press the button with this name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def expect_to_be_in(self) -> None:
        """Wait until the person's data, passkeys and sessions are there."""
        expect(self.page.locator("#me")).to_contain_text(self.email)
        expect(self.passkeys.locator("li").first).to_be_visible()
        expect(self.sessions.locator("li").first).to_be_visible()

    @property
    def status(self) -> Any:
        """What the page says in its status line."""
        return self.page.locator("#status")

    @property
    def passkeys(self) -> Any:
        """The list of passkeys."""
        return self.page.locator("#passkeys")

    @property
    def sessions(self) -> Any:
        """The list of sessions."""
        return self.page.locator("#sessions")

    def claim(self, name: str) -> Any:
        """Return the row of a claim of the access token."""
        return self.page.locator(f'[data-claim="{name}"] .value')

    def step(self, flow: str, step: str) -> Any:
        """Return a step of the diagram."""
        return self.page.locator(f'#flow-{flow} [data-step="{step}"]')

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        refusal = _REFUSAL.match(message.text)
        if refusal:
            self.refusals.append(int(refusal[1]))
        elif message.type in {"error", "warning"}:
            self.complaints.append(message.text)


_DESK: Final = {"width": 1360, "height": 900}
_AUTHENTICATOR: Final = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
