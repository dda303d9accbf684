"""Check the accessibility of a page: the rules of axe-core, narrow windows, and use by keyboard."""

from typing import Any, Final

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Locator, Page, ViewportSize

from tests.support.browser import DESKTOP, PHONE, Scheme, Visitor

#: Two combinations are enough, because colours and layout do not depend on each other.
_LOOKS: Final[tuple[tuple[ViewportSize, Scheme], ...]] = ((PHONE, "dark"), (DESKTOP, "light"))
#: Run the rules of all categories, best practices included. Do not wait for axe-core in frames, where it is not loaded:
#: without site isolation, as in the headless shell, its message to a sandboxed frame is an error in the console.
_RUN_AXE: Final = "async () => (await axe.run({ resultTypes: ['violations'], iframes: false })).violations"


def accessibility_violations(visitor: Visitor) -> list[Any]:
    """Return the findings of axe-core and the elements that are too wide, on a dark phone and on a light desktop."""
    found: list[Any] = []
    for viewport, scheme in _LOOKS:
        visitor.set_display(viewport, scheme)
        if violations := _axe_violations(visitor.page):
            found += [viewport, scheme, AxeResults({"violations": violations}).generate_report()]
        found += _elements_too_wide(visitor.page)
    return found


def elements_too_wide(visitor: Visitor, *, widths: tuple[int, ...]) -> dict[int, list[str]]:
    """Return the elements that extend beyond the right edge of the window, by window width in pixels."""
    found = {}
    for width in widths:
        visitor.set_display({"width": width, "height": 700})
        found[width] = _elements_too_wide(visitor.page)
    return {width: parts for width, parts in found.items() if parts}


def _axe_violations(page: Page) -> list[Any]:
    # A script that a document runs twice is compiled and optimised twice.
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    violations: list[Any] = page.evaluate(_RUN_AXE)
    return violations


def _elements_too_wide(page: Page) -> list[str]:
    parts: list[str] = page.evaluate(
        """async () => {
          // The chart is resized one frame after the window.
          for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
          return [...document.querySelectorAll("body *")]
            .filter((element) => element.checkVisibility())
            .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
            .map((element) => element.outerHTML.slice(0, 200));
        }"""
    )
    return parts


class Keyboard:
    """A user who uses only the keyboard."""

    def __init__(self, page: Page) -> None:
        """Use ``page``."""
        self._page = page

    def focus(self, target: Locator) -> None:
        """Press Tab until ``target`` has the focus. Fail if the focus is not visible or not reachable."""
        for _ in range(400):
            # The page may replace the element at any time, so each step evaluates the locator again.
            if target.evaluate("element => element === document.activeElement"):
                outline = target.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline == "solid", "the focus cannot be seen"
                return
            self._page.keyboard.press("Tab")
        pytest.fail("Tab does not reach the element")

    def type(self, target: Locator, text: str) -> None:
        """Move the focus to a field, and type ``text``."""
        self.focus(target)
        self._page.keyboard.type(text)

    def press(self, name: str, key: str = "Enter") -> None:
        """Move the focus to a button, and press ``key``."""
        self.focus(self._page.get_by_role("button", name=name, exact=True))
        self._page.keyboard.press(key)
