"""For everybody: axe-core finds nothing, a keyboard is enough, a phone too, and the dark is dark."""

import pytest
from playwright.sync_api import expect

from tests.support.accessibility import Keyboard, faults, parts_too_wide
from tests.support.browser import DESK, PHONE
from tests.support.factories import PASSWORD
from tests.support.security_team import EVENTS, HOSTILE, fail_to_log_in, reuse_a_refresh_token

pytestmark = [pytest.mark.pages, pytest.mark.browser]


def test_no_state_of_the_page_has_a_fault(visitor):
    page = visitor.page
    assert faults(visitor) == []

    visitor.press("Register")
    expect(page.get_by_text("Name must contain a letter.")).to_be_visible()
    assert faults(visitor) == []

    visitor.enter()
    page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    expect(visitor.step("registration", "begin")).to_have_attribute("aria-current", "step")
    assert faults(visitor) == []
    page.get_by_label("Stop after each message").uncheck()
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")

    visitor.press("Open all messages")
    visitor.press("Delete Passkey")
    expect(page.get_by_role("button", name="Delete for good")).to_be_visible()
    assert faults(visitor) == []
    visitor.press("Keep")
    visitor.press("Rename Passkey")
    assert faults(visitor) == []

    visitor.log_out()
    visitor.set_authenticator(verifies=False)
    visitor.press("Log in with a passkey alone")
    expect(visitor.step("passkey-alone", "consent")).to_have_attribute("data-state", "failed")
    visitor.set_authenticator()
    visitor.give_password()
    expect(visitor.step("second-factor", "mfa")).to_have_attribute("data-state", "active")
    assert faults(visitor) == []
    visitor.press("Use your passkey")
    visitor.expect_to_be_in()
    visitor.press("Open all messages")
    visitor.press("Open all messages")
    visitor.press("Check it with the public key")
    expect(page.get_by_text("It is good: signed with the key")).to_be_visible()
    assert faults(visitor) == []


def test_no_window_is_too_narrow(visitor):
    """WCAG 2.2, 1.4.10: 320 px is a window of 1280 px at 400 %."""
    visitor.enter()
    visitor.add_passkey("A passkey with quite a long name, which has to go somewhere")
    visitor.press("Open all messages")
    visitor.press("Check it with the public key")
    expect(visitor.page.get_by_text("It is good: signed with the key")).to_be_visible()
    assert parts_too_wide(visitor, widths=(320, 360, 768, 1088, 1920)) == {}


def test_page_has_landmarks_the_chosen_colours_and_lanes_that_keep_apart(visitor):
    page = visitor.page
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for scheme in ("light", "dark"):
        visitor.look(DESK, scheme)
        # Chromium writes rgb(15, 18, 23).
        colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        is_dark = sum(int(part) for part in colour[4:-1].split(",")) < 3 * 128
        assert is_dark == (scheme == "dark")
    for width in (1088, 1280, 1360):
        visitor.look({"width": width, "height": 700})
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


def test_nothing_moves_for_whom_it_must_not(visitor):
    """All windows of these tests belong to somebody who prefers reduced motion."""
    assert visitor.page.evaluate("() => getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    visitor.enter()
    visitor.page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    number = visitor.step("registration", "begin").locator(".number")
    assert number.evaluate("number => getComputedStyle(number).animationName") == "none"


def test_a_keyboard_is_enough(visitor):
    page, keyboard = visitor.page, Keyboard(visitor.page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")

    form = page.locator("#register-form")
    written = {"Name": "Ann", "E-mail": visitor.email, "Date of birth": "04141980", "Job title": "Baker"}
    for label, text in {**written, "Password": PASSWORD}.items():
        keyboard.write(form.get_by_label(label, exact=True), text)
    page.keyboard.press("Enter")
    visitor.expect_button("Log in")
    page.keyboard.press("Enter")
    visitor.expect_heading("My data")

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
    keyboard.press("Delete Passkey")
    visitor.expect_button("Keep")
    page.keyboard.press("Escape")
    visitor.expect_button("Delete Passkey")
    keyboard.go_to(page.get_by_label("Stop after each message"))
    page.keyboard.press("Space")
    keyboard.press("Delete Passkey")
    keyboard.press("Delete for good")
    visitor.expect_button("Confirm with a passkey")
    page.keyboard.press("Enter")
    visitor.expect_no_passkeys()
    visitor.expect_heading("Passkeys")
    keyboard.press("Log out")
    visitor.expect_heading("Log in")


def test_no_way_into_the_security_page_has_a_fault(visit):
    visitor = visit(path="/security.html")
    assert faults(visitor) == []
    visitor.sign_up()
    visitor.give_password()
    expect(visitor.page.get_by_role("heading", name="This page is not open to you")).to_be_visible()
    assert faults(visitor) == []


def test_no_state_of_the_security_page_has_a_fault(auditor, target):
    visitor, page = auditor.visitor, auditor.page
    fail_to_log_in(visitor.url, target.email, times=2, user_agent=HOSTILE)
    reuse_a_refresh_token(visitor.url, f"stolen-{target.email}")
    auditor.choose_range("hour")
    expect(auditor.headline("authn_token_reuse")).not_to_have_text("0")
    page.get_by_text("The chart as a table").click()
    assert faults(visitor) == []

    def tamper(body):
        for number, event in enumerate(body["items"]):
            event["chain"]["intact"] = number != 0
            if number == 1:
                event.update(erased=True, source_ip=None, user_agent=None)
        return body

    auditor.change_events(tamper)
    auditor.filter(event="authn_login_fail")
    expect(page.locator("#chain-alarm")).to_contain_text("The chain check fails for 1 record")
    assert faults(visitor) == []
    for row in (0, 1):
        auditor.open(auditor.rows.nth(row))
        assert faults(visitor) == []
        page.keyboard.press("Escape")
    page.unroute(EVENTS)
    auditor.filter(ip="nowhere")
    assert faults(visitor) == []


def test_no_window_is_too_narrow_for_the_security_page(auditor, target):
    widths = (320, 768, 1088, 1920)
    fail_to_log_in(auditor.visitor.url, target.email, user_agent=HOSTILE + "W" * 250)
    auditor.filter(reason="wrong_password")
    auditor.page.get_by_text("The chart as a table").click()
    assert parts_too_wide(auditor.visitor, widths=widths) == {}
    auditor.open(auditor.rows.first)
    assert parts_too_wide(auditor.visitor, widths=widths) == {}


def test_a_keyboard_is_enough_for_the_security_page(auditor, target):
    page, keyboard = auditor.page, Keyboard(auditor.page)
    fail_to_log_in(auditor.visitor.url, target.email)
    page.reload()
    keyboard.press("Log in with a passkey alone")
    auditor.expect_heading("Numbers")
    auditor.expect_events()

    keyboard.go_to(page.get_by_label("day"))
    with page.expect_response("**/audit/summary?*"):
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("hour")).to_be_checked()
    keyboard.go_to(page.get_by_text("The chart as a table"))
    page.keyboard.press("Enter")
    keyboard.go_to(page.locator("#reasons").get_by_role("button", name="wrong_password"))
    page.keyboard.press("Enter")
    auditor.expect_heading("Events")
    expect(auditor.rows.filter(has_not_text="wrong_password")).to_have_count(0)

    opener = auditor.rows.first.locator("[aria-haspopup=dialog]")
    keyboard.go_to(opener)
    page.keyboard.press("Enter")
    expect(auditor.dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(opener).to_be_focused()
    keyboard.write(page.get_by_label("Reason", exact=True), "x")
    page.keyboard.press("Enter")
    expect(auditor.rows).to_have_count(0)
    keyboard.press("Log out")
    auditor.expect_heading("Log in")


def test_the_security_page_is_a_table_to_a_screen_reader_also_where_it_looks_like_a_list(auditor):
    auditor.visitor.look(PHONE)
    table = auditor.page.get_by_role("table", name="Events")
    expect(table.get_by_role("columnheader")).to_have_count(8)
    expect(table.get_by_role("row").nth(1).get_by_role("cell").first).to_be_visible()
    expect(auditor.page.get_by_role("heading", level=1)).to_have_count(1)
