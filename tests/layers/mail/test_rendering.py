"""Rendered mails: what users read in both languages, and texts that a deployer replaces."""

import re
from html.parser import HTMLParser

import pytest

from auth_common.errors import Misconfigured
from auth_common.mail.kinds import MAIL_RULES, MailKind, MailShare
from auth_common.mail.locales import choose_locale
from auth_common.mail.rendering import check_texts, render
from tests.support.databases import start_fresh_environment

pytestmark = [pytest.mark.mail, pytest.mark.usefixtures("environment")]

TOKEN = "t0ken-"
VALUES = {
    "token": TOKEN,
    "undo_token": "und0",
    "code": "7K3M-9PQR",
    "time": "2026-11-30 08:17 UTC",
    "device": "Firefox, Linux",
    "client_ip": "203.0.113.7",
    "further_logins": "3",
}
LINKS = {
    MailKind.VERIFY_EMAIL: "http://localhost:8000/verify-email.html#token=t0ken-",
    MailKind.ADDRESS_TAKEN: "http://localhost:8000/",
    MailKind.REGISTER_AGAIN: "http://localhost:8000/register-again.html#token=t0ken-",
    MailKind.RESET_PASSWORD: "http://localhost:8000/reset-password.html#token=t0ken-",
    MailKind.CONFIRM_NEW_EMAIL: "http://localhost:8000/confirm-email.html#token=t0ken-",
    MailKind.ACCOUNT_SECURED: "http://localhost:8000/reset-password.html",
}
UNDO_LINK = "http://localhost:8000/secure-account.html#token=und0"

each_kind = pytest.mark.parametrize("kind", MailKind)
each_locale = pytest.mark.parametrize("locale", ["en", "de"])


class Elements(HTMLParser):
    """The elements and texts of an HTML document."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.loaded, self.text = [], [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.links += [attributes["href"]] if tag == "a" else []
        self.loaded += [attributes[name] for name in ("src", "background", "poster", "srcset") if name in attributes]
        self.loaded += [attributes["href"]] if tag == "link" else []

    def handle_data(self, data):
        self.text += data


def variables(kind, **changes):
    return {name: VALUES.get(name, "-") for name in MAIL_RULES[kind].variables} | changes


@pytest.fixture
def set_up(monkeypatch):
    """Return a function that starts a new environment with further variables."""

    def set_them(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        start_fresh_environment()

    return set_them


@each_locale
@each_kind
def test_mail_has_the_same_links_and_facts_as_text_and_html(kind, locale):
    mail = render(kind, locale=locale, variables=variables(kind))
    html = Elements(mail.html)
    links = re.findall(r"https?://\S+", mail.text)
    assert html.links == links
    assert set(links) <= {LINKS.get(kind), UNDO_LINK}
    assert LINKS.get(kind) in [*links, None]
    for fact in ("7K3M-9PQR", "2026-11-30 08:17 UTC", "Firefox, Linux", "203.0.113.7"):
        assert (fact in mail.text) == (fact in html.text)
    assert mail.subject in html.text
    assert ("7K3M-9PQR" in mail.text) == ("code" in MAIL_RULES[kind].variables)
    assert "$" not in mail.text + mail.html + mail.subject
    assert max(len(line) for line in mail.text.splitlines() if "://" not in line) <= 78


@each_kind
def test_notice_of_a_changed_credential_has_the_link_this_was_not_me(kind):
    shown = UNDO_LINK in render(kind, locale="en", variables=variables(kind)).text
    # An operator disables accounts, and a lockout has changed nothing that could be undone.
    without_link = {MailKind.ACCOUNT_DISABLED, MailKind.ACCOUNT_LOCKED, MailKind.ACCOUNT_SECURED}
    assert shown == (MAIL_RULES[kind].is_notice and kind not in without_link)


@each_locale
@each_kind
def test_mail_loads_nothing_and_has_no_active_content(kind, locale):
    html = render(kind, locale=locale, variables=variables(kind)).html
    elements = Elements(html)
    assert elements.loaded == []
    assert not {"script", "img", "form", "iframe", "object", "embed", "link", "base"} & set(elements.tags)
    assert not re.search(r"url\(|@import|@font-face", html)


@each_kind
def test_languages_differ(kind):
    english, german = (render(kind, locale=locale, variables=variables(kind)) for locale in ("en", "de"))
    assert english.subject != german.subject
    assert 'lang="de"' in german.html
    assert render(kind, locale=None, variables=variables(kind)) == english
    assert render(kind, locale="../en", variables=variables(kind)) == english


@pytest.mark.asvs("1.2.1")
@pytest.mark.threat("mail-injected-text")
@each_kind
def test_value_is_inserted_as_text_without_new_lines(kind):
    """An attacker who controls a value adds no markup, no paragraph that looks genuine, and nothing to the subject."""
    attack = '<a href="https://evil.example">x</a>\r\n\r\nPay here: $link\r\nBcc: victim@example.com ${service}'
    changes = {name: attack for name in MAIL_RULES[kind].variables if name not in {"time", "token", "undo_token"}}
    attacked = render(kind, locale="en", variables=variables(kind, **changes))
    harmless = render(kind, locale="en", variables=variables(kind))
    assert Elements(attacked.html).tags == Elements(harmless.html).tags
    assert Elements(attacked.html).links == Elements(harmless.html).links
    assert attacked.subject == harmless.subject
    assert "\nPay here" not in attacked.text
    assert "\nBcc" not in attacked.text


@pytest.mark.threat("mail-injected-text")
@pytest.mark.parametrize("kind", [kind for kind, rules in MAIL_RULES.items() if rules.share is MailShare.OPEN])
def test_mail_that_any_client_can_cause_contains_no_text_of_the_client(kind):
    """No name, device or client IP. Otherwise the service would send an attacker's text to strangers."""
    assert MAIL_RULES[kind].variables <= {"token", "code"}


@pytest.mark.threat("mail-injected-text")
@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("kind", MailKind)
def test_subject_is_a_constant(kind, locale):
    values = [dict.fromkeys(MAIL_RULES[kind].variables, value) for value in ("one", "2")]
    first, second = (render(kind, locale=locale, variables=each) for each in values)
    assert first.subject == second.subject


def test_token_with_special_characters_stays_in_the_fragment():
    mail = render(MailKind.RESET_PASSWORD, locale="en", variables={"token": 'a"b c&d#e'})
    assert Elements(mail.html).links == ["http://localhost:8000/reset-password.html#token=a%22b%20c%26d%23e"]


@pytest.mark.parametrize("empty", ["", "0"])
def test_line_without_value_is_left_out(empty):
    changes = {"device": "", "client_ip": "", "further_logins": empty, "undo_token": ""}
    mail = render(MailKind.NEW_LOGIN, locale="en", variables=variables(MailKind.NEW_LOGIN, **changes))
    assert "When: 2026-11-30 08:17 UTC\n\n" in mail.text
    assert not re.search("Device:|IP address:|Further|Secure my account", mail.text)
    assert Elements(mail.html).links == []


def test_links_lead_to_the_pages_url(set_up):
    set_up(PAGES_URL="https://login.example.com/pages", CORS_ORIGINS="https://login.example.com")
    mail = render(MailKind.RESET_PASSWORD, locale="en", variables={"token": "t"})
    assert Elements(mail.html).links == ["https://login.example.com/pages/reset-password.html#token=t"]


def test_deployer_replaces_texts_frame_footer_and_name(set_up, tmp_path):
    own = tmp_path / "texts"
    (own / "en").mkdir(parents=True)
    (own / "en" / "reset_password.txt").write_text("New password\n\nDear user of $service,\n\nGo on: $link\n\n5 $$\n")
    (own / "en" / "footer.txt").write_text("Example Ltd\nLondon\n\nRegistered")
    (own / "frame.html").write_text("<title>$subject</title><img-free>$content</img-free>$footer")
    set_up(MAIL_TEXTS_DIR=own, MAIL_FROM_NAME="Bücher & <Söhne>")
    check_texts()
    mail = render(MailKind.RESET_PASSWORD, locale="en", variables={"token": "t"})
    assert mail.subject == "New password"
    assert mail.text == (
        "Dear user of Bücher & <Söhne>,\n\nGo on:\nhttp://localhost:8000/reset-password.html#token=t\n\n5 $\n\n"
        "-- \nExample Ltd\nLondon\n\nRegistered\n"
    )
    assert "<p>Dear user of Bücher &amp; &lt;Söhne&gt;,</p>" in mail.html
    assert mail.html.endswith("<p>Example Ltd<br>London</p>\n<p>Registered</p>")
    # The others stay as they are.
    assert "Bücher" in render(MailKind.PASSWORD_CHANGED, locale="de", variables=variables("password_changed")).text


def test_deployer_adds_a_language(set_up, tmp_path):
    (tmp_path / "fr").mkdir()
    set_up(MAIL_TEXTS_DIR=tmp_path, MAIL_LOCALES="fr,en")
    with pytest.raises(Misconfigured, match=r"fr/verify_email\.txt is missing"):
        check_texts()
    for kind in MailKind:
        link = "\n\nLien: $link" if kind in LINKS else ""
        (tmp_path / "fr" / f"{kind}.txt").write_text(f"Sujet\n\nBonjour{link}\n")
    (tmp_path / "fr" / "footer.txt").write_text("Au revoir")
    start_fresh_environment()
    check_texts()
    assert render(MailKind.NEW_LOGIN, locale=None, variables=variables(MailKind.NEW_LOGIN)).subject == "Sujet"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("en/verify_email.txt", "S\n\n$nothing $link", "may contain the variables"),
        ("en/verify_email.txt", "S\n\n$link 5$", "may contain the variables"),
        ("en/verify_email.txt", "S\n\n$code", r"must contain \$link"),
        ("en/verify_email.txt", "Your code is $code\n\n$link", "must begin with the subject"),
        ("en/verify_email.txt", "two\nlines\n\n$link", "must begin with the subject"),
        ("en/new_login.txt", "only a subject", "must begin with the subject"),
        ("en/new_login.txt", b"\xff\xfe", "must be text in UTF-8"),
        ("en/footer.txt", "$code", "may contain the variables"),
        ("frame.html", "<p>$footer", r"must contain \$content"),
        ("frame.html", "$content $client_ip", "may contain the variables"),
    ],
)
def test_fault_in_a_deployers_file_is_named(set_up, tmp_path, file, content, message):
    (tmp_path / "own" / "en").mkdir(parents=True)
    (tmp_path / "own" / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    set_up(MAIL_TEXTS_DIR=tmp_path / "own")
    # A fault in one text stops every mail, so that it is noticed before the kind is needed.
    with pytest.raises(Misconfigured, match=f"MAIL_TEXTS_DIR: {re.escape(file)} {message}"):
        render(MailKind.PASSWORD_CHANGED, locale="de", variables=variables(MailKind.PASSWORD_CHANGED))


def test_missing_folder_of_texts_is_an_error(set_up, tmp_path):
    set_up(MAIL_TEXTS_DIR=tmp_path / "nowhere")
    with pytest.raises(Misconfigured, match="must be a folder"):
        check_texts()


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("DE-ch", "de"),
        ("de-Latn-CH-1901,en", "de"),
        ("fr-FR,fr;q=0.9,de;q=0.8,en;q=0.7", "de"),
        ("en;q=0.5, de;q=0.7", "de"),
        ("de;q=0", "en"),
        ("de;q=0.9,en", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("de;q=many,fr", "en"),
        ("de;level=1", "en"),
        ("den", "en"),
        (";;,,q=1;--,\x00\u00e9", "en"),
        (",".join(["fr"] * 1000 + ["de"]), "en"),
    ],
)
def test_locale_is_the_best_of_accept_language(header, locale):
    assert choose_locale(header) == locale


def test_locale_is_found_whatever_its_case(set_up):
    set_up(MAIL_LOCALES="en,pt-BR")
    assert choose_locale("pt-br") == "pt-BR"
    assert choose_locale("pt") == "en"


@pytest.mark.parametrize("locales", ["EN", "../en", "en,", "english"])
def test_locales_that_are_no_language_tags_are_rejected(set_up, locales):
    set_up(MAIL_LOCALES=locales)
    with pytest.raises(Misconfigured, match="MAIL_LOCALES"):
        choose_locale("en")
