"""Whether a page is for everybody: axe-core's rules, the window's width, the keyboard."""

from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

PHONE: Final = {"width": 360, "height": 740}
DESK: Final = {"width": 1360, "height": 900}
#: Of every category, best practices too.
_axe: Final = Axe()


def faults(page: Page) -> list[str]:
    """Return what axe-core finds, and what the window is too narrow for."""
    results = _axe.run(page)
    return [results.generate_report()] * bool(results.violations_count) + parts_too_wide(page)


def parts_too_wide(page: Page) -> list[Any]:
    """Return what reaches beyond the right edge of the window."""
    parts: list[Any] = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
          .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
          .map((element) => element.outerHTML.slice(0, 200))"""
    )
    return parts


class Keyboard:
    """A person without a mouse."""

    def __init__(self, page: Page) -> None:
        """Sit down at ``page``."""
        self._page = page

    def go_to(self, target: Locator) -> None:
        """Press Tab until ``target`` has the focus, and shows it."""
        for _ in range(400):
            if target.evaluate("element => element === document.activeElement"):
                outline = target.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline == "solid", "the focus cannot be seen"
                return
            self._page.keyboard.press("Tab")
        pytest.fail("Tab does not get there")

    def write(self, target: Locator, text: str) -> None:
        """Write into a field."""
        self.go_to(target)
        self._page.keyboard.type(text)

    def press(self, name: str, key: str = "Enter") -> None:
        """Press a button."""
        self.go_to(self._page.get_by_role("button", name=name, exact=True))
        self._page.keyboard.press(key)
