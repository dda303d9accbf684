"""Devices: names by which users recognise their sessions."""

from functools import lru_cache
from typing import Final

from ua_parser import BasicResolver, Cache, CachingResolver, Domain, Resolver, load_lazy_builtins

#: User-Agents whose names an environment keeps in its cache.
_CACHE_SIZE: Final = 2_000
#: The names that mails may contain, as the library writes them.
_BROWSERS: Final = frozenset(
    {
        *("Chrome", "Chrome Mobile", "Chrome Mobile iOS", "Chrome Mobile WebView", "Chromium", "DuckDuckGo Mobile"),
        *("Edge", "Edge Mobile", "Firefox", "Firefox Mobile", "Firefox iOS", "IE", "Mobile Safari", "Opera"),
        *("Opera Mobile", "Safari", "Samsung Internet", "Vivaldi", "Yandex Browser", "curl", "okhttp"),
    }
)
_SYSTEMS: Final = frozenset(
    {"Android", "Chrome OS", "Fedora", "FreeBSD", "Linux", "Mac OS X", "Ubuntu", "Windows", "iOS", "iPadOS", "tvOS"}
)


def name_device(user_agent: str) -> str:
    """Return the name of a ``User-Agent``, such as "Chrome on Linux". Clients can send any text, so do not trust it."""
    found = _resolver()(user_agent, Domain.USER_AGENT | Domain.OS)
    names = [part.family for part in (found.user_agent, found.os) if part is not None]
    return " on ".join(names) or "Unknown device"


def name_known_device(user_agent: str) -> str:
    """Return the name of a ``User-Agent`` for a mail, such as "Chrome, Linux". Return "" if it is not in a fixed list.

    The library's patterns copy parts of a ``User-Agent``, which an attacker chooses. In a genuine mail such a part
    could be a sentence with a link.
    """
    found = _resolver()(user_agent, Domain.USER_AGENT | Domain.OS)
    browser = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    return ", ".join(name for name, known in ((browser, _BROWSERS), (system, _SYSTEMS)) if name in known)


@lru_cache(maxsize=1)
def _resolver() -> Resolver:
    # The library's default resolver compiles all patterns at its first use, which takes longer than FastAPI's import.
    # This one compiles each pattern when it first tries it.
    return CachingResolver(BasicResolver(load_lazy_builtins()), Cache(_CACHE_SIZE))
