"""The pages that the links in mails open: verify an address, register again, and reset a password."""

import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import expect

from tests.support.accessibility import accessibility_violations
from tests.support.factories import NEW_PASSWORD, PASSWORD, registration
from tests.support.processes import wait_until

PAGES = [
    *("verify-email.html", "confirm-email.html", "register-again.html"),
    *("reset-password.html", "secure-account.html"),
]

pytestmark = [pytest.mark.mail, pytest.mark.pages, pytest.mark.browser]


@pytest.fixture
def mailbox(client, data_dir):
    """Return a function that waits for a mail with a link to a page, and returns path and fragment, and the code."""

    key = (data_dir / "mailbox-key").read_text()

    def wait_for_mail(email, page):
        found: list[tuple[str, ...]] = []

        def has_arrived():
            items = client.get("/mail.json", params={"to": email, "key": key}).raise_for_status().json()["items"]
            found.extend((link, *item["codes"]) for item in items for link in item["links"] if f"/{page}#" in link)
            return found

        wait_until(has_arrived)
        link, *codes = found[0]
        return link[link.index(f"/{page}#") :], *codes

    return wait_for_mail


@pytest.fixture
def is_verified(data_dir):
    """Return a function that says whether the address of a visitor's account is verified."""

    def ask(visitor):
        (file,) = data_dir.glob("*.sqlite3")
        query = "SELECT email_verified_at FROM users WHERE email = ?"
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            ((verified_at,),) = connection.execute(query, [visitor.email])
        return verified_at is not None

    return ask


def open_link(visitor, link):
    """Open the link of a mail, and wait until the script of the page has run."""
    visitor.page.goto(f"{visitor.url}{link}")
    expect(visitor.page.locator("[data-when]:visible").first).to_be_visible()


def fill(visitor, form, **values):
    for name, value in values.items():
        visitor.page.locator(f"#{form} [name={name}]").fill(value)


@pytest.mark.threat("page-link-token", "function-pre-hijacking")
def test_link_verifies_the_address_only_after_the_password(visitor, mailbox, is_verified):
    visitor.sign_up()
    link, _ = mailbox(visitor.email, "verify-email.html")
    sent = []
    visitor.listen("request", lambda request: sent.append(request.method))
    open_link(visitor, link)
    # A mail scanner, or a user who has not registered, only opens the link.
    visitor.page.wait_for_load_state("networkidle")
    assert set(sent) == {"GET"}
    assert not is_verified(visitor)

    fill(visitor, "verify-form", password="not the password of it")
    visitor.press("Verify the address")
    expect(visitor.page.locator("#verify-form .problem")).to_contain_text("invalid_current_password")
    assert not is_verified(visitor)

    fill(visitor, "verify-form", password=PASSWORD)
    visitor.press("Verify the address")
    visitor.expect_heading("Your address is verified")
    assert is_verified(visitor)


@pytest.mark.asvs("14.2.1")
@pytest.mark.threat("page-link-token")
@pytest.mark.parametrize("page", PAGES)
def test_token_of_a_link_is_in_no_url_and_not_in_the_history(visitor, page):
    token = "mt_0123456789abcdef0123456789abcdef0123456789a"
    open_link(visitor, f"/{page}#token={token}")
    assert visitor.page.url == f"{visitor.url}/{page}"
    devtools = visitor.page.context.new_cdp_session(visitor.page)
    entries = devtools.send("Page.getNavigationHistory")["entries"]
    assert [entry["url"] for entry in entries if token in entry["url"]] == []
    assert entries[-1]["url"] == visitor.page.url
    assert [request for request in visitor.requests if token in request.partition("#")[0]] == []


def test_second_link_in_the_same_tab_replaces_the_first(visitor, mailbox, is_verified):
    visitor.sign_up()
    link, _ = mailbox(visitor.email, "verify-email.html")
    open_link(visitor, "/verify-email.html#token=mt_old")
    visitor.page.goto(f"{visitor.url}{link}")
    expect(visitor.page).to_have_url(f"{visitor.url}/verify-email.html")
    fill(visitor, "verify-form", password=PASSWORD)
    visitor.press("Verify the address")
    visitor.expect_heading("Your address is verified")
    assert is_verified(visitor)


def test_session_of_an_open_tab_replaces_the_password(visitor, mailbox):
    visitor.sign_up_and_log_in()
    with visitor.page.expect_popup() as opened:
        visitor.page.get_by_role("link", name="no, verify the address").click()
    tab = opened.value
    link, _ = mailbox(visitor.email, "verify-email.html")
    expect(tab.get_by_role("heading", name="Request another mail")).to_be_visible()
    tab.goto(f"{visitor.url}{link}")
    tab.get_by_role("button", name="Verify the address").click()
    expect(tab.get_by_role("heading", name="Your address is verified")).to_be_focused()
    tab.close()


def test_code_verifies_the_address_and_errors_are_shown_at_their_fields(visitor, mailbox, is_verified):
    visitor.sign_up()
    _, code = mailbox(visitor.email, "verify-email.html")
    open_link(visitor, "/verify-email.html")
    form = visitor.page.locator("#code-form")
    visitor.press("Verify with the code")
    expect(form.get_by_label("E-mail")).to_have_accessible_description("E-mail is not a valid e-mail address.")

    fill(visitor, "code-form", email=visitor.email, code=code)
    visitor.press("Verify with the code")
    expect(form.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    assert not is_verified(visitor)

    fill(visitor, "code-form", password=PASSWORD)
    visitor.press("Verify with the code")
    visitor.expect_heading("Your address is verified")
    assert is_verified(visitor)


def test_request_for_a_mail_reveals_no_account(visitor, mailbox):
    visitor.sign_up()
    for page, form, button in (
        ("verify-email.html", "verification-form", "Send a mail"),
        ("reset-password.html", "reset-request-form", "Send a link"),
    ):
        open_link(visitor, f"/{page}")
        texts = []
        for email in (visitor.email, f"unknown-{visitor.email}"):
            fill(visitor, form, email=email)
            visitor.press(button)
            expect(visitor.status).to_contain_text("is on its way")
            texts.append(visitor.status.text_content())
        assert texts[0] == texts[1]
    assert visitor.error_statuses == []


def test_user_who_forgot_the_password_sets_a_new_one_and_logs_in(visitor, client, mailbox):
    visitor.sign_up()
    link, _ = mailbox(visitor.email, "verify-email.html")
    proof = {"token": link.partition("token=")[2], "password": PASSWORD}
    client.post("/email/verify", json=proof).raise_for_status()

    visitor.page.get_by_role("link", name="Forgot your password?").click()
    fill(visitor, "reset-request-form", email=visitor.email)
    visitor.press("Send a link")
    (link,) = mailbox(visitor.email, "reset-password.html")
    open_link(visitor, link)
    password = visitor.page.get_by_role("textbox", name="New password")
    expect(password).to_have_attribute("autocomplete", "new-password")
    password.fill("too short")
    visitor.press("Set the password")
    expect(password).to_have_attribute("aria-invalid", "true")
    password.fill(NEW_PASSWORD)
    visitor.page.get_by_label("Show the password").check()
    expect(password).to_have_attribute("type", "text")
    visitor.press("Set the password")
    visitor.expect_heading("Your password is changed")
    assert NEW_PASSWORD not in visitor.page.content()

    visitor.page.get_by_role("link", name="Log in with the new password").click()
    visitor.page.wait_for_url("**/index.html")  # With its scripts, which handle the form.
    visitor.send_password(NEW_PASSWORD)
    visitor.expect_logged_in()
    expect(visitor.page.locator("#me")).to_contain_text("Verifiedyes")


@pytest.fixture
def verified(visitor, client, mailbox):
    """A visitor whose address is verified, and who has logged in."""
    visitor.sign_up_and_log_in()
    link, _ = mailbox(visitor.email, "verify-email.html")
    proof = {"token": link.partition("token=")[2], "password": PASSWORD}
    client.post("/email/verify", json=proof).raise_for_status()
    return visitor


@pytest.mark.threat("page-link-token", "function-pre-hijacking")
def test_user_changes_the_address_on_the_demo_page_and_confirms_it_by_the_link(verified, mailbox, client):
    page, new_email = verified.page, f"new-{verified.email}"
    page.get_by_text("Change the e-mail address").click()
    verified.press("Send the mail")
    expect(page.get_by_label("New e-mail")).to_have_attribute("aria-invalid", "true")
    fill(verified, "email-form", new_email=new_email)
    verified.press("Send the mail")
    expect(verified.status).to_contain_text("is on its way")
    expect(page.locator("#email-form")).to_be_hidden()
    link, _ = mailbox(new_email, "confirm-email.html")
    open_link(verified, link)
    page.wait_for_load_state("networkidle")
    assert client.post("/login", json={"email": new_email, "password": PASSWORD}).status_code == 401

    fill(verified, "verify-form", password=PASSWORD)
    verified.press("Change to this address")
    verified.expect_heading("Your address is changed")
    assert client.post("/login", json={"email": new_email, "password": PASSWORD}).status_code == 200


def test_user_confirms_a_new_address_by_its_code_in_another_tab(verified, mailbox, client):
    page, new_email = verified.page, f"new-{verified.email}"
    page.get_by_text("Change the e-mail address").click()
    fill(verified, "email-form", new_email=new_email)
    verified.press("Send the mail")
    _, code = mailbox(new_email, "confirm-email.html")
    tab = page.context.new_page()
    tab.goto(f"{verified.url}/confirm-email.html")
    tab.get_by_label("New e-mail").fill(new_email)
    tab.get_by_label("Code of the mail").fill(code)
    tab.get_by_role("button", name="Confirm with the code").click()
    expect(tab.get_by_role("heading", name="Your address is changed")).to_be_focused()
    tab.close()
    assert client.post("/login", json={"email": new_email, "password": PASSWORD}).status_code == 200


def test_user_of_the_mailbox_replaces_an_unverified_account(visitor, client, mailbox, is_verified):
    """Another user may have registered the address, and knows the old password."""
    visitor.sign_up()
    client.post("/password/reset", json={"email": visitor.email}).raise_for_status()
    (link,) = mailbox(visitor.email, "register-again.html")
    open_link(visitor, link)
    person = registration(email=f"other-{visitor.email}", password=NEW_PASSWORD)
    fill(visitor, "register-again-form", **person)
    visitor.press("Delete the old account and register")
    expect(visitor.page.locator("#register-again-form .problem")).to_contain_text("invalid_or_expired_code")

    fill(visitor, "register-again-form", email=visitor.email)
    visitor.press("Delete the old account and register")
    visitor.expect_heading("You are registered")
    assert is_verified(visitor)
    assert client.post("/login", json={"email": visitor.email, "password": PASSWORD}).status_code == 401


@pytest.mark.threat("page-link-token")
def test_link_of_a_notice_secures_the_account_only_after_a_click(visitor, client, mailbox):
    visitor.sign_up()
    link, _ = mailbox(visitor.email, "verify-email.html")
    proof = {"token": link.partition("token=")[2], "password": PASSWORD}
    client.post("/email/verify", json=proof).raise_for_status()
    client.post("/password/reset", json={"email": visitor.email}).raise_for_status()
    (link,) = mailbox(visitor.email, "reset-password.html")
    reset = {"token": link.partition("token=")[2], "new_password": NEW_PASSWORD}
    client.post("/password/reset/complete", json=reset).raise_for_status()

    def log_in():
        return client.post("/login", json={"email": visitor.email, "password": NEW_PASSWORD}).status_code

    (link,) = mailbox(visitor.email, "secure-account.html")
    sent = []
    visitor.listen("request", lambda request: sent.append(request.method))
    open_link(visitor, link)
    visitor.page.wait_for_load_state("networkidle")
    assert set(sent) == {"GET"}
    assert log_in() == 200

    visitor.press("Secure my account")
    visitor.expect_heading("Your account is secured")
    assert accessibility_violations(visitor) == []
    assert log_in() == 401
    visitor.page.get_by_role("link", name="set a new password").click()
    expect(visitor.page.get_by_role("heading", name="Request a link")).to_be_visible()


def test_notice_with_an_unknown_token_shows_the_error(visitor):
    open_link(visitor, "/secure-account.html#token=mt_unknown")
    visitor.press("Secure my account")
    expect(visitor.page.locator("#secure-form .problem")).to_contain_text("invalid_or_expired_code")


@pytest.mark.parametrize("fragment", ["", "#token=mt_x"], ids=["without link", "with link"])
@pytest.mark.parametrize("page", PAGES)
def test_page_of_a_link_is_accessible(visit, page, fragment):
    visitor = visit(path=f"/{page}{fragment}")
    expect(visitor.page.locator("section.card:visible").first).to_be_visible()
    assert accessibility_violations(visitor) == []
