"""``make security-events``: the security page says of each event what the catalogue says."""

import subprocess
import sys

import pytest

from auth_common.monitoring.event_catalogue import CATALOGUE
from tests.support.runtime import PROJECT

pytestmark = pytest.mark.events

SCRIPT = PROJECT / "public" / "scripts" / "security" / "event-meanings.js"


def test_the_page_has_the_catalogue_of_today():
    command = [sys.executable, "-m", "tools.event_meanings"]
    today = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert SCRIPT.read_text() == today, "run: make security-events"
    assert [event for event in CATALOGUE if f'"{event}": {{' not in today] == []
