"""All processes of the service get SIGKILL while clients register, log in and refresh, and while mails are sent.

The test kills the service three times, each time after a random number of about 300 responses. Afterwards every change
that a client got a 2xx response for is stored, and each change is stored completely or not at all. No mail is lost.
"""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Event

import httpx
import pytest

from auth_common.sessions import refresh as refreshing
from tests.support.databases import Database
from tests.support.factories import log_in, refresh, registration
from tests.support.faults import assert_no_partial_changes
from tests.support.mails import mailbox, make_due, send_mails
from tests.support.processes import kill_process_tree, wait_until
from tests.support.proxies import LOCK, accepting, sent_by_proxy
from tests.support.runtime import running_runtime
from tools.operators import audit

pytestmark = [pytest.mark.local_runtime, pytest.mark.fault, pytest.mark.unmeasured]

KILLS = 3
CLIENTS = 6


class Journal:
    """The changes that the clients got successful responses for."""

    def __init__(self) -> None:
        self.numbers = count()
        self.registered: list[str] = []
        #: The newest refresh token by e-mail address.
        self.tokens: dict[str, str] = {}
        self.responses = 0
        self.failures: list[httpx.Response] = []
        self.is_killed = Event()


def run_client(url: str, journal: Journal) -> None:
    """Register, log in and refresh, as one user after the other, until a request fails."""
    with httpx.Client(base_url=url, timeout=60) as client:

        def post(path: str, body: object) -> dict[str, str]:
            # Each user has their own client IP, because registrations per client IP are limited.
            response = client.post(path, json=body, headers=sent_by_proxy(f"10.0.{number // 250}.{number % 250}"))
            if response.is_error and not journal.is_killed.is_set():
                journal.failures.append(response)
            response.raise_for_status()
            journal.responses += 1
            document: dict[str, str] = response.json()
            return document

        while True:
            number = next(journal.numbers)
            email = f"user{number}@example.com"
            user = registration(email=email)
            try:
                post("/users", user)
                journal.registered.append(email)
                token = post("/login", {"email": email, "password": user["password"]})["refresh_token"]
                journal.tokens[email] = token
                for _ in range(3):
                    token = post("/token/refresh", {"refresh_token": token})["refresh_token"]
                    journal.tokens[email] = token
            except httpx.HTTPError:
                return


def serve_until_killed(data_dir, journal: Journal, *, after: int) -> None:
    """Serve clients, and kill all processes of the service after at least ``after`` responses."""
    journal.is_killed.clear()
    with (
        ThreadPoolExecutor(CLIENTS) as clients,
        running_runtime(data_dir, env=accepting(LOCK)) as runtime,
    ):
        until = journal.responses + after
        for _ in range(CLIENTS):
            clients.submit(run_client, runtime.url, journal)
        wait_until(lambda: journal.responses >= until or journal.failures)
        journal.is_killed.set()
        kill_process_tree(runtime.process.pid)
        runtime.process.wait()


@pytest.mark.threat("function-mail-lost-or-repeated")
def test_changes_confirmed_before_a_kill_are_stored_completely(environment, monkeypatch, capsys):
    monkeypatch.setattr(refreshing, "GRACE_PERIOD", timedelta(hours=1))  # A refresh after a kill comes late.
    journal = Journal()
    for _ in range(KILLS):
        serve_until_killed(environment, journal, after=random.randint(250, 400))
    assert not journal.failures, journal.failures[0].text
    assert journal.responses > 250 * KILLS

    # A token is also accepted if the kill prevented the response with its successor.
    assert {refresh(token).status for token in journal.tokens.values()} == {200}
    assert {log_in(email).status for email in journal.registered} == {200}
    database = Database("sqlite", f"sqlite+pysqlite:///{environment / 'secure-backend.sqlite3'}")
    assert_no_partial_changes(database)
    # The sender was killed before, during and after the sending of some mails. Leases of that sender end later.
    make_due(database)
    send_mails()
    sent = Counter(message["To"] for message in mailbox(environment))
    assert set(journal.registered) <= sent.keys()
    assert max(sent.values()) <= 2
    # Each log line has its audit record: no line was written before its record was committed.
    capsys.readouterr()
    assert audit.main(["verify", str(environment / "runtime.log")]) == 0, capsys.readouterr().out
