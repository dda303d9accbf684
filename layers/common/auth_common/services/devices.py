"""Devices: what a person recognises a session by."""

from ua_parser import parse_os, parse_user_agent


def name_device(user_agent: str) -> str:
    """Return a User-Agent as "Chrome on Linux". A claim of the client's, good for recognising and for nothing else."""
    browser = parse_user_agent(user_agent)
    system = parse_os(user_agent)
    names = [found.family for found in (browser, system) if found is not None]
    return " on ".join(names) or "Unknown device"
