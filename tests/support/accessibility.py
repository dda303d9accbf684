"""Whether a page is for everybody: axe-core's rules, the window's width, the keyboard."""

from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, ViewportSize

from tests.support.browser import DESK, PHONE, Scheme, Visitor

#: Colours do not depend on the window's width, nor the layout on colours.
_LOOKS: Final[tuple[tuple[ViewportSize, Scheme], ...]] = ((PHONE, "dark"), (DESK, "light"))
#: Of every category, best practices too.
_axe: Final = Axe()


def faults(visitor: Visitor) -> list[Any]:
    """Return what axe-core finds, and what the window is too narrow for, on a dark phone and on a light desk."""
    found: list[Any] = []
    for viewport, scheme in _LOOKS:
        visitor.look(viewport, scheme)
        results = _axe.run(visitor.page)
        found += [viewport, scheme, results.generate_report()] * bool(results.violations_count)
        found += _parts_too_wide(visitor.page)
    return found


def parts_too_wide(visitor: Visitor, *, widths: tuple[int, ...]) -> dict[int, list[str]]:
    """Return what reaches beyond the right edge of windows of these widths, by the width."""
    found = {}
    for width in widths:
        visitor.look({"width": width, "height": 700})
        found[width] = _parts_too_wide(visitor.page)
    return {width: parts for width, parts in found.items() if parts}


def _parts_too_wide(page: Page) -> list[str]:
    parts: list[str] = page.evaluate(
        """async () => {
          // The chart gets its size in the frame after the window's.
          for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
          return [...document.querySelectorAll("body *")]
            .filter((element) => element.checkVisibility())
            .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
            .map((element) => element.outerHTML.slice(0, 200));
        }"""
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
            # The page may replace the element at any time, so it is looked up again for each step.
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
