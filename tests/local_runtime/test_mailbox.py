"""/mail.html and /mail.json: a developer reads the service's mails. Other machines cannot."""

import asyncio
import stat
from email.message import EmailMessage
from email.policy import SMTP

import httpx
import pytest

from local_runtime.gateway import Gateway
from local_runtime.mailbox import MailboxPage, read_key

pytestmark = pytest.mark.local_runtime

KEY = "a-key-of-the-mailbox"
LINK = "http://localhost:8000/verify-email.html#token=abc"


def write_mail(folder, number=1, *, to="ada@example.com", text="", html="", subject="Hello"):
    message = EmailMessage(policy=SMTP)
    message["From"] = "Secure Backend <no-reply@example.com>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Mon, 30 Nov 2026 08:00:00 +0000"
    message.set_content(text or f"Confirm:\n{LINK}\n\nYour code:\n\n7K3M-9PQR\n\nGood-bye")
    if html:
        message.add_alternative(html, subtype="html")
    folder.mkdir(exist_ok=True)
    (folder / f"{number}.eml").write_bytes(message.as_bytes())


def request(gateway: Gateway, method: str, url: str, **options) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(gateway), base_url="http://localhost:8000"
        ) as client:
            return await client.request(method, url, **options)

    return asyncio.run(send())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "mail"


@pytest.fixture
def get(tmp_path, folder):
    """Return a function that sends a GET request to a gateway with the mailbox ``folder``."""
    gateway = Gateway(tmp_path, mailbox=MailboxPage(folder, key=KEY), host_names={"tunnel.example"})

    def get(url, *, key=KEY, params=None, **options):
        return request(gateway, "GET", url, params={**httpx.URL(url).params, **(params or {}), "key": key}, **options)

    return get


def test_mailbox_without_mails_is_empty(get):
    assert get("/mail.json").json() == {"items": []}
    page = get("/mail.html")
    assert (page.status_code, "There is no mail yet" in page.text) == (200, True)


def test_program_reads_links_and_codes_of_an_address_newest_first(get, folder):
    for number, to in [(1, "ada@example.com"), (2, "bob@example.com"), (3, "ada@example.com")]:
        write_mail(folder, number, to=to)
    items = get("/mail.json", params={"to": "ada@example.com"}).json()["items"]
    assert [item["id"] for item in items] == ["3", "1"]
    newest = items[0]
    assert (newest["links"], newest["codes"]) == ([LINK], ["7K3M-9PQR"])
    assert (newest["subject"], newest["time"]) == ("Hello", "2026-11-30T08:00:00+00:00")
    assert [item["id"] for item in get("/mail.json").json()["items"]] == ["3", "2", "1"]


def test_page_shows_a_mail_with_links_and_its_html_in_a_sandbox(get, folder):
    write_mail(folder, html=f'<html><head></head><body><a href="{LINK}">Confirm</a></body></html>')
    assert f'href="/mail.html?id=1&amp;key={KEY}"' in get("/mail.html").text
    page = get("/mail.html?id=1")
    assert f'<a href="{LINK}">' in page.text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    frame = get("/mail.html?id=1&part=html")
    assert "sandbox allow-popups" in frame.headers["content-security-policy"]
    assert '<base target="_blank">' in frame.text


@pytest.mark.parametrize("part", ["text", "subject", "to"])
def test_markup_in_a_mail_is_shown_as_text(get, folder, part):
    write_mail(
        folder, **{part: '"<script>alert(1)</script>" <a@example.com>' if part == "to" else "<script>x</script>"}
    )
    page = get("/mail.html?id=1")
    assert "<script>" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]  # so default-src 'none' forbids scripts
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_unknown_mail_and_mail_without_headers_are_no_errors(get, folder):
    folder.mkdir()
    (folder / "1.eml").write_bytes(b"\r\n")
    (folder / "2.eml").symlink_to(folder / "deleted")
    assert get("/mail.html?id=1").status_code == 200
    assert get("/mail.html?id=../pepper&part=html").text == ""
    (item,) = get("/mail.json").json()["items"]
    assert (item["time"], item["to"], item["links"]) == (None, "", [])


def test_other_methods_are_rejected(tmp_path, folder):
    assert request(Gateway(tmp_path, mailbox=MailboxPage(folder, key=KEY)), "POST", "/mail.json").status_code == 405


@pytest.mark.threat("page-dns-rebinding")
@pytest.mark.parametrize(
    "headers",
    [
        *({"Host": host} for host in ("attacker.example", "tunnel.example", "192.168.0.1")),
        *({name: "203.0.113.7"} for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Forwarded-Host")),
        *({name: "https"} for name in ("X-Forwarded-Proto", "X-Real-IP")),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/mail.html", "/mail.json"])
def test_request_from_another_machine_gets_no_mail(get, folder, path, headers):
    """A page with DNS rebinding, or a tunnel that shows the developer's service to others."""
    write_mail(folder)
    response = get(path, headers=headers)
    assert response.status_code >= 400
    assert "7K3M" not in response.text


@pytest.mark.threat("page-dns-rebinding")
@pytest.mark.parametrize("key", ["", "another", "ä"])
@pytest.mark.parametrize("path", ["/mail.html", "/mail.html?id=1&part=html", "/mail.json"])
def test_request_without_the_key_gets_no_mail(get, folder, path, key):
    """A proxy on this machine that hides itself: it sends Host: localhost, and adds no header."""
    write_mail(folder)
    response = get(path, key=key)
    assert response.status_code == 403
    assert "7K3M" not in response.text
    assert KEY not in response.text


@pytest.mark.threat("page-dns-rebinding")
def test_request_from_another_address_gets_no_mail(tmp_path, folder):
    write_mail(folder)
    gateway = Gateway(tmp_path, mailbox=MailboxPage(folder, key=KEY))

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(gateway, client=("192.168.0.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            return await client.get("/mail.json", params={"key": KEY})

    assert "7K3M" not in asyncio.run(send()).text


def test_key_stays_the_same_and_is_readable_by_its_user_only(tmp_path):
    key = read_key(tmp_path)
    assert len(key) > 20
    assert read_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "mailbox-key").stat().st_mode) == 0o600


def test_gateway_without_mailbox_has_no_such_page(tmp_path):
    assert request(Gateway(tmp_path), "GET", "/mail.html").status_code == 502
