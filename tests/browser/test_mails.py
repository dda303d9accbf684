"""Mails in a browser: each one in both languages and colour schemes, and the mailbox of the local runtime."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.mime import build_message
from auth_common.mail.rendering import render
from tests.support.accessibility import accessibility_violations
from tests.support.browser import DESKTOP, PHONE
from tests.support.databases import start_fresh_environment

pytestmark = [pytest.mark.mail, pytest.mark.pages, pytest.mark.browser]

VALUES = {
    **dict.fromkeys(("token", "undo_token"), "kXy0Q2nT8zYb7m3pLr5vWc9dJf1hGs6aEu4oIi-_NtM"),
    "code": "7K3M-9PQR",
    "time": "2026-11-30 08:17 UTC",
    "device": "Firefox, Linux",
    "client_ip": "2001:db8:85a3:8d3:1319:8a2e:370:7348",
    "further_logins": "3",
}


def rendered(kind, locale):
    return render(kind, locale=locale, variables={name: VALUES.get(name, "-") for name in MAIL_RULES[kind].variables})


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("locale", ["en", "de"])
def test_each_mail_is_accessible_and_has_a_picture_in_light_and_dark(visit, locale, tmp_path):
    """The pictures stay in pytest's folder of temporary files."""
    visitor = visit()
    visitor.page.goto("about:blank")
    for kind in MailKind:
        visitor.page.set_content(rendered(kind, locale).html)
        assert accessibility_violations(visitor) == [], kind
        for viewport, scheme in [(DESKTOP, "light"), (PHONE, "dark")]:
            visitor.set_display(viewport, scheme)
            picture = visitor.page.screenshot(path=tmp_path / f"{kind}-{scheme}.png", full_page=True)
            assert len(picture) > 5_000


@pytest.fixture
def mail(environment, data_dir, url, monkeypatch):
    """A mail in the mailbox of the running service. The value is its subject."""
    monkeypatch.setenv("WEBAUTHN_ORIGINS", url)
    start_fresh_environment()
    mail = rendered(MailKind.RESET_PASSWORD, "en")
    message = build_message(mail, recipient="ada@example.com", mail_id=uuid4(), now=datetime.now(UTC))
    (data_dir / "mail").mkdir(exist_ok=True)
    (data_dir / "mail" / "9999999999999999999-reset.eml").write_bytes(message.as_bytes())
    return mail.subject


def test_developer_opens_a_mail_and_follows_its_link(visit, mail, data_dir):
    visitor = visit(path=f"/mail.html?key={(data_dir / 'mailbox-key').read_text()}")
    page = visitor.page
    page.get_by_role("link", name=mail).first.click()
    expect(page.get_by_role("heading", name=mail)).to_be_visible()
    button = page.frame_locator("iframe").get_by_role("link", name="Set a new password")
    expect(button).to_be_visible()
    assert accessibility_violations(visitor) == []

    in_text = page.locator("pre a")
    assert in_text.get_attribute("href").endswith(f"/reset-password.html#token={VALUES['token']}")
    with page.expect_popup() as opened:
        button.click()
    assert opened.value.url == in_text.get_attribute("href")
    opened.value.close()


@pytest.mark.threat("mail-injected-text")
def test_markup_in_a_mail_runs_no_script_in_the_mailbox(visit, data_dir, environment):
    """A deployer's text, or a mail of other software in this folder."""
    attack = (
        "<html><head></head><body><img src=x onerror=parent.x=1><script>parent.x=1</script><p>end</p></body></html>"
    )
    mail = rendered(MailKind.RESET_PASSWORD, "en")
    message = build_message(
        type(mail)(subject="<script>x=1</script>", text="<script>x=1</script>", html=attack),
        recipient="ada@example.com",
        mail_id=uuid4(),
        now=datetime.now(UTC),
    )
    (data_dir / "mail").mkdir(exist_ok=True)
    (data_dir / "mail" / "9999999999999999998-attack.eml").write_bytes(message.as_bytes())
    visitor = visit(path=f"/mail.html?id=9999999999999999998-attack&key={(data_dir / 'mailbox-key').read_text()}")
    expect(visitor.page.frame_locator("iframe").get_by_text("end")).to_be_visible()
    assert visitor.page.evaluate("typeof x") == "undefined"
    visitor.browser_errors.clear()  # the browser reports what it has blocked
