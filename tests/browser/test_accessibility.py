"""For everybody: axe-core finds nothing, a keyboard is enough, a phone too, and the dark is dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support.browser import PASSWORD

pytestmark = pytest.mark.browser

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1360, "height": 900}
#: Of every category, best practices too.
axe = Axe()


def faults(page):
    """Return what axe-core finds, and what the window is too narrow for."""
    results = axe.run(page)
    return [results.generate_report()] * bool(results.violations_count) + parts_too_wide(page)


def parts_too_wide(page):
    """Return what reaches beyond the right edge of the window."""
    return page.evaluate(
        """() => [...document.querySelectorAll("body *")]
          .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
          .map((element) => element.outerHTML.slice(0, 200))"""
    )


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_state_of_the_page_has_a_fault(visit, scheme, viewport):
    visitor = visit(color_scheme=scheme, viewport=viewport)
    page = visitor.page
    assert faults(page) == []

    visitor.press("Register")
    expect(page.get_by_text("Name must contain a letter.")).to_be_visible()
    assert faults(page) == []

    visitor.enter()
    page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    expect(visitor.step("registration", "begin")).to_have_attribute("aria-current", "step")
    assert faults(page) == []
    page.get_by_label("Stop after each message").uncheck()
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")

    visitor.press("Open all messages")
    visitor.press("Delete Passkey")
    expect(page.get_by_role("button", name="Confirm with a passkey")).to_be_visible()
    visitor.press("Rename Passkey")
    assert faults(page) == []

    visitor.log_out()
    visitor.set_authenticator(verifies=False)
    visitor.press("Log in with a passkey alone")
    expect(visitor.step("passkey-alone", "consent")).to_have_attribute("data-state", "failed")
    visitor.set_authenticator()
    visitor.give_password()
    expect(visitor.step("second-factor", "mfa")).to_have_attribute("data-state", "active")
    assert faults(page) == []
    visitor.press("Use your passkey")
    visitor.expect_to_be_in()
    visitor.press("Open all messages")
    visitor.press("Open all messages")
    visitor.press("Check it with the public key")
    expect(page.get_by_text("It is good: signed with the key")).to_be_visible()
    assert faults(page) == []


@pytest.mark.parametrize("width", [320, 360, 768, 1088, 1920])
def test_no_window_is_too_narrow(visit, width):
    """WCAG 2.2, 1.4.10: 320 px is a window of 1280 px at 400 %."""
    visitor = visit(viewport={"width": width, "height": 700})
    visitor.enter()
    visitor.add_passkey("A passkey with quite a long name, which has to go somewhere")
    visitor.press("Open all messages")
    visitor.press("Check it with the public key")
    expect(visitor.page.get_by_text("It is good: signed with the key")).to_be_visible()
    assert parts_too_wide(visitor.page) == []


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_page_is_as_dark_as_the_person_wants_it(visit, scheme, is_dark):
    page = visit(color_scheme=scheme).page
    # Chromium writes rgb(15, 18, 23).
    colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in colour[4:-1].split(",")) < 3 * 128) == is_dark


def test_nothing_moves_for_whom_it_must_not(visit):
    visitor = visit(reduced_motion="reduce")
    assert visitor.page.evaluate("() => getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    visitor.enter()
    visitor.page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    number = visitor.step("registration", "begin").locator(".number")
    assert number.evaluate("number => getComputedStyle(number).animationName") == "none"


class Keyboard:
    """A person without a mouse."""

    def __init__(self, page):
        self._page = page

    def go_to(self, target):
        for _ in range(120):
            if target.evaluate("element => element === document.activeElement"):
                outline = target.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline == "solid", "the focus cannot be seen"
                return
            self._page.keyboard.press("Tab")
        pytest.fail("Tab does not get there")

    def write(self, target, text):
        self.go_to(target)
        self._page.keyboard.type(text)

    def press(self, name, key="Enter"):
        self.go_to(self._page.get_by_role("button", name=name, exact=True))
        self._page.keyboard.press(key)


def test_a_keyboard_is_enough(visitor):
    page, keyboard = visitor.page, Keyboard(visitor.page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")

    form = page.locator("#register-form")
    for label, text in {
        "Name": "Ann",
        "E-mail": visitor.email,
        "Date of birth": "04141980",
        "Job title": "Baker",
        "Password": PASSWORD,
    }.items():
        keyboard.write(form.get_by_label(label, exact=True), text)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My data")).to_be_focused()

    keyboard.go_to(page.get_by_label("Stop after each message"))
    page.keyboard.press("Space")
    keyboard.press("Add a passkey")
    for step in visitor.page.locator("#flow-registration .step").all():
        expect(step).to_have_attribute("aria-current", "step")
        keyboard.press("Next message", "Space")
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    keyboard.go_to(visitor.step("registration", "options").locator("summary"))
    was_open = visitor.step("registration", "options").locator("details").get_attribute("open")
    page.keyboard.press("Enter")
    assert visitor.step("registration", "options").locator("details").get_attribute("open") != was_open
    keyboard.press("Log out")
    expect(page.get_by_role("heading", name="Log in", exact=True)).to_be_focused()


def test_the_page_has_its_landmarks_and_one_first_heading(visitor):
    page = visitor.page
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
