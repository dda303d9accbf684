"""Accessibility of the pages with a login: axe-core, keyboard, narrow windows, colour schemes and screen readers."""

import pytest
from playwright.sync_api import expect

from tests.support.accessibility import Keyboard, accessibility_violations, elements_too_wide
from tests.support.browser import DESKTOP, PHONE
from tests.support.factories import PASSWORD
from tests.support.security_page import EVENTS_URL, HOSTILE_TEXT, SUMMARY_URL, fail_to_log_in, reuse_refresh_token

pytestmark = [pytest.mark.pages, pytest.mark.browser]


def test_page_is_accessible_in_each_state(visitor):
    page = visitor.page
    assert accessibility_violations(visitor) == []

    visitor.press("Register")
    expect(page.get_by_text("Name must contain a letter.")).to_be_visible()
    assert accessibility_violations(visitor) == []

    visitor.sign_up_and_log_in()
    page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    expect(visitor.step("registration", "begin")).to_have_attribute("aria-current", "step")
    assert accessibility_violations(visitor) == []
    page.get_by_label("Stop after each message").uncheck()
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")

    visitor.press("Open all messages")
    visitor.press("Delete Passkey")
    expect(page.get_by_role("button", name="Delete permanently")).to_be_visible()
    assert accessibility_violations(visitor) == []
    visitor.press("Keep")
    visitor.press("Rename Passkey")
    assert accessibility_violations(visitor) == []

    visitor.log_out()
    visitor.set_authenticator(verifies=False)
    visitor.press("Log in with a passkey alone")
    expect(visitor.step("passkey-alone", "consent")).to_have_attribute("data-state", "failed")
    visitor.set_authenticator()
    visitor.send_password()
    expect(visitor.step("second-factor", "mfa")).to_have_attribute("data-state", "active")
    assert accessibility_violations(visitor) == []
    visitor.press("Use your passkey")
    visitor.expect_logged_in()
    visitor.press("Open all messages")
    visitor.press("Open all messages")
    visitor.press("Verify with the public key")
    expect(page.get_by_text("The signature is valid.")).to_be_visible()
    assert accessibility_violations(visitor) == []


def test_page_fits_into_a_narrow_window(visitor):
    """WCAG 2.2, 1.4.10 (Reflow): 320 px is the width of a 1280 px window at 400 % zoom."""
    visitor.sign_up_and_log_in()
    visitor.add_passkey("A passkey with quite a long name, which has to go somewhere")
    visitor.press("Open all messages")
    visitor.press("Verify with the public key")
    expect(visitor.page.get_by_text("The signature is valid.")).to_be_visible()
    assert elements_too_wide(visitor, widths=(320, 360, 768, 1088, 1920)) == {}


def test_page_has_landmarks_colour_scheme_and_separate_lanes(visitor):
    page = visitor.page
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for scheme in ("light", "dark"):
        visitor.set_display(DESKTOP, scheme)
        # Chromium returns a text like rgb(15, 18, 23).
        colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        is_dark = sum(int(part) for part in colour[4:-1].split(",")) < 3 * 128
        assert is_dark == (scheme == "dark")
    for width in (1088, 1280, 1360):
        visitor.set_display({"width": width, "height": 700})
        gaps = page.locator(".lanes").evaluate(
            """list => {
              const boxes = [...list.children].map((lane) => {
                const range = document.createRange();
                range.selectNodeContents(lane);
                return range.getBoundingClientRect();
              });
              return boxes.slice(1).map((box, place) => box.left - boxes[place].right);
            }"""
        )
        assert min(gaps) >= 20, width


def test_page_with_reduced_motion_has_no_animation(visitor):
    """``Visitor`` sets the preference for reduced motion in every window."""
    assert visitor.page.evaluate("() => getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    visitor.sign_up_and_log_in()
    visitor.page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    number = visitor.step("registration", "begin").locator(".number")
    assert number.evaluate("number => getComputedStyle(number).animationName") == "none"


def test_page_is_usable_with_a_keyboard(visitor):
    page, keyboard = visitor.page, Keyboard(visitor.page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")

    form = page.locator("#register-form")
    written = {"Name": "Ann", "E-mail": visitor.email, "Date of birth": "04141980", "Job title": "Baker"}
    for label, text in {**written, "Password": PASSWORD}.items():
        keyboard.type(form.get_by_label(label, exact=True), text)
    page.keyboard.press("Enter")
    visitor.expect_button("Log in")
    page.keyboard.press("Enter")
    visitor.expect_heading("My data")

    keyboard.focus(page.get_by_label("Stop after each message"))
    page.keyboard.press("Space")
    keyboard.press("Add a passkey")
    for step in visitor.page.locator("#flow-registration .step").all():
        expect(step).to_have_attribute("aria-current", "step")
        keyboard.press("Next message", "Space")
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    keyboard.focus(visitor.step("registration", "options").locator("summary"))
    was_open = visitor.step("registration", "options").locator("details").get_attribute("open")
    page.keyboard.press("Enter")
    assert visitor.step("registration", "options").locator("details").get_attribute("open") != was_open
    keyboard.press("Delete Passkey")
    visitor.expect_button("Keep")
    page.keyboard.press("Escape")
    visitor.expect_button("Delete Passkey")
    keyboard.focus(page.get_by_label("Stop after each message"))
    page.keyboard.press("Space")
    keyboard.press("Delete Passkey")
    keyboard.press("Delete permanently")
    visitor.expect_button("Confirm with a passkey")
    page.keyboard.press("Enter")
    visitor.expect_no_passkeys()
    visitor.expect_heading("Passkeys")
    keyboard.press("Log out")
    visitor.expect_heading("Log in")


def test_security_page_login_is_accessible(visit):
    visitor = visit(path="/security.html")
    assert accessibility_violations(visitor) == []
    visitor.sign_up()
    visitor.send_password()
    expect(visitor.page.get_by_role("heading", name="You may not read the audit log")).to_be_visible()
    assert accessibility_violations(visitor) == []


def test_security_page_is_accessible_in_each_state(auditor, target):
    visitor, page = auditor.visitor, auditor.page
    fail_to_log_in(visitor.url, target.email, times=2, user_agent=HOSTILE_TEXT)
    reuse_refresh_token(visitor.url, f"stolen-{target.email}")
    auditor.choose_range("hour")
    expect(auditor.headline("authn_token_reuse")).not_to_have_text("0")
    page.get_by_text("The chart as a table").click()
    assert accessibility_violations(visitor) == []

    def tamper(body):
        for number, event in enumerate(body["items"]):
            event["chain"]["intact"] = number != 0
            if number == 1:
                event.update(erased=True, source_ip=None, user_agent=None)
        return body

    auditor.replace_events(tamper)
    auditor.filter(event="authn_login_fail")
    expect(page.locator("#chain-alarm")).to_contain_text("The chain check fails for 1 record")
    assert accessibility_violations(visitor) == []
    for row in (0, 1):
        auditor.open_details(auditor.rows.nth(row))
        assert accessibility_violations(visitor) == []
        page.keyboard.press("Escape")
    page.unroute(EVENTS_URL)
    auditor.filter(ip="nowhere")
    assert accessibility_violations(visitor) == []


def test_security_page_fits_into_a_narrow_window(auditor, target):
    widths = (320, 768, 1088, 1920)
    fail_to_log_in(auditor.visitor.url, target.email, user_agent=HOSTILE_TEXT + "W" * 250)
    auditor.filter(reason="wrong_password")
    auditor.page.get_by_text("The chart as a table").click()
    assert elements_too_wide(auditor.visitor, widths=widths) == {}
    auditor.open_details(auditor.rows.first)
    assert elements_too_wide(auditor.visitor, widths=widths) == {}


def test_security_page_is_usable_with_a_keyboard(auditor, target):
    page, keyboard = auditor.page, Keyboard(auditor.page)
    auditor.ignore_earlier_events()
    fail_to_log_in(auditor.visitor.url, target.email)
    page.reload()
    keyboard.press("Log in with a passkey alone")
    auditor.expect_heading("Numbers")
    auditor.expect_events()

    keyboard.focus(page.get_by_label("day"))
    with page.expect_response(SUMMARY_URL):
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("hour")).to_be_checked()
    keyboard.focus(page.get_by_text("The chart as a table"))
    page.keyboard.press("Enter")
    keyboard.focus(page.locator("#reasons").get_by_role("button", name="wrong_password"))
    page.keyboard.press("Enter")
    auditor.expect_heading("Events")
    expect(auditor.rows.filter(has_not_text="wrong_password")).to_have_count(0)

    opener = auditor.rows.first.locator("[aria-haspopup=dialog]")
    keyboard.focus(opener)
    page.keyboard.press("Enter")
    expect(auditor.dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(opener).to_be_focused()
    keyboard.type(page.get_by_label("Reason", exact=True), "x")
    page.keyboard.press("Enter")
    expect(auditor.rows).to_have_count(0)
    keyboard.press("Log out")
    auditor.expect_heading("Log in")


def test_security_page_on_a_phone_keeps_its_table_semantics(auditor):
    """On a phone the table looks like a list, but screen readers still get a table."""
    auditor.visitor.set_display(PHONE)
    table = auditor.page.get_by_role("table", name="Events")
    expect(table.get_by_role("columnheader")).to_have_count(8)
    expect(table.get_by_role("row").nth(1).get_by_role("cell").first).to_be_visible()
    expect(auditor.page.get_by_role("heading", level=1)).to_have_count(1)
