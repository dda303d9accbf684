"""Names of devices in mails: no part of a User-Agent that an attacker can choose."""

import pytest

from auth_common.sessions.devices import name_device, name_known_device

pytestmark = pytest.mark.sessions

EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Edg/124.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (EDGE, "Edge, Windows"),
        (IPHONE, "Mobile Safari, iOS"),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0", "Firefox, Ubuntu"),
        ("curl/8.5.0", "curl"),
        ("", ""),
    ],
)
def test_usual_clients_have_a_name(user_agent, name):
    assert name_known_device(user_agent) == name


@pytest.mark.threat("mail-injected-text")
def test_text_of_an_attacker_is_no_name():
    """The library's patterns for robots copy words of the User-Agent."""
    attack = "evil.example visit now bot/1.0"
    assert name_device(attack) == "example visit now bot"
    assert name_known_device(attack) == ""
