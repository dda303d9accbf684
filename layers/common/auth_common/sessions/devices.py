"""Devices: what a person recognises a session by."""

from functools import lru_cache
from typing import Final

from ua_parser import BasicResolver, Cache, CachingResolver, Domain, Resolver, load_lazy_builtins

#: User-Agents that an environment remembers.
_REMEMBERED: Final = 2_000


def name_device(user_agent: str) -> str:
    """Return a User-Agent as "Chrome on Linux". A claim of the client's, good for recognising and for nothing else."""
    found = _resolver()(user_agent, Domain.USER_AGENT | Domain.OS)
    names = [part.family for part in (found.user_agent, found.os) if part is not None]
    return " on ".join(names) or "Unknown device"


@lru_cache(maxsize=1)
def _resolver() -> Resolver:
    # The library's own compiles all patterns at its first use, which takes longer than FastAPI's import; this one
    # compiles each pattern when it comes to it.
    return CachingResolver(BasicResolver(load_lazy_builtins()), Cache(_REMEMBERED))
