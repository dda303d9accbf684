"""``make demo`` and ``make screenshots``: a service that is filled with a day of use, and pictures of its pages."""

import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from local_runtime.environment import function_environment
from local_runtime.template import load_template
from tests.support.processes import TIMEOUT_SECONDS, wait_until
from tests.support.requirements import require
from tests.support.runtime import PROJECT, run_command, run_project_command
from tools.attacks.target import TEMPLATE
from tools.attacks.users import PASSWORD, SetUpFailed
from tools.authenticator.software_authenticator import SoftwareAuthenticator
from tools.demo.chromium import find_chromium
from tools.demo.clock import movable_clock
from tools.demo.functions import Functions, InProcessTarget
from tools.demo.users import SECURITY_EMAIL, User

pytestmark = [pytest.mark.pages, pytest.mark.sqlite]

DEMO = (sys.executable, "-m", "tools.demo")


def filled(test):
    """Run a test in the process of the others with a filled folder, because filling one takes half a minute."""
    return pytest.mark.thorough(pytest.mark.xdist_group("demo")(test))


@contextmanager
def started_demo(folder):
    """Start ``make demo`` on a free port. Yield its process and the file with its output, and terminate it."""
    printed = folder / "printed"
    with printed.open("w") as output:
        process = subprocess.Popen([*DEMO, "--data-dir", folder / "data", "--port", "0"], cwd=PROJECT, stdout=output)
    with process:
        try:
            yield process, printed
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The process of ``make demo``, a client of its service and its data folder."""
    folder = tmp_path_factory.mktemp("demo")
    with started_demo(folder) as (process, printed):
        wait_until(lambda: process.poll() is not None or "audit verify" in printed.read_text())
        found = re.search(r"Open (http://localhost:\d+)\n", printed.read_text())
        assert found
        with httpx.Client(base_url=found[1], timeout=TIMEOUT_SECONDS) as client:
            yield process, client, folder / "data"


def post(client, path, body, tokens=None):
    headers = {}
    if tokens:
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Step-Up-Token": tokens["step_up_token"]}
    return client.post(path, json=body, headers=headers).raise_for_status().json()


def log_in_with_a_new_passkey(client):
    """Do what the demo tells its user to do on the two pages, and return the token pair."""
    device = SoftwareAuthenticator(origin=str(client.base_url).rstrip("/"))
    tokens = post(client, "/login", {"email": SECURITY_EMAIL, "password": PASSWORD})
    begun = post(client, "/webauthn/register/begin", {}, tokens)
    body = {"challenge_id": begun["challenge_id"], "credential": device.register(begun["options"])}
    post(client, "/webauthn/register/complete", body, tokens)
    begun = post(client, "/webauthn/login/begin", {})
    body = {"challenge_id": begun["challenge_id"], "credential": device.authenticate(begun["options"])}
    return post(client, "/webauthn/login/complete", body)


@filled
def test_demo_serves_both_pages_and_a_day_of_events(demo, monkeypatch):
    _, client, data_dir = demo
    for path in ("/", "/security.html"):
        assert client.get(path).status_code == 200
    tokens = log_in_with_a_new_passkey(client)
    now = datetime.now(UTC)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    since = {"from": (now - timedelta(days=1)).isoformat(), "to": now.isoformat()}
    summary = client.get("/audit/summary", params=since, headers=headers).raise_for_status().json()
    counts, hours = Counter[str](), Counter[str]()
    for bar in summary["series"]:
        counts[bar["event"]] += bar["count"]
        hours[bar["start"][:13]] += bar["count"]
    # Each headline number of the page, and events in most hours of the day.
    assert counts["authn_login_success"] > 200
    assert counts["authn_login_fail"] > 100
    assert min(counts[name] for name in ("authn_login_lock", "authn_token_reuse", "authz_fail")) > 0
    assert len(hours) > 18
    assert summary["sources"][0]["value"] == "192.0.2.66"
    monkeypatch.setenv("DATA_DIR", str(data_dir))
    verified = run_project_command("audit verify")
    assert verified.returncode == 0, verified.stderr
    assert "intact" in verified.stdout


@filled
def test_second_demo_in_the_same_folder_is_rejected(demo):
    _, _, data_dir = demo
    before = sorted(data_dir.iterdir())
    second = run_command(*DEMO, "--data-dir", str(data_dir), "--port", "0")
    assert second.returncode == 1
    assert "Another demo uses" in second.stderr
    assert sorted(data_dir.iterdir()) == before


@filled
def test_terminated_demo_exits_with_its_service(demo):
    """This is the last test of the demo that the module's tests share."""
    process, client, data_dir = demo
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    with pytest.raises(httpx.ConnectError):
        client.get("/health")
    # Another demo empties the folder, and may be terminated while it fills it.
    left_over = data_dir / "keys" / "left-over"
    left_over.touch()
    with started_demo(data_dir.parent) as (another, _):
        wait_until(lambda: not left_over.exists() and [*data_dir.glob("*.sqlite3")])
    assert another.returncode == 0


def test_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("kept")
    demo = run_command(*DEMO, "--data-dir", str(tmp_path), "--port", "0")
    assert demo.returncode == 1
    assert "--data-dir" in demo.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


def test_rejected_request_of_a_user_stops_the_filling(environment, monkeypatch):
    template = load_template(TEMPLATE)
    for name, value in function_environment(template.functions[0], shell={}, data_dir=environment).items():
        monkeypatch.setenv(name, value)
    service = InProcessTarget("http://localhost", environment, environment, functions=Functions(template))
    User("user@example.com", service).register("Example User")
    with pytest.raises(SetUpFailed, match="email_taken"):
        User("user@example.com", service).register("Example User")
    with pytest.raises(LookupError):
        service.send("GET", "/nowhere")


def test_movable_clock_sets_the_time_and_is_set_back():
    moment = datetime(2020, 2, 29, 12, tzinfo=UTC)
    with movable_clock() as clock:
        clock.set(moment)
        assert abs(time.time() - moment.timestamp()) < 60
        assert abs(time.time_ns() / 1e9 - moment.timestamp()) < 60
    assert time.time() > moment.timestamp() + 3600


def test_screenshots_without_chromium_name_what_is_missing(tmp_path):
    command = (sys.executable, "-m", "tools.demo.screenshots", "--folder", str(tmp_path))
    taken = run_command(*command, env={**os.environ, "PATH": str(tmp_path)})
    assert taken.returncode == 1
    assert "Chromium" in taken.stderr


@pytest.mark.browser
@pytest.mark.xdist_group("sam")
def test_screenshots_of_both_pages_are_small_pictures(tmp_path):
    require(find_chromium(), "needs Chromium (apt-get install chromium-headless-shell)")
    taken = run_command(sys.executable, "-m", "tools.demo.screenshots", "--folder", str(tmp_path))
    assert taken.returncode == 0, taken.stderr
    pictures = list(tmp_path.iterdir())
    names = {"demo.png", "demo-dark.png", "security.png", "security-dark.png"}
    assert {picture.name for picture in pictures} == names
    for picture in pictures:
        content = picture.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 150_000
        assert struct.unpack(">II", content[16:24]) == (1360, 1120)
