"""What the Security team does at its page: get in, read the numbers, filter, page, watch, look at one event."""

import json
import re
import sqlite3
from contextlib import closing, contextmanager
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from tests.support.callers import erase, give_role
from tests.support.security_team import (
    EVENTS,
    HOSTILE,
    ask_for_somebody_else,
    fail_to_log_in,
    log_in_somewhere,
    reuse_a_refresh_token,
)

pytestmark = [pytest.mark.pages, pytest.mark.audit, pytest.mark.browser]


def query_of(request):
    """Return a request's query parameters."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


def place_in(chart):
    """Return the place of a late interval."""
    box = chart.bounding_box()
    return box["x"] + box["width"] - 20, box["y"] + box["height"] / 2


@contextmanager
def changed_record(data_dir, event_id, **columns):
    """Change a record while the block runs, as an attacker who can write to the database would."""
    chain_id, sequence = event_id.split(".")
    here = "replace(lower(case typeof(chain_id) when 'blob' then hex(chain_id) else chain_id end), '-', '') = ?"
    key = (chain_id.replace("-", ""), sequence)

    def write(values):
        names = ", ".join(f"{name} = ?" for name in columns)
        connection.execute(f"update audit_events set {names} where {here} and sequence = ?", (*values, *key))
        connection.commit()

    with closing(sqlite3.connect(next(data_dir.glob("*.sqlite3")), timeout=30)) as connection:
        found = connection.execute(f"select {', '.join(columns)} from audit_events where {here} and sequence = ?", key)
        old = found.fetchone()
        write(columns.values())
        try:
            yield
        finally:
            write(old)


# --- Who gets in ------------------------------------------------------------------------------------------------------


def test_user_without_the_role_or_a_passkey_is_told_how_to_get_in(visit, data_dir):
    visitor = visit(path="/security.html")
    visitor.sign_up()
    visitor.give_password()
    visitor.expect_heading("This page is not open to you")
    denied, numbers = visitor.page.locator("#denied"), visitor.page.locator("#numbers")
    expect(denied).to_contain_text("Your account has the role user.")
    expect(denied.locator("pre")).to_have_text(f"uv run accounts role {visitor.email} security")
    expect(numbers).to_be_hidden()
    visitor.log_out()
    expect(denied).to_be_empty()

    give_role(data_dir, visitor.email, "security")
    visitor.give_password()
    visitor.expect_heading("This page is not open to you")
    expect(numbers).to_be_hidden()
    denied.get_by_role("link").click()
    visitor.page.wait_for_url("**/index.html")
    assert visitor.refusals == [403, 403]


def test_a_password_and_then_a_passkey_get_in_and_logging_out_forgets_everything(auditor):
    auditor.visitor.log_out()
    auditor.expect_heading("Log in")
    for place in ("#event-rows", "#headlines", "#reasons", "#sources", "#accounts", "#chart", "#chart-rows"):
        expect(auditor.page.locator(place)).to_be_empty()
    # A passkey that fails can be tried again.
    auditor.visitor.set_authenticator(verifies=False)
    auditor.visitor.press("Log in with a passkey alone")
    expect(auditor.page.locator("#passkey-login-form .problem")).to_contain_text("Nothing came of it")
    auditor.visitor.set_authenticator()
    auditor.log_in()

    auditor.visitor.log_out()
    auditor.visitor.give_password()
    auditor.expect_heading("One more step")
    auditor.visitor.press("Use your passkey")
    auditor.expect_events()
    expect(auditor.page.locator("#who")).to_have_text("Test Person")
    assert auditor.visitor.refusals == []


def test_each_page_links_to_the_other(visitor):
    for page in ("security.html", "index.html"):
        visitor.page.goto(f"{visitor.url}/{page}")
        expect(visitor.page.get_by_role("contentinfo")).to_contain_text("You log in again there")
    visitor.page.get_by_role("link", name="what happened here").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Security events")
    visitor.page.get_by_role("link", name="Accounts and ceremonies").click()
    expect(visitor.page.get_by_role("heading", name="Register", exact=True)).to_be_visible()


# --- The numbers ------------------------------------------------------------------------------------------------------


def test_the_numbers_count_what_has_happened(target, auditor, url):
    def number(event):
        return int(re.sub(r"\D", "", auditor.headline(event).text_content()))

    before = {event: number(event) for event in ("authn_login_fail", "authn_login_success", "authn_token_reuse")}
    fail_to_log_in(url, target.email, times=3)
    reuse_a_refresh_token(url, f"reuse-{target.email}")
    auditor.choose_range("week")
    expect(auditor.headline("authn_token_reuse")).to_have_text(str(before["authn_token_reuse"] + 1))
    assert number("authn_login_fail") == before["authn_login_fail"] + 3
    assert number("authn_login_success") == before["authn_login_success"] + 1

    # The same numbers for who does not see the chart.
    chart = auditor.page.get_by_role("img", name="Logins and failed logins")
    failures = number("authn_login_fail")
    expect(chart).to_have_accessible_name(re.compile(rf"intervals of 1 hour: \d+ logins and {failures} that failed"))
    auditor.page.get_by_text("The chart as a table").click()
    cells = auditor.page.locator("#chart-rows td:last-child").all_text_contents()
    assert sum(map(int, cells)) == failures
    expect(auditor.page.locator("#numbers")).to_contain_text("uv run audit verify checks them")


def test_a_number_is_shown_only_of_events_that_the_catalogue_has(auditor):
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


def test_the_range_decides_about_numbers_and_events(auditor):
    for name, seconds in {"hour": 3600, "week": 7 * 86400, "month": 30 * 86400, "day": 86400}.items():
        with (
            auditor.page.expect_request("**/audit/summary?*") as summary,
            auditor.page.expect_request(EVENTS) as events,
        ):
            auditor.page.get_by_label(name).check()
        asked = auditor.page.evaluate("from => (Date.now() - Date.parse(from)) / 1000", query_of(summary.value)["from"])
        assert seconds <= asked < seconds + 20
        assert query_of(events.value)["from"][:16] == query_of(summary.value)["from"][:16]
        expect(auditor.page.locator("#chart-summary")).to_contain_text("By intervals of")


def test_a_chart_has_the_colours_of_the_scheme(auditor):
    def colours():
        return auditor.page.evaluate(
            """() => {
              const canvas = document.querySelector("#chart canvas");
              const copy = new OffscreenCanvas(canvas.width, canvas.height)
                .getContext("2d", { willReadFrequently: true });
              copy.drawImage(canvas, 0, 0);
              const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
              const found = new Set();
              for (let i = 0; i < data.length; i += 4)
                if (data[i + 3] === 255) found.add([...data.slice(i, i + 3)].join());
              return [...found];
            }"""
        )

    muted = {"light": "86,96,112", "dark": "165,175,189"}
    for scheme, other in (("light", "dark"), ("dark", "light")):
        auditor.page.emulate_media(color_scheme=scheme)
        auditor.page.wait_for_timeout(200)
        assert muted[scheme] in colours()
        assert muted[other] not in colours()


def test_a_click_on_a_number_or_an_interval_shows_its_events(auditor, target, url):
    fail_to_log_in(url, target.email)
    reuse_a_refresh_token(url, f"again-{target.email}")
    auditor.choose_range("hour")
    expect(auditor.page.locator("#chart-summary")).to_contain_text("By intervals of 1 minute:")
    auditor.page.mouse.move(*place_in(auditor.page.locator("#chart .u-over")))
    expect(auditor.page.locator("#chart-readout")).to_contain_text(re.compile(r"\d\d:\d\d, 1 minute: \d+ logins?,"))
    auditor.page.get_by_role("button", name="Token reuse: show these events").click()
    auditor.expect_heading("Events")
    expect(auditor.page.locator("#filter-event")).to_have_value("authn_token_reuse")
    expect(auditor.rows.first).to_contain_text("spent_token_reused")
    expect(auditor.rows.filter(has_not_text="authn_token_reuse")).to_have_count(0)

    auditor.page.get_by_text("The chart as a table").click()
    with auditor.page.expect_request(EVENTS) as events:
        auditor.page.locator("#chart-rows button").first.click()
    query = query_of(events.value)
    seconds = "([from, to]) => (Date.parse(to) - Date.parse(from)) / 1000"
    assert auditor.page.evaluate(seconds, [query["from"], query["to"]]) == 60
    assert "event" not in query

    with auditor.page.expect_request(EVENTS):
        auditor.page.mouse.click(*place_in(auditor.page.locator("#chart .u-over")))
    expect(auditor.page.locator("#filter-from")).not_to_have_value("")


def test_the_rankings_name_what_failures_have_in_common(auditor, target, url):
    for number in range(3):
        fail_to_log_in(url, f"nobody{number}-{target.email}", times=9)
    fail_to_log_in(url, target.email, times=9)
    auditor.choose_range("hour")
    # Failures without an account come last.
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
    fail_to_log_in(url, target.email, times=2)
    with auditor.page.expect_response("**/audit/summary?*"):
        auditor.page.get_by_label("hour").check()
    auditor.page.get_by_text("The chart as a table").click()
    button = auditor.page.locator(f"{place} button").first
    name = button.get_attribute("aria-label")
    button.focus()
    fail_to_log_in(url, target.email)
    with auditor.page.expect_response("**/audit/summary?*"):
        auditor.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(auditor.page.locator("#accounts li", has_text=target.id).locator(".count")).to_have_text("3")
    focused = auditor.page.locator(f"{place} button:focus")
    expect(focused).to_have_count(1)
    if place != "#chart-rows":  # its intervals begin anew with each minute
        expect(focused).to_have_accessible_name(name)


# --- The list ---------------------------------------------------------------------------------------------------------


def test_each_filter_filters(auditor, target, url):
    fail_to_log_in(url, target.email, times=2)
    for filters, column, shown in (
        ({"user_id": target.id, "event": "authn_login_fail"}, "Event", {"authn_login_fail"}),
        ({"user_id": target.id, "outcome": "failure"}, "Outcome", {"failure"}),
        ({"severity": "low"}, "Severity", {"low", "medium", "high"}),
        ({"reason": "wrong_password"}, "Reason", {"wrong_password"}),
        ({"ip": "127.0.0.1"}, "Source IP", {"127.0.0.1"}),
        ({"user_id": target.id}, "Account", {target.id[:8]}),
    ):
        auditor.filter(**filters)
        found = set(auditor.rows.locator(f'[data-column="{column}"]').all_text_contents())
        assert found
        assert found <= shown
    expect(auditor.page.locator("#filter-user-id")).to_have_attribute("placeholder", re.compile("whole id"))
    auditor.filter(to="2020-01-01T00:00:00", **{"from": "2019-01-01T00:00:00"})
    expect(auditor.rows).to_have_count(0)
    expect(auditor.page.locator("#events-end")).to_have_text("0 events: these are all.")
    auditor.visitor.press("Clear the filters")
    expect(auditor.rows).not_to_have_count(0)
    expect(auditor.page.locator("#filter-from")).to_have_value("")

    # A value in the list filters, too, besides what was chosen before.
    auditor.filter(user_id=target.id)
    with auditor.page.expect_response(EVENTS):
        auditor.page.get_by_role("button", name="Filter by wrong_password").first.click()
    expect(auditor.rows).to_have_count(2)
    expect(auditor.page.locator("#filter-user-id")).to_have_value(target.id)


def test_invalid_or_hostile_filter_is_sent_as_it_is_and_explained_beside_its_field(auditor):
    auditor.filter(ip="over there")
    expect(auditor.page.locator("#filter-ip")).to_be_focused()
    expect(auditor.page.locator("#filter-ip")).to_have_accessible_description(re.compile("^Source IP "))
    with auditor.page.expect_request(EVENTS) as request:
        auditor.filter(reason="a&event=authn_login_fail#")
    assert query_of(request.value)["reason"] == "a&event=authn_login_fail#"
    assert auditor.visitor.refusals == [422, 422]


def test_pages_neither_skip_nor_repeat_while_events_arrive(auditor, target, url):
    auditor.visitor.press("Pause")
    ask_for_somebody_else(url, target.email, times=60)
    auditor.filter(user_id=target.id, event="authz_fail")
    expect(auditor.rows).to_have_count(50)
    first = auditor.shown()
    ask_for_somebody_else(url, target.email, times=55)
    auditor.visitor.press("Show older ones")
    expect(auditor.rows).to_have_count(60)
    assert auditor.shown()[:50] == first
    with auditor.page.expect_response(EVENTS):
        auditor.visitor.press("Pause")
    expect(auditor.rows).to_have_count(115)
    shown = auditor.shown()
    assert len(set(shown)) == 115
    assert shown[-60:-10] == first
    times = auditor.page.locator("#event-rows time").evaluate_all("times => times.map(time => time.dateTime)")
    assert times == sorted(times, reverse=True)
    expect(auditor.page.locator("#events-end")).to_have_text("115 events: these are all.")
    expect(auditor.page.get_by_role("button", name="Show older ones")).to_be_hidden()


def test_a_flood_begins_the_list_anew(auditor):
    """A poll that finds hundreds of new events does not add them page by page."""
    newest = auditor.filter()["items"][0]
    pages: list[list[dict[str, object]]] = []

    def flood(route):
        answer = route.fetch(url=re.sub("&cursor=.*", "", route.request.url))
        if len(pages) < 3:
            pages.append([{**newest, "id": f"flood.{len(pages)}.{place}"} for place in range(200)])
            route.fulfill(response=answer, json={"items": pages[-1], "next_cursor": "there-is-more"})
        else:
            route.fulfill(response=answer)

    auditor.page.route(EVENTS, flood)
    auditor.visitor.press("Pause")
    with auditor.page.expect_response(lambda answer: len(pages) == 3 and "cursor=" not in answer.url):
        auditor.visitor.press("Pause")
    expect(auditor.page.locator("#news")).to_contain_text("Looked at")
    expect(auditor.rows.first).not_to_have_attribute("data-event", re.compile("flood"))
    assert len(pages) == 3
    assert auditor.rows.count() <= 50


def test_readings_of_the_log_and_starts_of_functions_are_shown_on_request(auditor):
    assert "audit_log" not in auditor.page.locator("#event-rows").text_content()
    auditor.page.get_by_label("Readings of this log, too").check()
    auditor.visitor.press("Filter")
    expect(auditor.rows.filter(has_text="audit_log").first).to_be_visible()

    def begin_with_a_start(body):
        newest, *others = body["items"]
        return {"items": [{**newest, "event": "sys_startup", "function": "login"}, *others], "next_cursor": None}

    auditor.change_events(begin_with_a_start)
    auditor.filter()
    expect(auditor.rows.filter(has_text="sys_startup")).to_have_count(0)
    auditor.filter(starts="yes")
    expect(auditor.rows.first.locator('[data-column="Event"]')).to_have_text("sys_startup of login")
    auditor.page.unroute(EVENTS)
    # They are also shown if they are asked for by name.
    auditor.page.get_by_label("Starts of the service's functions, too").uncheck()
    auditor.page.locator("#filter-event").select_option("sys_startup")
    auditor.visitor.press("Filter")
    expect(auditor.rows.nth(1)).to_contain_text("sys_startup of ")


def test_start_whose_chain_check_fails_is_shown_always(auditor):
    newest = auditor.filter()["items"][0] | {"event": "sys_startup"}
    items = [newest | {"id": str(ok), "chain": newest["chain"] | {"intact": ok}} for ok in (True, False)]
    auditor.change_events(lambda _: {"items": items, "next_cursor": None})
    auditor.visitor.press("Filter")
    expect(auditor.rows).to_have_count(1)
    expect(auditor.rows.first).to_contain_text("sys_startup")
    expect(auditor.page.locator("#chain-alarm")).to_contain_text("1 record")


def test_pages_that_contain_only_starts_are_passed_over(auditor):
    newest = auditor.filter()["items"][0]
    starts = [{**newest, "id": str(place), "event": "sys_startup"} for place in range(50)]
    pages = [(starts, "after-1"), (starts, "after-2"), ([{**newest, "id": "it"}], None)]
    asked = []

    def quiet(route):
        answer = route.fetch(url=re.sub("&cursor=.*", "", route.request.url))
        asked.append(query_of(route.request).get("cursor"))
        items, cursor = pages[len(asked) - 1] if len(asked) <= len(pages) else ([], None)
        route.fulfill(response=answer, json={"items": items, "next_cursor": cursor})

    auditor.visitor.press("Pause")
    auditor.page.route(EVENTS, quiet)
    auditor.visitor.press("Filter")
    expect(auditor.rows).to_have_count(1)
    assert auditor.shown() == ["it"]
    assert asked == [None, "after-1", "after-2"]
    expect(auditor.page.get_by_role("button", name="Show older ones")).to_be_hidden()


# --- Live -------------------------------------------------------------------------------------------------------------


def test_what_is_new_comes_by_itself_unless_the_page_is_paused_or_hidden(auditor, clock, target, url):
    page = auditor.page
    auditor.filter(user_id=target.id)
    clock.install()
    auditor.visitor.press("Pause")
    auditor.visitor.press("Pause")  # from here on the timer is the clock's
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
    # One look at the list when it went on, and the numbers, which had become old.
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


def test_server_that_does_not_answer_is_asked_again_until_the_session_has_ended(auditor, clock, client):
    page = auditor.page
    clock.install()
    with page.expect_request(EVENTS) as request:
        auditor.visitor.press("Filter")
    auditor.visitor.press("Pause")
    page.route(EVENTS, lambda route: route.abort())
    auditor.visitor.press("Pause")
    clock.run_for(100)
    problem = page.locator("#poll-problem")
    expect(problem).to_contain_text("The server does not answer.")
    auditor.visitor.complaints.clear()
    page.unroute(EVENTS)
    clock.fast_forward("00:10")
    expect(problem).to_be_empty()

    auditor.visitor.press("Pause")
    client.post("/logout", headers={"Authorization": request.value.headers["authorization"]}).raise_for_status()
    auditor.visitor.press("Pause")
    clock.run_for(100)
    expect(auditor.visitor.status).to_have_text("This session has ended.")
    expect(page.locator("#event-rows")).to_be_empty()
    before = len(auditor.visitor.requests)
    clock.fast_forward("05:00")
    assert len(auditor.visitor.requests) == before
    # The access token's, and then the refresh token's, which alone tells that the session has ended.
    assert auditor.visitor.refusals == [401, 401]


# --- One event --------------------------------------------------------------------------------------------------------


def test_changed_record_raises_the_alarm_in_the_list_and_when_it_is_opened(auditor, target, url, data_dir):
    auditor.show_failures_of(target)
    alarm = auditor.page.locator("#chain-alarm")
    expect(alarm).to_be_empty()
    (event_id,) = auditor.shown()
    words = "does not fit the record before it, or was changed"
    with changed_record(data_dir, event_id, reason="unknown_user"):
        auditor.filter(user_id=target.id, event="authn_login_fail")
        expect(alarm).to_have_role("alert")
        expect(alarm).to_contain_text("The chain check fails for 1 record")
        expect(auditor.rows.first.locator('[data-column="Chain"]')).to_have_text(words)
        verdict = auditor.open(auditor.rows.first).locator(".verdict")
        expect(verdict).to_contain_text(words)
        expect(verdict).to_contain_text("One of the two is not what it was")
        auditor.page.keyboard.press("Escape")
    auditor.filter(user_id=target.id, event="authn_login_fail")
    expect(alarm).to_be_empty()

    # Changed after the list was read.
    auditor.visitor.press("Pause")
    auditor.open(auditor.rows.first)
    expect(verdict).to_contain_text(re.compile(r"intact.*Checked at \d\d:\d\d:\d\d\."))
    auditor.page.keyboard.press("Escape")
    expect(alarm).to_be_empty()
    with changed_record(data_dir, event_id, reason="unknown_user"):
        auditor.open(auditor.rows.first)
        expect(verdict).to_have_attribute("data-intact", "false")
        expect(verdict).to_contain_text(words)
        auditor.page.keyboard.press("Escape")
        expect(alarm).to_contain_text("The chain check fails for 1 record")
        expect(auditor.rows.first.locator(".chain")).to_have_attribute("data-intact", "false")
    # Moved to another time, it is not where it was.
    with changed_record(data_dir, event_id, time=1_000_000_000_000):
        auditor.open(auditor.rows.first)
        expect(verdict).to_contain_text("not found any more")
        expect(alarm).not_to_be_empty()
        auditor.page.keyboard.press("Escape")
    auditor.open(auditor.rows.first)
    expect(verdict).to_have_attribute("data-intact", "true")
    expect(alarm).to_be_empty()


def test_event_is_shown_with_every_field_its_meaning_and_its_chain_check(auditor, target):
    (event,) = auditor.show_failures_of(target, user_agent="guesser/2.0")["items"]
    opener = auditor.rows.first.locator("[aria-haspopup=dialog]")
    dialog = auditor.open(auditor.rows.first)
    expect(dialog).to_have_accessible_name("authn_login_fail")
    chain = event.pop("chain")
    fields = [event[name] for name in ("time", "outcome", "severity", "user_id", "reason", "source_ip", "user_agent")]
    for text in (*fields, "POST /login", event["request_id"], event["function"], chain["id"], chain["mac"]):
        expect(dialog).to_contain_text(text)
    expect(dialog).to_contain_text("Recorded when a login fails.")
    expect(dialog).to_contain_text("Here: the account is there, the password is another.")
    verdict = dialog.locator(".verdict")
    expect(verdict).to_contain_text("intact")
    expect(verdict).to_contain_text("as they were written")
    auditor.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    # A check that cannot be made again says when it was made.
    auditor.visitor.press("Pause")
    auditor.page.route(EVENTS, lambda route: route.abort())
    auditor.open(auditor.rows.first)
    expect(dialog.locator(".checked")).to_have_text(
        re.compile("^Checked when the list was read, and not now: The server does not answer")
    )
    auditor.visitor.press("Close")
    expect(dialog).to_be_hidden()
    auditor.visitor.complaints.clear()


def test_unknown_event_and_erased_fields_are_shown_as_such(auditor, target, url, data_dir):
    fail_to_log_in(url, target.email, user_agent="gone/1.0")
    erase(data_dir, target.email)
    auditor.filter(user_id=target.id, event="authn_login_fail")
    row = auditor.rows.first
    expect(row.locator('[data-column="Source IP"]')).to_have_text("erased")
    expect(row.locator('[data-column="Chain"]')).to_have_text("intact")
    dialog = auditor.open(row)
    expect(dialog.get_by_text("erased, with the personal data of this account")).to_have_count(2)
    expect(dialog).not_to_contain_text("gone/1.0")
    auditor.page.keyboard.press("Escape")

    def rename(body):
        body["items"][0]["event"] = "authn_login_lock_of_tomorrow"
        return body

    auditor.change_events(rename)
    auditor.visitor.press("Filter")
    expect(auditor.rows.first).to_contain_text("tomorrow")
    auditor.open(auditor.rows.first)
    expect(dialog).to_have_accessible_name("authn_login_lock_of_tomorrow")
    expect(dialog).to_contain_text("An event that this page does not know.")


# --- What attackers write into the log --------------------------------------------------------------------------------


@pytest.mark.threat("page-xss")
def test_markup_in_a_user_agent_and_in_a_path_is_text(auditor, target, url):
    token = log_in_somewhere(url, target.email)["access_token"]
    path = f"/users/{quote(HOSTILE.replace('/', ''))}"
    headers = {"Authorization": f"Bearer {token}", "User-Agent": HOSTILE + "A" * 5000}
    assert httpx.get(f"{url}{path}", headers=headers, timeout=60).status_code == 403
    (event,) = auditor.filter(user_id=target.id, event="authz_fail")["items"]
    assert event["user_agent"].startswith(HOSTILE)
    dialog = auditor.open(auditor.rows.first)
    expect(dialog).to_contain_text(event["user_agent"])
    expect(dialog).to_contain_text(event["path"])
    assert auditor.page.locator("img[src=x], #event script").count() == 0


def test_no_value_of_the_api_becomes_markup_or_turns_the_text_around(auditor):
    """Every text that the API sends, replaced: markup, reading direction, invisible characters, length."""
    evil = f"{HOSTILE}\N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH SPACE}\x1b[31m\n\N{HEBREW LETTER ALEF}{'W' * 3000}"

    def poison(value, key=""):
        if isinstance(value, dict):
            return {key: poison(item, key) for key, item in value.items()} | ({evil: evil} if key == "detail" else {})
        if isinstance(value, list):
            return [poison(item) for item in value]
        keeps_shape = key in {"time", "start", "from", "to", "next_cursor"}
        return evil if isinstance(value, str) and not keeps_shape else value

    def answer_with_poison(route):
        answer = route.fetch()
        body = answer.json()
        body = {key: poison(value, key) for key, value in body.items()}
        for event in body.get("items", []):
            event["detail"] = {evil: evil, "nested": {evil: [evil]}}
            event["id"] = json.dumps(event["time"]) + evil
        for name in ("reasons", "sources", "accounts"):
            if name in body:
                body[name] = [{"value": evil, "count": 3}]
        route.fulfill(response=answer, json=body)

    page = auditor.page
    page.route("**/audit/*", answer_with_poison)
    auditor.choose_range("hour")
    expect(page.locator("#accounts")).to_contain_text("<img src=x")
    expect(page.locator("#event-rows")).to_contain_text("<script>alert(2)</script>")
    auditor.open(auditor.rows.first)
    expect(auditor.dialog).to_contain_text("\\u{202e}\\u{200b}\\u{1b}[31m\\u{a}")
    assert page.locator("img[src=x], body script").count() == 0
    shown = page.locator("body").inner_text()
    assert [character for character in "\u202e\u200b\x1b" if character in shown] == []
    too_wide = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(too_wide)
    page.set_viewport_size({"width": 360, "height": 740})
    assert not page.evaluate(too_wide)
