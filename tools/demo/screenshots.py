"""``make screenshots``: pictures of both pages for the documentation, of the demo's service, light and dark."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect

from tools.attacks.target import PROJECT
from tools.attacks.users import PASSWORD
from tools.demo.chromium import NO_AUTOFILL, add_authenticator, find_chromium, running_chromium
from tools.demo.command import demo_service
from tools.demo.functions import BROWSER
from tools.demo.users import SECURITY_EMAIL

_FOLDER: Final = PROJECT / "docs" / "images"
_SIZE: Final[ViewportSize] = {"width": 1360, "height": 1120}
#: A picture of text needs few colours. With them its file has a third of the size.
_COLOURS: Final = 128
#: What is above the element keeps a small distance from the edge of the picture.
_SCROLL: Final = (
    "selector => { document.activeElement.blur(); scrollTo(0, document.querySelector(selector).offsetTop - 16); }"
)
#: Milliseconds, because the first request of a function is slow and the machine may be busy.
_TIMEOUT: Final = 60_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo.screenshots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="of the pictures (default: docs/images)")
    target = parser.parse_args(arguments).folder
    path = find_chromium()
    if path is None:
        sys.stderr.write("make screenshots needs Chromium, for example: apt-get install chromium-headless-shell\n")
        return 1
    with (
        tempfile.TemporaryDirectory() as folder,
        demo_service(Path(folder), 0) as (url, _),
        running_chromium(path) as chromium,
    ):
        for take in (take_demo_page, take_security_page):
            page = chromium.new_context(user_agent=BROWSER, viewport=_SIZE, reduced_motion="reduce").new_page()
            page.set_default_timeout(_TIMEOUT)
            expect.set_options(timeout=_TIMEOUT)
            add_authenticator(page)
            page.add_init_script(NO_AUTOFILL)
            page.goto(url)
            take(page, url, target)
            page.context.close()
    return 0


def take_demo_page(page: Page, _url: str, folder: Path) -> None:
    """Register, add a passkey, log in with the passkey alone, and take the page with one message open."""
    _press(page, "Fill in an example")
    _press(page, "Register")
    expect(page.locator("#login-password")).not_to_have_value("")
    _press(page, "Log in")
    _add_passkey(page)
    _press(page, "Log out")
    _press(page, "Log in with a passkey alone")
    expect(page.locator("#passkeys li")).to_be_visible()
    page.locator("#flow-passkey-alone details").nth(1).locator("summary").click()
    _take(page, folder / "demo", top=".columns")


def take_security_page(page: Page, url: str, folder: Path) -> None:
    """Log in as a member of the security team, and take the numbers of the last day."""
    page.locator("#login-email").fill(SECURITY_EMAIL)
    page.locator("#login-password").fill(PASSWORD)
    _press(page, "Log in")
    _add_passkey(page)
    page.goto(f"{url}/security.html")
    _press(page, "Log in with a passkey alone")
    expect(page.locator("#event-rows tr")).not_to_have_count(0)
    expect(page.locator("#chart canvas")).to_be_visible()
    _take(page, folder / "security", top="body")


def _press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def _add_passkey(page: Page) -> None:
    page.get_by_label("Name of a new passkey").fill("Laptop")
    _press(page, "Add a passkey")
    expect(page.locator("#passkeys li")).to_contain_text("Laptop")


def _take(page: Page, file: Path, *, top: str) -> None:
    """Write ``file``.png and ``file``-dark.png: what the window shows from the element ``top`` on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    schemes: tuple[tuple[Literal["light", "dark"], str], ...] = (("light", ""), ("dark", "-dark"))
    for scheme, suffix in schemes:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate(_SCROLL, top)
        page.wait_for_timeout(500)  # The chart is drawn again in the colours of the scheme.
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        picture.save(file.with_name(f"{file.name}{suffix}.png"), optimize=True)


if __name__ == "__main__":
    sys.exit(main())
