"""``make docs``: the source of a symbol is written into the documentation."""

import pytest

from tools.docs import snippets as docs_snippets

pytestmark = pytest.mark.docs

SOURCE = '''
#: How many.
LIMIT: int = 3
settings.name = "service"

class Shop:
    """Sell."""

    @cached
    # The newest first.
    def goods(self):
        """Return

        the goods.
        """

        return [LIMIT]

async def sell():
    def pay():
        return 1

    return pay()
'''


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.setattr(docs_snippets, "PROJECT", tmp_path)
    (tmp_path / "shop.py").write_text(SOURCE)


@pytest.mark.parametrize(
    ("symbols", "code"),
    [
        ("LIMIT", "#: How many.\nLIMIT: int = 3\n"),
        ("LIMIT,settings.name", '#: How many.\nLIMIT: int = 3\nsettings.name = "service"\n'),
        ("Shop.goods", "@cached\n# The newest first.\ndef goods(self):\n    return [LIMIT]\n"),
        ("sell.pay", "def pay():\n    return 1\n"),
        ("LIMIT,sell.pay", "#: How many.\nLIMIT: int = 3\n\n\ndef pay():\n    return 1\n"),
        ("sell", "async def sell():\n    def pay():\n        return 1\n\n    return pay()\n"),
    ],
)
def test_fence_gets_the_source_of_its_symbols(symbols, code):
    page = f"Before\n```python shop.py::{symbols}\nold\n```\nAfter\n"
    current = page.replace("old\n", code)
    assert docs_snippets.with_snippets(page) == current
    assert docs_snippets.with_snippets(current) == current


def test_fence_without_a_symbol_is_unchanged():
    page = "```python\nold\n```\n```sh\nshop.py::sell\n```\n"
    assert not docs_snippets.has_snippets(page)
    assert docs_snippets.with_snippets(page) == page


@pytest.mark.parametrize("of", ["shop.py::buy", "shop.py::sell.steal", "gone.py::sell"])
def test_symbol_that_does_not_exist_is_an_error_with_its_name(of):
    with pytest.raises(LookupError, match=of):
        docs_snippets.with_snippets(f"```python {of}\n```\n")
