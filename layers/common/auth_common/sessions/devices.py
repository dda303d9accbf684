"""Devices: names by which users recognise their sessions."""

from functools import lru_cache
from typing import Final

from ua_parser import BasicResolver, Cache, CachingResolver, Domain, Resolver, load_lazy_builtins

#: User-Agents whose names an environment keeps in its cache.
_CACHE_SIZE: Final = 2_000


def name_device(user_agent: str) -> str:
    """Return the name of a ``User-Agent``, such as "Chrome on Linux". Clients can send any text, so do not trust it."""
    found = _resolver()(user_agent, Domain.USER_AGENT | Domain.OS)
    names = [part.family for part in (found.user_agent, found.os) if part is not None]
    return " on ".join(names) or "Unknown device"


@lru_cache(maxsize=1)
def _resolver() -> Resolver:
    # The library's default resolver compiles all patterns at its first use, which takes longer than FastAPI's import.
    # This one compiles each pattern when it first tries it.
    return CachingResolver(BasicResolver(load_lazy_builtins()), Cache(_CACHE_SIZE))
