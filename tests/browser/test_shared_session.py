"""The tabs of one origin share a session: joining, refreshing once, and every way in which a tab can miss a refresh."""

import re
import sqlite3
from contextlib import closing

import jwt
import pytest
from playwright.sync_api import expect

from tests.support.browser import Visitor
from tests.support.factories import PASSWORD, registration

pytestmark = [pytest.mark.pages, pytest.mark.sessions, pytest.mark.browser]

REFRESH = "**/token/refresh"

#: Stops the delivery of messages of other tabs to the page, as if it was suspended. ``resume()`` delivers them.
SUSPENDABLE = """
  const waiting = [];
  let isSuspended = false;
  window.suspend = () => { isSuspended = true; };
  window.resume = () => { isSuspended = false; for (const deliver of waiting.splice(0)) deliver(); };
  const listen = BroadcastChannel.prototype.addEventListener;
  BroadcastChannel.prototype.addEventListener = function (type, listener) {
    listen.call(this, type, (event) => (isSuspended ? waiting.push(() => listener(event)) : listener(event)));
  };
"""

#: Collects every message of the channel in ``window.heard``, and asks for the session of the other tabs.
EAVESDROP = """name => {
  window.heard = [];
  window.channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => heard.push(data);
  channel.postMessage({ type: "ask", sid: null, question: "1" });
}"""


#: Log in again, with address and password, or without them with a passkey.
LOG_IN = """async (login) => {
  const { backend } = await import("/scripts/backend.js");
  await (login ? backend.logIn(...login) : backend.logInWithPasskey());
}"""


@pytest.fixture
def open_tab(first_window, visit, url):
    """A function that opens a tab of the page. All tabs of a test are in one browser."""
    tabs: list[Visitor] = []

    def open_in_browser(script=None):
        if not tabs:
            tabs.append(visit())
            return tabs[0]
        page = first_window.context.new_page()
        if script:
            page.add_init_script(script)
        tab = Visitor(page, url)
        tab.email = tabs[0].email
        tabs.append(tab)
        return tab

    yield open_in_browser
    errors = [error for tab in tabs[1:] for error in tab.browser_errors]
    for tab in tabs[1:]:
        tab.page.close()
    assert errors == []


@pytest.fixture
def session_states(data_dir):
    """A function that returns whether each session of a user is revoked."""

    def read(visitor):
        user = visitor.claim("sub").text_content().strip('"')
        (file,) = data_dir.glob("*.sqlite3")
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            rows = connection.execute(
                "SELECT revoked_at FROM sessions WHERE replace(user_id, '-', '') = ?",
                [user.replace("-", "")],
            ).fetchall()
        return [revoked_at is not None for (revoked_at,) in rows]

    return read


def refreshes(*tabs):
    return sum(tab.requests.count(f"{tab.url}/token/refresh") for tab in tabs)


def token_id(tab):
    return tab.claim("jti").text_content()


def channel_of(tab):
    """Return the name of the channel of the tabs."""
    return f"secure-backend {tab.url}"


def wait_for_messages(sender, receiver):
    """Wait until a page has processed the messages that another page has sent so far."""
    receiver.page.evaluate(
        """name => {
          window.arrived = new Promise((resolve) => {
            new BroadcastChannel(name).onmessage = ({ data }) => data.type === "marker" && resolve();
          });
        }""",
        channel_of(receiver),
    )
    page = getattr(sender, "page", sender)
    page.evaluate("name => new BroadcastChannel(name).postMessage({ type: 'marker' })", channel_of(receiver))
    receiver.page.evaluate("() => window.arrived")


def wait_for_refresh(tab, sid):
    """Wait until no tab of a session refreshes it, or waits for that."""
    lock = f"{channel_of(tab)} refresh {sid}"
    tab.page.evaluate("name => navigator.locks.request(name, () => null)", lock)


def expect_same_token(*tabs):
    for tab in tabs[1:]:
        expect(tab.claim("jti")).to_have_text(token_id(tabs[0]))


def test_new_tab_joins_the_session_of_an_open_tab(open_tab):
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    expect_same_token(first, second)
    expect(second.page.get_by_role("timer")).to_have_text(re.compile(r"^(15:00|14:\d\d)$"))
    assert f"{second.url}/login" not in second.requests
    # The first tab is closed, and its session continues in the second one.
    first.page.goto("about:blank")
    second.refresh_tokens()
    third = open_tab()
    third.expect_logged_in()
    second.log_out()


@pytest.mark.asvs("7.5.1")
@pytest.mark.threat("page-tokens-in-browser")
def test_joined_tab_needs_its_own_proof_for_a_sensitive_request(open_tab):
    """The step-up token stays in the tab in which the user has entered the password."""
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    second.press("Revoke all others")
    dialog = second.page.get_by_role("dialog", name="Confirm that it is you")
    dialog.get_by_label("Your password").fill(PASSWORD)
    second.press("Confirm with the password")
    expect(second.status).to_have_text("All other sessions are revoked.")
    assert second.error_statuses == [403]
    second.log_out()


@pytest.mark.threat("page-tokens-in-browser")
def test_channel_has_no_password_and_no_step_up_token(open_tab, url):
    tab = open_tab()
    tab.sign_up()
    page = tab.page.context.new_page()
    page.goto(f"{url}/icon.svg")
    page.evaluate(EAVESDROP, channel_of(tab))
    with tab.page.expect_response("**/login") as response:
        tab.log_in()
    page.evaluate("() => channel.postMessage({ type: 'ask', sid: null, question: '2' })")
    tab.refresh_tokens()
    tab.log_out()
    page.wait_for_function("() => heard.some(({ type }) => type === 'ended')")
    heard = page.evaluate("() => heard")
    assert [message["type"] for message in heard] == ["pair", "exchanging", "pair", "ended"]
    assert heard[0]["tokens"]["refresh_token"] == response.value.json()["refresh_token"]
    text = str(heard)
    assert [secret for secret in (PASSWORD, response.value.json()["step_up_token"], "su_") if secret in text] == []
    page.close()


def test_refresh_in_one_tab_gives_all_tabs_the_new_pair(open_tab):
    first = open_tab()
    first.sign_up_and_log_in()
    tabs = [first, open_tab(), open_tab()]
    for tab in tabs[1:]:
        tab.expect_logged_in()
    for tab in (*tabs, *tabs):
        before = token_id(tab)
        tab.refresh_tokens()
        expect(tab.claim("jti")).not_to_have_text(before)
        expect_same_token(tab, *tabs)
    assert refreshes(*tabs) == 6
    first.log_out()


TOKEN_FOR = """async (resource) => {
  const { session } = await import("/scripts/backend.js");
  return session.tokenFor(resource).catch(({ code }) => code);
}"""


def test_token_for_another_service_leaves_the_session_to_all_tabs(open_tab, session_states):
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    before = token_id(first)
    body = first.page.evaluate(TOKEN_FOR, "https://orders.example.com")
    assert body.keys() == {"access_token", "expires_in"}
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert claims["aud"] == "https://orders.example.com"
    # The session itself has a new token for this service, and each tab can use and refresh it.
    expect(first.claim("jti")).not_to_have_text(before)
    expect(first.claim("aud")).to_contain_text("secure-backend-users")
    expect_same_token(first, second)
    second.refresh_tokens()
    expect_same_token(first, second)
    assert first.page.evaluate(TOKEN_FOR, "https://attacker.example") == "invalid_target"
    assert session_states(first) == [False]
    first.log_out()


def test_tabs_with_a_rejected_token_refresh_it_once(open_tab):
    first = open_tab()
    first.sign_up_and_log_in()
    tabs = [first, open_tab()]
    tabs[1].expect_logged_in()
    before = token_id(first)
    for tab in tabs:
        tab.route_once("**/users/*", lambda route: route.fulfill(status=401, json={"code": "invalid_token"}))
    load_user = """() => {
      window.done = false;
      import("/scripts/backend.js")
        .then(({ session }) => session.call("GET", `/users/${session.claims.sub}`))
        .then(() => { window.done = true; });
    }"""
    for tab in tabs:
        tab.page.evaluate(load_user)
    for tab in tabs:
        tab.page.wait_for_function("() => window.done")
    assert refreshes(*tabs) == 1
    expect(first.claim("jti")).not_to_have_text(before)
    expect_same_token(*tabs)
    assert [tab.error_statuses for tab in tabs] == [[401], [401]]
    first.log_out()


@pytest.mark.asvs("14.3.1")
def test_logout_in_one_tab_logs_out_all_tabs_of_the_session(open_tab):
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    second.log_out()
    expect(first.status).to_have_text("You are logged out.")
    expect(first.page.locator("#me")).to_be_empty()
    expect(first.page.locator("#token-parts")).to_be_empty()
    # A tab that is opened now has no session to join.
    third = open_tab()
    expect(third.page.get_by_role("heading", name="Log in", exact=True)).to_be_visible()
    assert first.error_statuses == second.error_statuses == []


@pytest.mark.asvs("14.3.1")
def test_session_ends_in_all_tabs_without_a_connection(open_tab):
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    first.route_once("**/logout", lambda route: route.abort())
    first.press("Log out")
    expect(first.page.locator("#log-out-problem")).to_contain_text("network_error")
    first.page.evaluate("""async () => (await import("/scripts/backend.js")).session.end("logged_out")""")
    for tab in (first, second):
        expect(tab.status).to_have_text("You are logged out.")
        expect(tab.page.locator("#token-parts")).to_be_empty()
    first.browser_errors.clear()  # Chromium logs an error about the aborted request.


@pytest.mark.asvs("7.2.4")
def test_login_in_a_tab_with_a_session_revokes_that_session(open_tab, session_states):
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    before = first.claim("sid").text_content()
    first.page.evaluate(LOG_IN, [first.email, PASSWORD])
    expect(second.status).to_have_text("You are logged out.")
    expect(first.claim("sid")).not_to_have_text(before)
    assert sorted(session_states(first)) == [False, True]
    first.page.bring_to_front()  # Browsers use a passkey only for the page with the focus.
    first.add_passkey()
    first.page.evaluate(LOG_IN)
    first.expect_logged_in()
    assert sorted(session_states(first)) == [False, True, True]
    first.log_out()


@pytest.fixture
def expired(visitor):
    """A visitor whose access token has expired by the server's clock only, as after the sleep of the device."""
    visitor.sign_up_and_log_in()
    with visitor.page.expect_response(REFRESH) as response:
        visitor.refresh_tokens()
    valid = f"Bearer {response.value.json()['access_token']}"

    def expire(route):
        headers = route.request.headers
        if headers.get("authorization") == valid:
            headers["authorization"] = "Bearer expired"
        route.continue_(headers=headers)

    visitor.page.route("**/login", expire)
    return visitor


@pytest.mark.asvs("7.2.4")
def test_login_after_the_access_token_has_expired_revokes_the_session(expired, session_states):
    expired.page.evaluate(LOG_IN, [expired.email, PASSWORD])
    expired.expect_logged_in()
    assert sorted(session_states(expired)) == [False, True]
    expired.log_out()


@pytest.mark.asvs("7.2.4")
def test_login_after_the_session_has_expired_starts_a_new_session(expired, session_states):
    before = expired.claim("sid").text_content()
    expired.route_once(REFRESH, lambda route: route.fulfill(status=401, json={"code": "invalid_refresh_token"}))
    expired.page.evaluate(LOG_IN, [expired.email, PASSWORD])
    expired.expect_logged_in()
    expect(expired.claim("sid")).not_to_have_text(before)
    expired.log_out()


@pytest.mark.asvs("7.2.4")
@pytest.mark.parametrize("failure", [{"status": 429, "json": {"code": "too_many_requests"}}, {"status": 500}, None])
def test_login_while_refreshes_fail_revokes_the_session_that_it_replaces(expired, session_states, failure):
    """Otherwise an outage of one endpoint would keep users out until they reload the page."""
    expired.page.route(REFRESH, lambda route: route.fulfill(**failure) if failure else route.abort())
    with expired.page.expect_response("**/sessions/*") as revoked:
        expired.page.evaluate(LOG_IN, [expired.email, PASSWORD])
    assert revoked.value.status == 204
    expired.expect_logged_in()
    assert sorted(session_states(expired)) == [False, True]
    expired.browser_errors.clear()  # Chromium logs an error about a request without response.
    expired.page.unroute(REFRESH)
    expired.log_out()


@pytest.mark.asvs("7.2.4")
def test_login_of_another_user_while_refreshes_fail_sends_no_id_of_the_earlier_session(expired, client):
    other = registration(email="another-user@example.com")
    client.post("/users", json=other).raise_for_status()
    expired.page.route(REFRESH, lambda route: route.fulfill(status=429, json={"code": "too_many_requests"}))
    before = expired.claim("sid").text_content().strip('"')
    expired.page.evaluate(LOG_IN, [other["email"], PASSWORD])
    expect(expired.page.locator("#me")).to_contain_text(other["email"])
    assert [url for url in expired.requests if before in url] == []
    expired.page.unroute(REFRESH)
    expired.log_out()


def test_rejected_refresh_in_one_tab_ends_the_session_in_all(open_tab, client):
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    second.page.route(REFRESH, lambda route: route.fulfill(status=401, json={"code": "invalid_refresh_token"}))
    second.press("Renew with the refresh token")
    for tab in (first, second):
        expect(tab.status).to_have_text("Your session has expired or was revoked. Log in again.")
    assert refreshes(first) == 0


def test_two_logins_in_two_tabs_are_separate_sessions(open_tab):
    """A tab that was open before the login in the other one does not join."""
    first, second = open_tab(), open_tab()
    expect(second.page.get_by_role("heading", name="Log in", exact=True)).to_be_visible()
    first.sign_up_and_log_in()
    second.log_in()
    assert first.claim("sid").text_content() != second.claim("sid").text_content()
    for tab in (first, second, second, first):
        tab.refresh_tokens()
    second.log_out()
    first.refresh_tokens()
    first.log_out()
    assert first.error_statuses == second.error_statuses == []


def test_tab_that_closes_during_a_refresh_does_not_revoke_the_session(open_tab, session_states):
    """Otherwise the next refresh of another tab would look like the reuse of a stolen token."""
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab()
    second.expect_logged_in()
    before = token_id(first)
    exchanged = []
    second.page.route(REFRESH, lambda route: exchanged.append(route.fetch()))  # The response does not reach the tab.
    second.press("Renew with the refresh token")
    second.wait_until(lambda: exchanged)
    second.page.goto("about:blank")
    # The first tab repeats the exchange without a further action of the user.
    expect(first.claim("jti")).not_to_have_text(before)
    first.refresh_tokens()
    assert session_states(first) == [False]
    assert first.error_statuses == []
    first.log_out()


def test_suspended_tab_asks_for_the_newer_pair_before_it_refreshes(open_tab, session_states, data_dir):
    first = open_tab()
    first.sign_up_and_log_in()
    second = open_tab(SUSPENDABLE)
    second.expect_logged_in()
    second.page.evaluate("() => suspend()")
    first.refresh_tokens()
    first.refresh_tokens()
    # Long after the grace period of the server.
    (file,) = data_dir.glob("*.sqlite3")
    with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
        connection.execute(
            "UPDATE refresh_tokens SET spent_at = '2020-01-01 00:00:00.000000' WHERE spent_at IS NOT NULL"
        )
    assert token_id(second) != token_id(first)
    # The messages arrive only after the tab has begun to refresh.
    second.press("Renew with the refresh token")
    second.page.evaluate("() => resume()")
    expect_same_token(first, second)
    assert refreshes(second) == 0
    second.refresh_tokens()
    expect_same_token(first, second)
    assert session_states(first) == [False]
    first.log_out()


def test_suspended_tab_that_holds_the_lock_does_not_block_others_for_ever(open_tab, clock):
    clock.install()
    first = open_tab()
    first.sign_up_and_log_in()
    other = first.page.context.new_page()
    other.goto(f"{first.url}/icon.svg")
    sid = first.claim("sid").text_content().strip('"')
    hold = "(resolve) => navigator.locks.request(name, () => (resolve(), new Promise(() => {})))"
    other.evaluate(f"name => new Promise({hold})", f"{channel_of(first)} refresh {sid}")
    first.press("Renew with the refresh token")
    clock.fast_forward("00:21")
    expect(first.page.locator("#token-problem")).to_contain_text("tab_suspended")
    other.close()
    first.refresh_tokens()
    first.log_out()


def test_refresh_without_network_is_not_repeated_for_ever_by_other_tabs(open_tab):
    first = open_tab()
    first.sign_up_and_log_in()
    tabs = [first, open_tab()]
    tabs[1].expect_logged_in()
    for tab in tabs:
        tab.page.route(REFRESH, lambda route: route.abort())
    first.press("Renew with the refresh token")
    expect(first.page.locator("#token-problem")).to_contain_text("network_error")
    while refreshes(tabs[1]) < 2:
        tabs[1].page.wait_for_timeout(20)
    sid = first.claim("sid").text_content().strip('"')
    for sender, receiver in (tabs, tabs[::-1]):
        wait_for_refresh(sender, sid)
        wait_for_messages(sender, receiver)
        wait_for_refresh(receiver, sid)
    assert [refreshes(tab) for tab in tabs] == [2, 2]
    for tab in tabs:
        tab.page.unroute(REFRESH)
        expect(tab.page.locator("#me")).to_contain_text(first.email)
    tabs[1].refresh_tokens()
    expect_same_token(*tabs)
    first.log_out()
    for tab in tabs:
        tab.browser_errors.clear()  # Chromium logs an error about each aborted request.


@pytest.mark.parametrize("missing", ["BroadcastChannel", "navigator.locks", "permission"])
def test_browser_without_channel_or_locks_has_a_session_for_each_tab(open_tab, missing):
    first = open_tab()
    first.sign_up_and_log_in()
    remove = {
        "BroadcastChannel": "delete window.BroadcastChannel;",
        "navigator.locks": "Object.defineProperty(navigator, 'locks', { value: undefined });",
        # Chromium rejects both methods like this if the user blocks the storage of the site.
        "permission": "LockManager.prototype.query = LockManager.prototype.request = async () => {"
        " throw new DOMException('The request was denied.', 'SecurityError'); };",
    }
    second = open_tab(remove[missing])
    expect(second.page.get_by_role("heading", name="Log in", exact=True)).to_be_visible()
    second.log_in()
    second.refresh_tokens()
    second.log_out()
    first.refresh_tokens()
    first.log_out()


OTHER_SESSION = jwt.encode({"sid": "00000000-0000-0000-0000-000000000000"}, "", algorithm="none")
FORGED_MESSAGES = {
    "tokens of another session": {
        "tokens": {"access_token": OTHER_SESSION, "refresh_token": "rt_x", "expires_in": 900},
        "generation": 99,
    },
    "another session": {"sid": "00000000-0000-0000-0000-000000000000", "generation": 99},
    "an older pair": {"generation": 0},
    "no session": {"sid": None, "generation": 99},
}


@pytest.mark.parametrize("change", FORGED_MESSAGES.values(), ids=FORGED_MESSAGES.keys())
def test_pair_of_another_or_older_session_does_not_replace_the_tokens(open_tab, url, change):
    tab = open_tab()
    tab.sign_up_and_log_in()
    page = tab.page.context.new_page()
    page.goto(f"{url}/icon.svg")
    page.evaluate(EAVESDROP, channel_of(tab))
    page.wait_for_function("() => heard.length")
    tab.refresh_tokens()
    newer = token_id(tab)
    page.evaluate("change => channel.postMessage({ ...heard[0], ...change })", change)
    page.evaluate("sid => channel.postMessage({ type: 'ended', sid, reason: 'expired' })", change.get("sid", "x"))
    # Messages arrive in order, so the answer to this question follows the forged messages.
    page.evaluate("() => { heard.length = 0; channel.postMessage({ type: 'ask', sid: null, question: '2' }); }")
    page.wait_for_function("() => heard.length")
    (answer,) = page.evaluate("() => heard")
    claims = jwt.decode(answer["tokens"]["access_token"], options={"verify_signature": False})
    assert f'"{claims["jti"]}"' == newer == token_id(tab)
    page.close()
    tab.log_out()


def test_tab_without_a_session_accepts_a_pair_only_while_it_joins(open_tab, url):
    """Otherwise a message could log the user in to an attacker's account at any time."""
    first = open_tab()
    second = open_tab()
    page = first.page.context.new_page()
    page.goto(f"{url}/icon.svg")
    first.sign_up_and_log_in()
    page.evaluate(EAVESDROP, channel_of(first))
    page.wait_for_function("() => heard.length")
    page.evaluate("() => channel.postMessage(heard[0])")
    wait_for_messages(page, second)
    expect(second.page.get_by_role("heading", name="Log in", exact=True)).to_be_visible()
    expect(second.page.locator("#token-parts")).to_be_empty()
    page.close()
    first.log_out()
