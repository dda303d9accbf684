"""Use the pages of public/ in Chromium, with a virtual authenticator."""

import re
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final, Literal, TypeAlias

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.sync_api import APIResponse, ConsoleMessage, Page, Route, ViewportSize, expect

from tests.support.callers import Caller
from tests.support.factories import PASSWORD, registration
from tests.support.http_clients import plain_client
from tests.support.processes import wait_until
from tools.authenticator.software_authenticator import Credential, SoftwareAuthenticator
from tools.demo.chromium import add_authenticator

Scheme: TypeAlias = Literal["light", "dark"]

DESKTOP: Final[ViewportSize] = {"width": 1360, "height": 900}
PHONE: Final[ViewportSize] = {"width": 360, "height": 740}

#: A script for each page of a window, instead of ``NO_AUTOFILL``: the request waits until the test calls
#: ``selectPasskey()``.
AUTOFILL_WAITS: Final = """
  const get = navigator.credentials.get.bind(navigator.credentials);
  navigator.credentials.get = async (options) => {
    if (options.mediation === "conditional") {
      const selected = new Promise((resolve, reject) => {
        window.selectPasskey = resolve;
        options.signal.addEventListener("abort", () => reject(options.signal.reason));
      });
      await selected.finally(() => { window.selectPasskey = null; });
    }
    return get(options);
  };
"""

#: The message that Chromium logs for each error response, also if the page handles the error.
_ERROR_RESPONSE: Final = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_visitor_numbers = count(1)


class Visitor:
    """A user with a browser window and a device that stores passkeys.

    ``browser_errors`` has the errors and warnings of the page. The fixture ``visit`` fails a test if there are any.
    """

    def __init__(self, page: Page, url: str, *, path: str = "/", viewport: ViewportSize = DESKTOP) -> None:
        """Open ``path`` of the service at ``url`` in a window."""
        self.url = url
        self.email = f"person{next(_visitor_numbers)}@example.com"
        self.requests: list[str] = []
        #: The statuses of the error responses, in the order of the requests.
        self.error_statuses: list[int] = []
        self.browser_errors: list[str] = []
        self._registration = registration(email=self.email)
        self.page = page
        self.set_display(viewport)
        self.page.set_default_timeout(60_000)
        self._listeners: list[tuple[Any, Any]] = []
        self.listen("request", lambda request: self.requests.append(request.url))
        self.listen("console", self._on_console)
        self.listen("pageerror", lambda error: self.browser_errors.append(str(error)))
        self._devtools, self._authenticator = add_authenticator(page)
        self.page.goto(f"{url}{path}")

    def free_window(self) -> None:
        """Free the window for the next visitor: remove authenticator, routes and listeners."""
        self._devtools.detach()  # This also removes the authenticator.
        # A handler may still wait for the response of a request that the page no longer needs.
        self.page.unroute_all(behavior="ignoreErrors")
        for event, listener in self._listeners:
            self.page.remove_listener(event, listener)

    def listen(self, event: Any, listener: Callable[[Any], None]) -> None:
        """Call ``listener`` for each Playwright event of this name, until the visitor leaves the window."""
        self._listeners.append((event, listener))
        self.page.on(event, listener)

    def route_once(self, pattern: str, handler: Callable[[Route], object]) -> None:
        """Let ``handler`` respond to the first request whose URL matches ``pattern``.

        Interception stays on until the visitor leaves the window. With ``times=1`` Playwright turns it off after the
        first request, and then misses the events of a request that starts at this moment (a known bug).
        """
        handlers = [handler]

        def respond(route: Route) -> None:
            (handlers.pop() if handlers else Route.fallback)(route)

        self.page.route(pattern, respond)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until ``condition`` returns a true value. Meanwhile the handlers of routes and listeners run."""
        wait_until(condition, pause=partial(self.page.wait_for_timeout, 20))

    def set_display(self, viewport: ViewportSize, scheme: Scheme = "light") -> None:
        """Set the size of the window and its colour scheme."""
        self.page.set_viewport_size(viewport)
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")

    def set_authenticator(self, *, verifies: bool = True, responds: bool = True) -> None:
        """Set whether the device verifies the user, and whether the user touches the device."""
        self._devtools.send("WebAuthn.setUserVerified", {**self._authenticator, "isUserVerified": verifies})
        self._devtools.send("WebAuthn.setAutomaticPresenceSimulation", {**self._authenticator, "enabled": responds})

    def register(self) -> None:
        """Register with the form of the page, which then fills in the fields of the login."""
        form = self.page.locator("#register-form")
        for label, name in _FIELDS.items():
            form.get_by_label(label, exact=True).fill(self._registration[name])
        self.press("Register")
        expect(self.status).to_have_text("You are registered. Now log in.")

    def send_password(self, password: str = PASSWORD) -> None:
        """Fill in the login form and send it."""
        self.page.locator("#login-email").fill(self.email)
        self.page.locator("#login-password").fill(password)
        self.press("Log in")

    def sign_up(self) -> None:
        """Register by a request, because the page takes longer."""
        assert self.page.request.post(f"{self.url}/users", data=self._registration).status == 201

    def sign_up_with_stored_passkey(self) -> None:
        """Register an account with a passkey by requests, and copy the passkey to the device. There is no session."""
        device = SoftwareAuthenticator(origin=self.url)
        with plain_client(self.url) as client:
            caller = Caller(client, email=self.email, device=device)
            headers = {**caller.headers(), **caller.step_up_headers()}
            client.delete("/sessions", headers=headers).raise_for_status()
        self.load_passkey(device.credentials[0])

    def sign_up_and_log_in(self) -> None:
        """Register an account, and log in with the password."""
        self.sign_up()
        self.log_in()

    def log_in(self) -> None:
        """Log in with the password alone."""
        self.send_password()
        self.expect_logged_in()

    def log_in_with_both(self) -> None:
        """Log in with the password and the passkey."""
        self.send_password()
        self.press("Use your passkey")
        self.expect_logged_in()

    def log_in_with_passkey(self) -> None:
        """Log in with the passkey alone."""
        self.press("Log in with a passkey alone")
        self.expect_logged_in()

    def sign_up_with_passkey(self) -> None:
        """Register an account, log in with the password, and add a passkey."""
        self.sign_up_and_log_in()
        self.add_passkey()

    def refresh_tokens(self) -> None:
        """Exchange the refresh token."""
        self.press("Renew with the refresh token")
        expect(self.status).to_have_text("The refresh token was exchanged for a new pair.")

    def add_passkey(self, name: str = "Laptop") -> None:
        """Add a passkey to the account."""
        self.page.get_by_label("Name of a new passkey").fill(name)
        self.press("Add a passkey")
        expect(self.status).to_have_text(f"The passkey “{name}” is registered.")
        expect(self.passkeys.get_by_text(name)).to_be_visible()

    def delete_passkey(self, name: str = "Laptop") -> None:
        """Delete a passkey, and confirm the deletion."""
        self.press(f"Delete {name}")
        self.press("Delete permanently")

    def load_passkey(self, passkey: Credential) -> None:
        """Copy a passkey for ``localhost`` to the device.

        The signature counter of ``passkey`` then rises by 1,000, so that its next copy does not look like a clone.
        """
        key = passkey.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        credential = {
            "credentialId": b64encode(passkey.id).decode(),
            "privateKey": b64encode(key).decode(),
            "userHandle": b64encode(passkey.user_handle).decode(),
            "rpId": "localhost",
            "signCount": passkey.sign_count,
            "isResidentCredential": True,
        }
        passkey.sign_count += 1_000
        self._devtools.send("WebAuthn.addCredential", {**self._authenticator, "credential": credential})

    def stored_passkeys(self) -> list[str]:
        """Return the ids of the passkeys on the device, in base64."""
        credentials = self._devtools.send("WebAuthn.getCredentials", self._authenticator)["credentials"]
        return [credential["credentialId"] for credential in credentials]

    def forget_passkeys(self) -> None:
        """Delete all passkeys from the device."""
        self._devtools.send("WebAuthn.clearCredentials", self._authenticator)

    def log_out(self) -> None:
        """Log out."""
        self.press("Log out")
        expect(self.status).to_have_text("You are logged out.")

    def press(self, name: str) -> None:
        """Click the button with this name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def expect_heading(self, name: str) -> None:
        """Wait until the heading with this name has the focus."""
        expect(self.page.get_by_role("heading", name=name, exact=True)).to_be_focused()

    def expect_button(self, name: str) -> None:
        """Wait until the button with this name has the focus."""
        expect(self.page.get_by_role("button", name=name, exact=True)).to_be_focused()

    def expect_no_passkeys(self) -> None:
        """Wait until the list of passkeys is empty."""
        expect(self.passkeys).to_have_text("You have no passkey yet.")

    def expect_logged_in(self) -> None:
        """Wait until the page shows the user's data, passkeys and sessions."""
        expect(self.page.locator("#me")).to_contain_text(self.email)
        expect(self.passkeys.locator("li").first).to_be_visible()
        expect(self.sessions.locator("li").first).to_be_visible()

    @property
    def status(self) -> Any:
        """The status line of the page."""
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
        """Return the element that shows the value of a claim of the access token."""
        return self.page.locator(f'[data-claim="{name}"] .value')

    def step(self, flow: str, step: str) -> Any:
        """Return the element of a step in the diagram of a flow."""
        return self.page.locator(f'#flow-{flow} [data-step="{step}"]')

    def _on_console(self, message: ConsoleMessage) -> None:
        refusal = _ERROR_RESPONSE.match(message.text)
        if refusal:
            self.error_statuses.append(int(refusal[1]))
        elif message.type in {"error", "warning"}:
            self.browser_errors.append(message.text)


class DelayedResponse:
    """Delay the response to the first request that matches ``pattern`` until ``release`` is called."""

    def __init__(self, visitor: Visitor, pattern: str) -> None:
        """Intercept the first request of the visitor's page from now on."""
        self._visitor = visitor
        self._waiting: list[tuple[Route, APIResponse]] = []
        visitor.route_once(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        self._waiting.append((route, route.fetch()))

    def wait(self) -> None:
        """Wait until the service has sent the response."""
        self._visitor.wait_until(lambda: self._waiting)

    def release(self, **changes: Any) -> None:
        """Deliver the response with ``changes`` to the page, and wait until the page has processed it."""
        ((route, response),) = self._waiting
        with self._visitor.page.expect_response(route.request.url):
            route.fulfill(response=response, **changes)
        self._visitor.page.wait_for_timeout(100)


_FIELDS: Final = {
    "Name": "name",
    "E-mail": "email",
    "Date of birth": "date_of_birth",
    "Job title": "job_title",
    "Password": "password",
}
