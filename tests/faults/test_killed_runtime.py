"""The whole service is killed (SIGKILL to every process of it) while clients register, log in and refresh.

Three times, each at a random moment after some three hundred answers: about a thousand in all. Whatever was answered
with 2xx must be there afterwards, and nothing may be there by half.
"""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Event

import httpx
import pytest

from auth_common.sessions import refresh as refreshing
from tests.support.databases import Database
from tests.support.factories import log_in, refresh, registration
from tests.support.faults import assert_nothing_half_done
from tests.support.processes import kill_all, wait_until
from tests.support.runtime import running_runtime
from tools.operators import audit

pytestmark = [pytest.mark.local_runtime, pytest.mark.fault]

KILLS = 3
CLIENTS = 6


class Journal:
    """What clients were answered."""

    def __init__(self) -> None:
        self.numbers = count()
        self.registered: list[str] = []
        #: By e-mail address, the newest refresh token.
        self.tokens: dict[str, str] = {}
        self.answers = 0
        self.failures: list[httpx.Response] = []
        self.is_killed = Event()


def live(url: str, journal: Journal) -> None:
    """Register, log in and refresh, as one person after the other, until no response comes."""
    with httpx.Client(base_url=url, timeout=60) as client:

        def ask(path: str, body: object) -> dict[str, str]:
            # Each user has a client IP of their own, or registrations would be throttled.
            response = client.post(path, json=body, headers={"X-Forwarded-For": f"10.0.{number // 250}.{number % 250}"})
            if response.is_error and not journal.is_killed.is_set():
                journal.failures.append(response)
            response.raise_for_status()
            journal.answers += 1
            answer: dict[str, str] = response.json()
            return answer

        while True:
            number = next(journal.numbers)
            email = f"person{number}@example.com"
            person = registration(email=email)
            try:
                ask("/users", person)
                journal.registered.append(email)
                token = ask("/login", {"email": email, "password": person["password"]})["refresh_token"]
                journal.tokens[email] = token
                for _ in range(3):
                    token = ask("/token/refresh", {"refresh_token": token})["refresh_token"]
                    journal.tokens[email] = token
            except httpx.HTTPError:
                return


def serve_until_killed(data_dir, journal: Journal, *, after: int) -> None:
    """Serve clients until that many answers have been given, and some more, and then not at all."""
    journal.is_killed.clear()
    with (
        ThreadPoolExecutor(CLIENTS) as clients,
        running_runtime(data_dir, env={"TRUSTED_PROXY_HOPS": "2"}) as runtime,
    ):
        until = journal.answers + after
        for _ in range(CLIENTS):
            clients.submit(live, runtime.url, journal)
        wait_until(lambda: journal.answers >= until or journal.failures)
        journal.is_killed.set()
        kill_all(runtime.process.pid)
        runtime.process.wait()


def test_change_that_was_confirmed_before_a_kill_is_stored_as_a_whole(environment, monkeypatch, capsys):
    monkeypatch.setattr(refreshing, "GRACE", timedelta(hours=1))  # the time that this test takes is not its subject
    journal = Journal()
    for _ in range(KILLS):
        serve_until_killed(environment, journal, after=random.randint(250, 400))
    assert not journal.failures, journal.failures[0].text
    assert journal.answers > 250 * KILLS

    # Also the token whose successor the kill has kept from its holder.
    assert {refresh(token).status for token in journal.tokens.values()} == {200}
    assert {log_in(email).status for email in journal.registered} == {200}
    assert_nothing_half_done(Database("sqlite", f"sqlite+pysqlite:///{environment / 'secure-backend.sqlite3'}"))
    # The lines of the log vouch for the records: none was written before its record was safe.
    capsys.readouterr()
    assert audit.main(["verify", str(environment / "runtime.log")]) == 0, capsys.readouterr().out
