"""The security page: access, numbers, filters, paging, new events, and the details of one event."""

import json
import re
import shlex
import sqlite3
from contextlib import closing, contextmanager
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from auth_common.events.catalogue import CATALOGUE
from auth_common.events.vocabulary import SecurityEvent
from tests.support.callers import erase, give_role
from tests.support.security_page import (
    EVENTS_URL,
    HOSTILE_TEXT,
    SUMMARY_URL,
    fail_to_log_in,
    log_in_with_password,
    request_other_users,
    reuse_refresh_token,
)

pytestmark = [pytest.mark.pages, pytest.mark.audit, pytest.mark.browser]


def query_of(request):
    """Return the query parameters of a request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


def last_interval_position(chart):
    """Return the position of one of the last intervals of a chart, in pixels of the chart."""
    box = chart.bounding_box()
    return {"x": box["width"] - 20, "y": box["height"] / 2}


@contextmanager
def changed_record(data_dir, event_id, **columns):
    """Change columns of an audit record while the block runs, as an attacker with write access would."""
    chain_id, sequence = event_id.split(".")
    is_record = "replace(lower(case typeof(chain_id) when 'blob' then hex(chain_id) else chain_id end), '-', '') = ?"
    key = (chain_id.replace("-", ""), sequence)

    def write(values):
        names = ", ".join(f"{name} = ?" for name in columns)
        connection.execute(f"update audit_events set {names} where {is_record} and sequence = ?", (*values, *key))
        connection.commit()

    with closing(sqlite3.connect(next(data_dir.glob("*.sqlite3")), timeout=30)) as connection:
        found = connection.execute(
            f"select {', '.join(columns)} from audit_events where {is_record} and sequence = ?", key
        )
        old = found.fetchone()
        write(columns.values())
        try:
            yield
        finally:
            write(old)


# --- Access -----------------------------------------------------------------------------------------------------------


def test_user_without_role_or_passkey_sees_how_to_get_access(visit, data_dir):
    visitor = visit(path="/security.html")
    visitor.sign_up()
    visitor.send_password()
    visitor.expect_heading("You may not read the audit log")
    denied, numbers = visitor.page.locator("#denied"), visitor.page.locator("#numbers")
    expect(denied).to_contain_text("Your account has the role user.")
    expect(denied.locator("pre")).to_have_text(f"uv run accounts role {visitor.email} security")
    expect(numbers).to_be_hidden()
    visitor.log_out()
    expect(denied).to_be_empty()

    give_role(data_dir, visitor.email, "security")
    visitor.send_password()
    visitor.expect_heading("You may not read the audit log")
    expect(numbers).to_be_hidden()
    denied.get_by_role("link").click()
    visitor.page.wait_for_url("**/index.html")
    assert visitor.error_statuses == [403, 403]


def test_command_for_an_operator_quotes_an_address_with_special_characters(visit):
    """An operator copies the command. ``|`` and ``'`` are valid in an address, and have a meaning in a shell."""
    visitor = visit(path="/security.html")
    visitor.sign_up()

    def rename(route):
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "email": "o'brien|id@example.com"})

    visitor.page.route("**/users/*", rename)
    visitor.send_password()
    visitor.expect_heading("You may not read the audit log")
    command = visitor.page.locator("#denied pre").text_content()
    assert shlex.split(command) == ["uv", "run", "accounts", "role", "o'brien|id@example.com", "security"]
    visitor.log_out()


def test_auditor_logs_in_and_the_logout_clears_the_page(auditor):
    auditor.visitor.log_out()
    auditor.expect_heading("Log in")
    for place in ("#event-rows", "#headlines", "#reasons", "#sources", "#accounts", "#chart", "#chart-rows"):
        expect(auditor.page.locator(place)).to_be_empty()
    # A passkey that fails can be tried again.
    auditor.visitor.set_authenticator(verifies=False)
    auditor.visitor.press("Log in with a passkey alone")
    expect(auditor.page.locator("#passkey-login-form .problem")).to_contain_text("The passkey was not used")
    auditor.visitor.set_authenticator()
    auditor.log_in()

    auditor.visitor.log_out()
    auditor.visitor.send_password()
    auditor.expect_heading("One more step")
    auditor.visitor.press("Use your passkey")
    auditor.expect_events()
    expect(auditor.page.locator("#who")).to_have_text("Test Person")
    assert auditor.visitor.error_statuses == []


def test_pages_link_to_each_other(visitor):
    visitor.page.goto(f"{visitor.url}/index.html")
    visitor.page.get_by_role("link", name="security events").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Security events")
    visitor.page.get_by_role("link", name="Accounts and ceremonies", exact=True).click()
    expect(visitor.page.get_by_role("heading", name="Register", exact=True)).to_be_visible()


# --- The numbers ------------------------------------------------------------------------------------------------------


def test_headline_numbers_after_new_events_are_exact(target, auditor, url):
    def number(event):
        return int(re.sub(r"\D", "", auditor.headline(event).text_content()))

    before = {event: number(event) for event in ("authn_login_fail", "authn_login_success", "authn_token_reuse")}
    fail_to_log_in(url, target.email, times=3)
    reuse_refresh_token(url, f"reuse-{target.email}")
    auditor.choose_range("week")
    expect(auditor.headline("authn_token_reuse")).to_have_text(str(before["authn_token_reuse"] + 1))
    assert number("authn_login_fail") == before["authn_login_fail"] + 3
    assert number("authn_login_success") == before["authn_login_success"] + 1

    # Screen readers get the same numbers from the chart's name and its table.
    chart = auditor.page.get_by_role("img", name="Logins and failed logins")
    failures = number("authn_login_fail")
    expect(chart).to_have_accessible_name(re.compile(rf"intervals of 1 hour: \d+ logins and {failures} failed logins"))
    auditor.page.get_by_text("The chart as a table").click()
    cells = auditor.page.locator("#chart-rows td:last-child").all_text_contents()
    assert sum(map(int, cells)) == failures
    expect(auditor.page.locator("#numbers")).to_contain_text("run uv run audit verify")


def test_headline_is_shown_only_for_events_of_the_catalogue(auditor):
    lock = '"authn_login_lock": { when: "", respond: "", reasons: {} },'

    def change(route):
        known = r'^  "authn_login_lock": \{.*?^  \},?$'
        catalogue = re.sub(known, "", route.fetch().text(), flags=re.MULTILINE | re.DOTALL)
        body = catalogue.replace("EVENT_MEANINGS = {", f"EVENT_MEANINGS = {{ {lock if is_known else ''}")
        route.fulfill(body=body, content_type="text/javascript")

    auditor.page.route("**/event-meanings.js", change)
    for is_known in (True, False):
        auditor.page.reload()
        auditor.log_in()
        expect(auditor.headline("authn_login_success")).to_be_visible()
        expect(auditor.headline("authn_login_lock")).to_have_count(int(is_known))


def test_selected_range_is_sent_for_numbers_and_events(auditor):
    for name, seconds in {"hour": 3600, "week": 7 * 86400, "month": 30 * 86400, "day": 86400}.items():
        with (
            auditor.page.expect_request(SUMMARY_URL) as summary,
            auditor.page.expect_request(EVENTS_URL) as events,
        ):
            auditor.page.get_by_label(name).check()
        asked = auditor.page.evaluate("from => (Date.now() - Date.parse(from)) / 1000", query_of(summary.value)["from"])
        assert seconds <= asked < seconds + 20
        assert query_of(events.value)["from"][:16] == query_of(summary.value)["from"][:16]
        expect(auditor.page.locator("#chart-summary")).to_contain_text("In intervals of")


def test_chart_is_drawn_in_the_colours_of_the_scheme(auditor):
    has_colour = """colour => {
      const canvas = document.querySelector("#chart canvas");
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < data.length; i += 4)
        if (data[i + 3] === 255 && [...data.slice(i, i + 3)].join() === colour) return true;
      return false;
    }"""
    muted = {"light": "86,96,112", "dark": "165,175,189"}
    for scheme, other in (("light", "dark"), ("dark", "light")):
        auditor.page.emulate_media(color_scheme=scheme)
        auditor.page.wait_for_function(has_colour, arg=muted[scheme])
        assert not auditor.page.evaluate(has_colour, muted[other])


def test_click_on_a_number_or_an_interval_shows_its_events(auditor, target, url):
    fail_to_log_in(url, target.email)
    reuse_refresh_token(url, f"again-{target.email}")
    auditor.choose_range("hour")
    expect(auditor.page.locator("#chart-summary")).to_contain_text("In intervals of 1 minute:")
    chart = auditor.page.locator("#chart .u-over")
    chart.hover(position=last_interval_position(chart))
    expect(auditor.page.locator("#chart-readout")).to_contain_text(re.compile(r"\d\d:\d\d, 1 minute: \d+ logins?,"))
    auditor.page.get_by_role("button", name="Token reuse: show these events").click()
    auditor.expect_heading("Events")
    expect(auditor.page.locator("#filter-event")).to_have_value("authn_token_reuse")
    expect(auditor.rows.first).to_contain_text("spent_token_reused")
    expect(auditor.rows.filter(has_not_text="authn_token_reuse")).to_have_count(0)

    auditor.page.get_by_text("The chart as a table").click()
    with auditor.page.expect_request(EVENTS_URL) as events:
        auditor.page.locator("#chart-rows button").first.click()
    query = query_of(events.value)
    seconds = "([from, to]) => (Date.parse(to) - Date.parse(from)) / 1000"
    assert auditor.page.evaluate(seconds, [query["from"], query["to"]]) == 60
    assert "event" not in query

    with auditor.page.expect_request(EVENTS_URL):
        chart.click(position=last_interval_position(chart))
    expect(auditor.page.locator("#filter-from")).not_to_have_value("")


def test_rankings_list_reasons_client_ips_and_accounts(auditor, target, url):
    auditor.ignore_earlier_events()
    for number in range(3):
        fail_to_log_in(url, f"nobody{number}-{target.email}", times=9)
    fail_to_log_in(url, target.email, times=9)
    auditor.choose_range("hour")
    # Failures without an account come last.
    expect(auditor.page.locator("#accounts li")).to_have_count(2)
    last = auditor.page.locator("#accounts li").last
    expect(last).to_contain_text("no account")
    expect(last).to_have_class("none")
    expect(last.locator(".bar")).to_have_count(0)
    expect(auditor.page.locator("#accounts li").first.get_by_role("button")).to_be_visible()
    account = auditor.page.locator("#accounts li", has_text=target.id)
    expect(account.locator(".count")).to_have_text("9")
    expect(auditor.page.locator("#sources")).to_contain_text("127.0.0.1")
    auditor.page.locator("#reasons").get_by_role("button", name=re.compile("^wrong_password")).click()
    expect(auditor.page.locator("#filter-reason")).to_have_value("wrong_password")
    expect(auditor.page.locator("#filter-outcome")).to_have_value("failure")
    account.get_by_role("button").click()
    expect(auditor.page.locator("#filter-reason")).to_have_value("")
    expect(auditor.rows).to_have_count(9)


@pytest.mark.parametrize("place", ["#reasons", "#accounts", "#headlines", "#chart-rows"])
def test_new_numbers_keep_the_keyboard_focus(auditor, target, url, place):
    auditor.ignore_earlier_events()
    fail_to_log_in(url, target.email, times=2)
    with auditor.page.expect_response(SUMMARY_URL):
        auditor.page.get_by_label("hour").check()
    auditor.page.get_by_text("The chart as a table").click()
    button = auditor.page.locator(f"{place} button").first
    name = button.get_attribute("aria-label")
    button.focus()
    fail_to_log_in(url, target.email)
    with auditor.page.expect_response(SUMMARY_URL):
        auditor.resume()
    expect(auditor.page.locator("#accounts li", has_text=target.id).locator(".count")).to_have_text("3")
    focused = auditor.page.locator(f"{place} button:focus")
    expect(focused).to_have_count(1)
    if place != "#chart-rows":  # The names of intervals change every minute.
        expect(focused).to_have_accessible_name(name)


# --- The list ---------------------------------------------------------------------------------------------------------


def test_each_filter_limits_the_events(auditor, target, url):
    fail_to_log_in(url, target.email, times=2)
    for filters, column, shown in (
        ({"user_id": target.id, "event": "authn_login_fail"}, "Event", {"authn_login_fail"}),
        ({"user_id": target.id, "outcome": "failure"}, "Outcome", {"failure"}),
        ({"severity": "low"}, "Severity", {"low", "medium", "high"}),
        ({"reason": "wrong_password"}, "Reason", {"wrong_password"}),
        ({"ip": "127.0.0.1"}, "Client IP", {"127.0.0.1"}),
        ({"user_id": target.id}, "Account", {target.id[:8]}),
    ):
        auditor.filter(**filters)
        found = set(auditor.rows.locator(f'[data-column="{column}"]').all_text_contents())
        assert found
        assert found <= shown
    expect(auditor.page.locator("#filter-user-id")).to_have_attribute("placeholder", re.compile("full id"))
    auditor.filter(to="2020-01-01T00:00:00", **{"from": "2019-01-01T00:00:00"})
    expect(auditor.rows).to_have_count(0)
    expect(auditor.page.locator("#events-end")).to_have_text("0 events, no older ones.")
    auditor.visitor.press("Clear the filters")
    expect(auditor.rows).not_to_have_count(0)
    expect(auditor.page.locator("#filter-from")).to_have_value("")

    # A click on a value in the list adds a filter to the selected ones.
    auditor.filter(user_id=target.id)
    with auditor.page.expect_response(EVENTS_URL):
        auditor.page.get_by_role("button", name="Filter by wrong_password").first.click()
    expect(auditor.rows).to_have_count(2)
    expect(auditor.page.locator("#filter-user-id")).to_have_value(target.id)


def test_invalid_or_hostile_filter_is_sent_unchanged_and_explained(auditor):
    auditor.filter(ip="over there")
    expect(auditor.page.locator("#filter-ip")).to_be_focused()
    expect(auditor.page.locator("#filter-ip")).to_have_accessible_description(re.compile("^Client IP "))
    with auditor.page.expect_request(EVENTS_URL) as request:
        auditor.filter(reason="a&event=authn_login_fail#")
    assert query_of(request.value)["reason"] == "a&event=authn_login_fail#"
    assert auditor.visitor.error_statuses == [422, 422]


def test_paging_while_events_arrive_neither_skips_nor_repeats(auditor, target, url):
    request_other_users(url, target.email, times=60)
    auditor.filter(user_id=target.id, event="authz_fail")
    expect(auditor.rows).to_have_count(50)
    first = auditor.shown_ids()
    request_other_users(url, target.email, times=55)
    auditor.visitor.press("Show older events")
    expect(auditor.rows).to_have_count(60)
    assert auditor.shown_ids()[:50] == first
    with auditor.page.expect_response(EVENTS_URL):
        auditor.resume()
    expect(auditor.rows).to_have_count(115)
    shown = auditor.shown_ids()
    assert len(set(shown)) == 115
    assert shown[-60:-10] == first
    times = auditor.page.locator("#event-rows time").evaluate_all("times => times.map(time => time.dateTime)")
    assert times == sorted(times, reverse=True)
    expect(auditor.page.locator("#events-end")).to_have_text("115 events, no older ones.")
    expect(auditor.page.get_by_role("button", name="Show older events")).to_be_hidden()


def test_flood_of_new_events_reloads_the_list(auditor):
    """If a poll finds hundreds of new events, the page reloads the list instead of adding all pages."""
    newest = auditor.filter()["items"][0]
    pages: list[list[dict[str, object]]] = []

    def flood(route):
        response = route.fetch(url=re.sub("&cursor=.*", "", route.request.url))
        if len(pages) < 3:
            pages.append([{**newest, "id": f"flood.{len(pages)}.{place}"} for place in range(200)])
            route.fulfill(response=response, json={"items": pages[-1], "next_cursor": "there-is-more"})
        else:
            route.fulfill(response=response)

    auditor.page.route(EVENTS_URL, flood)
    with auditor.page.expect_response(lambda response: len(pages) == 3 and "cursor=" not in response.url):
        auditor.resume()
    expect(auditor.page.locator("#news")).to_contain_text("Read at")
    expect(auditor.rows.first).not_to_have_attribute("data-event", re.compile("flood"))
    assert len(pages) == 3
    assert auditor.rows.count() <= 50


def test_log_readings_and_function_starts_are_shown_on_request(auditor):
    assert "audit_log" not in auditor.page.locator("#event-rows").text_content()
    auditor.page.get_by_label("Also requests that read this log").check()
    auditor.visitor.press("Filter")
    expect(auditor.rows.filter(has_text="audit_log").first).to_be_visible()

    def begin_with_a_start(body):
        newest, *others = body["items"]
        return {"items": [{**newest, "event": "sys_startup", "function": "login"}, *others], "next_cursor": None}

    auditor.replace_events(begin_with_a_start)
    auditor.filter()
    expect(auditor.rows.filter(has_text="sys_startup")).to_have_count(0)
    auditor.filter(starts="yes")
    expect(auditor.rows.first.locator('[data-column="Event"]')).to_have_text("sys_startup of login")
    auditor.page.unroute(EVENTS_URL)
    # A filter by this event name also shows them.
    auditor.page.get_by_label("Also starts of functions").uncheck()
    auditor.page.locator("#filter-event").select_option("sys_startup")
    auditor.visitor.press("Filter")
    expect(auditor.rows.nth(1)).to_contain_text("sys_startup of ")


def test_start_with_a_failed_chain_check_is_always_shown(auditor):
    newest = auditor.filter()["items"][0] | {"event": "sys_startup"}
    items = [newest | {"id": str(ok), "chain": newest["chain"] | {"intact": ok}} for ok in (True, False)]
    auditor.replace_events(lambda _: {"items": items, "next_cursor": None})
    auditor.visitor.press("Filter")
    expect(auditor.rows).to_have_count(1)
    expect(auditor.rows.first).to_contain_text("sys_startup")
    expect(auditor.page.locator("#chain-alarm")).to_contain_text("1 record")


def test_pages_with_only_starts_are_skipped(auditor):
    newest = auditor.filter()["items"][0]
    starts = [{**newest, "id": str(place), "event": "sys_startup"} for place in range(50)]
    pages = [(starts, "after-1"), (starts, "after-2"), ([{**newest, "id": "it"}], None)]
    asked = []

    def quiet(route):
        response = route.fetch(url=re.sub("&cursor=.*", "", route.request.url))
        asked.append(query_of(route.request).get("cursor"))
        items, cursor = pages[len(asked) - 1] if len(asked) <= len(pages) else ([], None)
        route.fulfill(response=response, json={"items": items, "next_cursor": cursor})

    auditor.page.route(EVENTS_URL, quiet)
    auditor.visitor.press("Filter")
    expect(auditor.rows).to_have_count(1)
    assert auditor.shown_ids() == ["it"]
    assert asked == [None, "after-1", "after-2"]
    expect(auditor.page.get_by_role("button", name="Show older events")).to_be_hidden()


# --- New events -------------------------------------------------------------------------------------------------------


def test_new_events_appear_unless_the_page_is_paused_or_hidden(auditor, clock, target, url):
    page = auditor.page
    auditor.filter(user_id=target.id)
    clock.install()
    auditor.resume()  # The timer that starts now runs by the test's clock.
    count = auditor.rows.count()
    news = page.get_by_role("status").and_(page.locator("#news"))

    fail_to_log_in(url, target.email, times=2)
    clock.fast_forward("00:10")
    expect(auditor.rows).to_have_count(count + 2)
    expect(news).to_have_text(re.compile(r"^2 new events at \d\d:\d\d:\d\d\.$"))
    expect(auditor.rows.first).to_contain_text("wrong_password")

    auditor.visitor.press("Pause")
    expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
    before = len(auditor.visitor.requests)
    fail_to_log_in(url, target.email)
    clock.fast_forward("05:00")
    auditor.visitor.press("Pause")
    expect(auditor.rows).to_have_count(count + 3)
    # After the pause the page requests the list once, and the numbers, which have become outdated.
    assert len(auditor.visitor.requests) <= before + 2

    hide = """state => {
      Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, "hidden")
    page.wait_for_load_state("networkidle")
    before = len(auditor.visitor.requests)
    fail_to_log_in(url, target.email)
    clock.fast_forward("05:00")
    assert len(auditor.visitor.requests) == before
    page.evaluate(hide, "visible")
    clock.run_for(100)
    expect(auditor.rows).to_have_count(count + 4)


def test_polling_retries_after_an_outage_until_the_session_ends(auditor, clock, client):
    page = auditor.page
    clock.install()
    with page.expect_request(EVENTS_URL) as request:
        auditor.visitor.press("Filter")
    page.route(EVENTS_URL, lambda route: route.abort())
    auditor.resume()
    clock.run_for(100)
    problem = page.locator("#poll-problem")
    expect(problem).to_contain_text("The server does not respond.")
    auditor.visitor.browser_errors.clear()
    page.unroute(EVENTS_URL)
    clock.fast_forward("00:10")
    expect(problem).to_be_empty()

    auditor.visitor.press("Pause")
    client.post("/logout", headers={"Authorization": request.value.headers["authorization"]}).raise_for_status()
    auditor.visitor.press("Pause")
    clock.run_for(100)
    expect(auditor.visitor.status).to_have_text("Your session has expired or was revoked. Log in again.")
    expect(page.locator("#event-rows")).to_be_empty()
    before = len(auditor.visitor.requests)
    clock.fast_forward("05:00")
    assert len(auditor.visitor.requests) == before
    # First the access token is rejected, then the refresh token, which shows that the session has ended.
    assert auditor.visitor.error_statuses == [401, 401]


# --- One event --------------------------------------------------------------------------------------------------------


def test_changed_record_raises_the_alarm_in_list_and_details(auditor, target, url, data_dir):
    auditor.show_failures_of(target)
    alarm = auditor.page.locator("#chain-alarm")
    expect(alarm).to_be_empty()
    (event_id,) = auditor.shown_ids()
    words = "changed, or the record before it was"
    with changed_record(data_dir, event_id, reason="unknown_user"):
        auditor.filter(user_id=target.id, event="authn_login_fail")
        expect(alarm).to_have_role("alert")
        expect(alarm).to_contain_text("The chain check fails for 1 record")
        expect(auditor.rows.first.locator('[data-column="Chain"]')).to_have_text(words)
        verdict = auditor.open_details(auditor.rows.first).locator(".verdict")
        expect(verdict).to_contain_text(words)
        expect(verdict).to_contain_text("The MAC of this record is not valid")
        auditor.page.keyboard.press("Escape")
    auditor.filter(user_id=target.id, event="authn_login_fail")
    expect(alarm).to_be_empty()

    # The record changes after the page has read the list.
    auditor.open_details(auditor.rows.first)
    expect(verdict).to_contain_text(re.compile(r"intact.*Checked at \d\d:\d\d:\d\d\."))
    auditor.page.keyboard.press("Escape")
    expect(alarm).to_be_empty()
    with changed_record(data_dir, event_id, reason="unknown_user"):
        auditor.open_details(auditor.rows.first)
        expect(verdict).to_have_attribute("data-intact", "false")
        expect(verdict).to_contain_text(words)
        auditor.page.keyboard.press("Escape")
        expect(alarm).to_contain_text("The chain check fails for 1 record")
        expect(auditor.rows.first.locator(".chain")).to_have_attribute("data-intact", "false")
    # With a changed time the record is not found where it was.
    with changed_record(data_dir, event_id, time=1_000_000_000_000):
        auditor.open_details(auditor.rows.first)
        expect(verdict).to_contain_text("no longer in the log")
        expect(alarm).not_to_be_empty()
        auditor.page.keyboard.press("Escape")
    auditor.open_details(auditor.rows.first)
    expect(verdict).to_have_attribute("data-intact", "true")
    expect(alarm).to_be_empty()


def test_event_details_show_fields_meaning_and_chain_check(auditor, target):
    (event,) = auditor.show_failures_of(target, user_agent="guesser/2.0")["items"]
    opener = auditor.rows.first.locator("[aria-haspopup=dialog]")
    dialog = auditor.open_details(auditor.rows.first)
    expect(dialog).to_have_accessible_name("authn_login_fail")
    chain = event.pop("chain")
    fields = [event[name] for name in ("time", "outcome", "severity", "user_id", "reason", "source_ip", "user_agent")]
    for text in (*fields, "POST /login", event["request_id"], event["function"], chain["id"], chain["mac"]):
        expect(dialog).to_contain_text(text)
    meaning = CATALOGUE[SecurityEvent.AUTHN_LOGIN_FAIL]
    expect(dialog).to_contain_text(f"Recorded when {meaning.when}.")
    expect(dialog).to_contain_text(f"Here: {meaning.reasons['wrong_password']}.")
    verdict = dialog.locator(".verdict")
    expect(verdict).to_contain_text("intact")
    expect(verdict).to_contain_text("The record is unchanged")
    auditor.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    # If the check cannot be repeated, the page says when it was last made.
    auditor.page.route(EVENTS_URL, lambda route: route.abort())
    auditor.open_details(auditor.rows.first)
    expect(dialog.locator(".checked")).to_have_text(
        re.compile("^Checked when the list was read. The new check has failed: The server does not respond")
    )
    auditor.visitor.press("Close")
    expect(dialog).to_be_hidden()
    auditor.visitor.browser_errors.clear()


def test_unknown_event_and_erased_fields_are_marked(auditor, target, url, data_dir):
    fail_to_log_in(url, target.email, user_agent="gone/1.0")
    erase(data_dir, target.email)
    auditor.filter(user_id=target.id, event="authn_login_fail")
    row = auditor.rows.first
    expect(row.locator('[data-column="Client IP"]')).to_have_text("erased")
    expect(row.locator('[data-column="Chain"]')).to_have_text("intact")
    dialog = auditor.open_details(row)
    expect(dialog.get_by_text("erased with the personal data of this account")).to_have_count(2)
    expect(dialog).not_to_contain_text("gone/1.0")
    auditor.page.keyboard.press("Escape")

    def rename(body):
        body["items"][0]["event"] = "authn_login_lock_of_tomorrow"
        return body

    auditor.replace_events(rename)
    auditor.visitor.press("Filter")
    expect(auditor.rows.first).to_contain_text("tomorrow")
    auditor.open_details(auditor.rows.first)
    expect(dialog).to_have_accessible_name("authn_login_lock_of_tomorrow")
    expect(dialog).to_contain_text("This page does not know this event.")


# --- Texts of attackers -----------------------------------------------------------------------------------------------


@pytest.mark.threat("page-xss")
def test_markup_in_user_agent_or_path_is_shown_as_text(auditor, target, url):
    token = log_in_with_password(url, target.email)["access_token"]
    path = f"/users/{quote(HOSTILE_TEXT.replace('/', ''))}"
    headers = {"Authorization": f"Bearer {token}", "User-Agent": HOSTILE_TEXT + "A" * 5000}
    assert httpx.get(f"{url}{path}", headers=headers, timeout=60).status_code == 403
    (event,) = auditor.filter(user_id=target.id, event="authz_fail")["items"]
    assert event["user_agent"].startswith(HOSTILE_TEXT)
    dialog = auditor.open_details(auditor.rows.first)
    expect(dialog).to_contain_text(event["user_agent"])
    expect(dialog).to_contain_text(event["path"])
    assert auditor.page.locator("img[src=x], #event script").count() == 0


def test_hostile_api_values_are_shown_as_escaped_text(auditor):
    """All texts of the API are replaced by HTML, direction marks, invisible characters and long words."""
    evil = f"{HOSTILE_TEXT}\N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH SPACE}\x1b[31m\n\N{HEBREW LETTER ALEF}{'W' * 3000}"

    def poison(value, key=""):
        if isinstance(value, dict):
            return {key: poison(item, key) for key, item in value.items()} | ({evil: evil} if key == "detail" else {})
        if isinstance(value, list):
            return [poison(item) for item in value]
        keeps_shape = key in {"time", "start", "from", "to", "next_cursor"}
        return evil if isinstance(value, str) and not keeps_shape else value

    def answer_with_poison(route):
        response = route.fetch()
        body = response.json()
        body = {key: poison(value, key) for key, value in body.items()}
        for event in body.get("items", []):
            event["detail"] = {evil: evil, "nested": {evil: [evil]}}
            event["id"] = json.dumps(event["time"]) + evil
        for name in ("reasons", "sources", "accounts"):
            if name in body:
                body[name] = [{"value": evil, "count": 3}]
        route.fulfill(response=response, json=body)

    page = auditor.page
    page.route("**/audit/*", answer_with_poison)
    auditor.choose_range("hour")
    expect(page.locator("#accounts")).to_contain_text("<img src=x")
    expect(page.locator("#event-rows")).to_contain_text("<script>alert(2)</script>")
    auditor.open_details(auditor.rows.first)
    expect(auditor.dialog).to_contain_text("\\u{202e}\\u{200b}\\u{1b}[31m\\u{a}")
    assert page.locator("img[src=x], body script").count() == 0
    shown = page.locator("body").inner_text()
    assert [character for character in "\u202e\u200b\x1b" if character in shown] == []
    too_wide = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(too_wide)
    page.set_viewport_size({"width": 360, "height": 740})
    assert not page.evaluate(too_wide)
