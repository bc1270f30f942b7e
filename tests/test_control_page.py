"""The control page in a real browser, before real servers: what people do with it, and what others try."""

import contextlib
import json
import re
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, Route, expect
from tests.browser import browser as started
from tests.browser import judged_by_axe
from tests.control_page_apps import KEYS, PREFIX
from tests.server_table import _RUN, Server
from tests.servers import Running

from mockware.changes import DEFAULT_FOR_S, MAX_FOR_S, MAX_WORDS_CHARS
from mockware.control_page import _MORE, control_page, page_fields
from mockware.durations import parse_duration
from mockware.journal import MAX_MISSES
from mockware.reference_page import asset
from mockware.snippets import FRAMEWORKS, status_snippet
from mockware.statuses import CODE
from mockware.tokens import MAX_LIFETIME_S
from mockware.trigger_cookies import DEFAULT_FOR_S as DEFAULT_COOKIE_FOR_S

_APPS = "tests.control_page_apps"
SERVERS = (
    Server("uvicorn", "asgi", (*_RUN, "uvicorn", "--port={port}", "--factory", f"{_APPS}:asgi")),
    Server(
        "granian-wsgi",
        "wsgi",
        (*_RUN, "granian", "--port={port}", "--interface=wsgi", "--factory", f"{_APPS}:wsgi"),
    ),
)
OWNED = "document.title='owned'"
HOSTILE = f'"><img src=x onerror="{OWNED}"><script>{OWNED}</script>'
HOSTILE_MATCH = f"GET /<img/src=x/onerror={OWNED}>"
RULES = f"""
[trigger]
cookie = "mock"

[[rules]]
name = "payments-down"
tags = ["payments"]
match = "GET /payments/{{id:int}}"
status = 503

[[rules]]
name = "orders-late"
tags = ["payments", "orders"]
match = "POST /orders"

[[rules]]
name = "acme-only"
match = "GET /tenants"
status = 403
when = {{ headers = {{ x-tenant = "acme" }} }}

[[rules]]
match = "{HOSTILE_MATCH}"
status = 410
"""
BROKEN = RULES + '\n[[rules]]\nmatch = "/x"\nstatsu = 503\n'
VIEWS = ("rules", "journal", "explain", "add", "statuses", "statuses/503", "browser")
WIDTHS = {"wide": (1440, 900), "desktop": (1024, 800), "phone": (360, 740)}
# To see something that comes by itself: the page looks every 3 s, on a machine that has other things to do.
SEEN_MS = 20_000
expect.set_options(timeout=SEEN_MS)


class Site:
    """A server with its control page, and what a program may ask of it."""

    def __init__(self, running: Running, file: Path) -> None:
        self.running = running
        self.file = file
        self.url = f"http://127.0.0.1:{running.port}"
        self.control = f"{self.url}{PREFIX}/"
        self.kind = running.server.kind
        self.key = KEYS[self.kind]
        headers = [(b"Authorization", f"Bearer {self.key}".encode())]
        self.client = httpx.Client(base_url=self.url, headers=headers)

    def status(self, method: str, path: str, **headers: str) -> int:
        return httpx.request(method, f"{self.url}{path}", headers=headers).status_code

    def rules(self) -> dict[str, dict[str, object]]:
        response = self.client.get(f"{PREFIX}/api/rules")
        return {rule["name"]: rule for rule in response.json()["rules"]}

    @contextlib.contextmanager
    def other_rules(self, text: str) -> Iterator[None]:
        """Within, the rules file has another text, and the server has read it."""
        try:
            self._write(text)
            yield
        finally:
            self._write(RULES)

    def _write(self, text: str) -> None:
        def generation() -> int:
            found: int = self.client.get(f"{PREFIX}/api/rules").json()["generation"]
            return found

        before = generation()
        self.file.write_text(text)
        late = time.monotonic() + SEEN_MS / 1000
        while generation() == before:
            assert time.monotonic() < late

    def reset(self) -> None:
        done = self.client.post(f"{PREFIX}/api/reset", json={"by": "test", "why": "the next one"})
        assert done.status_code == 200, done.text


def serve(server: Server, folder: Path) -> Iterator[Site]:
    file = folder / "mocks.toml"
    file.write_text(RULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTROL_PAGE_RULES", str(file))
        running = Running(server, "control")
    try:
        assert running.listens(), running.log.text
        site = Site(running, file)
        with site.client:
            yield site
        assert "Traceback" not in running.log.text, running.log.text[-4000:]
    finally:
        running.stop()


@pytest.fixture(scope="module")
def asgi_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from serve(SERVERS[0], tmp_path_factory.mktemp("asgi"))


@pytest.fixture(scope="module")
def wsgi_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from serve(SERVERS[1], tmp_path_factory.mktemp("wsgi"))


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(f"{request.param}_site")
    found.reset()
    return found


@pytest.fixture
def one_site(asgi_site: Site) -> Site:
    asgi_site.reset()
    return asgi_site


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.set_default_timeout(SEEN_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that complains of nothing, and asks nobody but the server; no address has the key in it."""
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    # The browser itself tells of refusals, which some tests are about.
    assert [text for text in said if not text.startswith("Failed to load resource")] == []
    places = ("http://(127.0.0.1|localhost):[0-9]+/", "data:", "blob:", "about:")
    assert [one for one in asked if not re.match("|".join(places), one)] == []
    assert [one for one in asked if "sesame" in one or re.search(r"favicon|\.css|\.js$", one)] == []
    assert page.title() != "owned"


def log_in(page: Page, site: Site, *, keep: bool = False) -> None:
    page.goto(site.control)
    page.get_by_label("Your name").fill("Anna")
    page.get_by_label("Key", exact=True).fill(site.key)
    if keep:
        page.get_by_label("Stay logged in").check()
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Rules", exact=True)).to_be_visible(timeout=SEEN_MS)


def view(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Control").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_focused()


def confirm(page: Page, button: str, *, why: str = "a demo", lasts: str = "") -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill(why)
    if lasts:
        dialog.get_by_label("For", exact=True).fill(lasts)
    dialog.get_by_role("button", name=button, exact=True).click()
    expect(dialog).to_be_hidden(timeout=SEEN_MS)


def row(page: Page, name: str) -> Locator:
    return page.locator(".rule", has=page.get_by_role("switch", name=name, exact=True))


# ---- the way in


def test_the_page_shows_nothing_until_the_key_is_entered(page: Page, site: Site) -> None:
    page.goto(site.control)
    assert "orders-late" not in page.content()
    expect(page.get_by_role("switch")).to_have_count(0)
    expect(page.get_by_role("navigation")).to_have_count(0)
    page.get_by_label("Your name").fill("Anna")
    page.get_by_label("Key", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="That is not the key.")).to_be_visible()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    expect(page.get_by_role("switch")).to_have_count(0)
    page.keyboard.type(site.key)  # over the wrong one, which is selected
    page.keyboard.press("Enter")
    expect(page.get_by_role("switch", name="payments-down")).to_be_checked()
    expect(page.get_by_text("4 of 4 rules on")).to_be_visible()
    expect(page.get_by_text("This page speaks for one worker only.")).to_be_visible()


def test_rules_elsewhere_in_the_process_are_told_of(page: Page, one_site: Site) -> None:
    told = one_site.client.get(f"{PREFIX}/api/rules").json()
    told["elsewhere"] = ["1 rule from rules="]
    page.route("**/api/rules", lambda route: route.fulfill(json=told))
    log_in(page, one_site)
    expect(page.get_by_text("This process has 1 rule from rules= elsewhere")).to_be_visible()


def test_the_prefix_alone_leads_to_the_page(page: Page, site: Site) -> None:
    page.goto(site.control.removesuffix("/"))
    assert page.url == site.control
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_the_key_is_kept_by_no_cookie_and_only_on_request_by_the_tab(page: Page, one_site: Site) -> None:
    kept = "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    log_in(page, one_site)
    assert "sesame" not in page.evaluate(kept)
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    log_in(page, one_site, keep=True)
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("switch", name="payments-down")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert "sesame" not in page.evaluate(kept)
    assert "orders-late" not in page.content()
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_key_that_is_no_longer_accepted_ends_the_visit(page: Page, one_site: Site) -> None:
    log_in(page, one_site)
    # As after a restart with another key.
    page.route("**/api/**", lambda route: route.fulfill(status=401, json={"detail": "this is not the key"}))
    alert = page.get_by_role("alert").filter(has_text="The key is no longer accepted. Log in again.")
    expect(alert).to_be_visible()
    expect(page.get_by_role("switch")).to_have_count(0)
    assert "orders-late" not in page.content()


# ---- switching


def test_a_switch_changes_what_the_app_answers(page: Page, site: Site) -> None:
    assert site.status("GET", "/payments/1") == 503
    log_in(page, site)
    switch = page.get_by_role("switch", name="payments-down")
    switch.click()
    confirm(page, "Switch off", why="the demo is over")
    expect(page.get_by_role("status").filter(has_text="payments-down is off for 8h.")).to_be_visible()
    expect(switch).not_to_be_checked()
    assert site.status("GET", "/payments/1") == 200
    told = row(page, "payments-down")
    expect(told).to_contain_text("Switched off by Anna, ends in 8 hours: \u201cthe demo is over\u201d")
    told.get_by_role("button", name="Put back").click()
    confirm(page, "Put back")
    expect(switch).to_be_checked()
    assert site.status("GET", "/payments/1") == 503
    expect(page.locator(":focus")).to_have_count(1)


def test_a_switch_reverts_by_itself(page: Page, site: Site) -> None:
    log_in(page, site)
    switch = page.get_by_role("switch", name="payments-down")
    switch.click()
    confirm(page, "Switch off", lasts="5s")
    expect(switch).not_to_be_checked()
    expect(switch).to_be_checked(timeout=SEEN_MS)
    assert site.status("GET", "/payments/1") == 503


def test_a_switch_needs_a_reason_and_an_end(page: Page, one_site: Site) -> None:
    log_in(page, one_site)
    page.get_by_role("switch", name="payments-down").click()
    dialog = page.get_by_role("dialog", name="Switch payments-down off")
    expect(dialog.get_by_label("Why")).to_be_focused()
    dialog.get_by_label("For", exact=True).fill("10000h")
    dialog.get_by_role("button", name="Switch off").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Why: expected some words")
    expect(dialog.get_by_role("alert")).to_contain_text("For: more than nothing, and at most 168h")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("switch", name="payments-down")).to_be_focused()
    assert one_site.status("GET", "/payments/1") == 503


def test_a_tag_is_shown_and_switched(page: Page, site: Site) -> None:
    log_in(page, site)
    page.get_by_role("group", name="Show one tag only").get_by_role("button", name="payments").click()
    expect(page.get_by_role("switch")).to_have_count(2)
    page.get_by_role("button", name="Switch all of payments off").click()
    confirm(page, "Switch off")
    expect(page.get_by_role("switch", checked=False)).to_have_count(2)
    assert site.status("GET", "/payments/1") == site.status("POST", "/orders") == 200
    page.get_by_role("button", name="Put all back").click()
    confirm(page, "Put back")
    expect(page.get_by_role("switch", checked=True)).to_have_count(2)
    assert site.status("POST", "/orders") == 202


def test_the_search_finds_by_name_path_tag_and_status(page: Page, one_site: Site) -> None:
    log_in(page, one_site)
    for words, count in [("down", 1), ("/orders", 1), ("payments 202", 1), ("PAYMENTS", 2), ("nothing", 0)]:
        page.get_by_role("searchbox", name="Search the rules").fill(words)
        expect(page.get_by_role("switch")).to_have_count(count)
    expect(page.get_by_text("No rule is like that.")).to_be_visible()


def test_what_others_change_is_seen(page: Page, site: Site) -> None:
    log_in(page, site)
    change = {"on": False, "by": "Ben", "why": "elsewhere"}
    assert site.client.patch(f"{PREFIX}/api/rules/orders-late", json=change).status_code == 200
    expect(page.get_by_role("switch", name="orders-late")).not_to_be_checked(timeout=SEEN_MS)
    expect(page.get_by_text("Switched off by Ben")).to_be_visible()


# ---- a new rule


def test_a_rule_is_added_for_a_time_and_then_is_gone(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "Add a rule")
    page.get_by_label("Match").fill("GET /tea")
    page.get_by_label("Status", exact=True).fill("418")
    page.get_by_label("Name", exact=True).fill("teapot")
    page.get_by_label("JSON body").fill('{"short": true}')
    page.get_by_label("Any other keys").fill('{"headers": {"x-tea": "green"}}')
    page.locator("#add").get_by_label("Why").fill("tea time")
    page.locator("#add").get_by_label("For", exact=True).fill("4s")
    expect(page.get_by_role("status").filter(has_text="The server accepts this rule.")).to_be_visible()
    page.get_by_role("button", name="Add the rule").click()
    switch = page.get_by_role("switch", name="teapot")
    expect(switch).to_be_checked()
    answer = httpx.get(f"{site.url}/tea")
    assert (answer.status_code, answer.json(), answer.headers["x-tea"]) == (418, {"short": True}, "green")
    expect(switch).to_have_count(0, timeout=SEEN_MS)
    assert site.status("GET", "/tea") == 200


def test_a_rule_is_checked_by_the_server_as_it_is_typed(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "Add a rule")
    code = page.get_by_label("Status", exact=True)
    code.fill("999")
    expect(page.locator("#new-status-problem")).to_contain_text("999")
    assert code.get_attribute("aria-invalid") == "true"
    expect(code).to_have_accessible_description(re.compile("999"))
    # Nobody has come to this one yet.
    assert page.locator("#new-match-problem").inner_text() == ""
    code.fill("503")
    page.get_by_label("Match").fill("GET no-slash")
    expect(page.locator("#new-match-problem")).not_to_be_empty()
    expect(page.locator("#new-status-problem")).to_be_empty()
    page.get_by_label("Match").fill("GET /x")
    page.get_by_label("Any other keys").fill("{")
    expect(page.locator("#new-more-problem")).to_contain_text("This is no JSON")
    page.get_by_label("Any other keys").fill('{"statsu": 1}')
    expect(page.locator("#verdict")).to_contain_text("did you mean `status`?")
    page.get_by_label("Any other keys").fill("")
    expect(page.locator("#verdict")).to_have_text("The server accepts this rule.")
    page.get_by_role("button", name="Add the rule").click()
    expect(page.locator("#new-why-problem")).to_contain_text("expected some words")
    assert set(site.rules()) == {"payments-down", "orders-late", "acme-only", HOSTILE_MATCH}


# ---- the journal, and explanations


def test_the_journal_is_watched_as_it_grows(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "Journal")
    manner = {"asgi": "live", "wsgi": "asked every 1.5 s"}
    expect(page.locator("#live")).to_have_text(manner[site.kind])
    number = 71
    assert site.status("GET", f"/payments/{number}") == 503
    entry = page.locator(".entries li").first
    expect(entry).to_contain_text(f"GET /payments/{number}", timeout=SEEN_MS)
    expect(entry).to_contain_text("503")
    expect(page.get_by_role("status").filter(has_text="1 more request mocked.")).to_have_count(1)
    entry.locator("summary").click()
    expect(entry.get_by_role("group", name="journal entry")).to_contain_text('"method": "GET"')
    page.get_by_role("button", name="Pause").click()
    hits = page.locator(".entries li").count()
    assert site.status("GET", "/payments/73") == 503
    view(page, "Rules")
    expect(row(page, "payments-down")).not_to_contain_text(" 0 hits")
    view(page, "Journal")
    assert page.locator(".entries li").count() == hits
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".entries li").first).to_contain_text("GET /payments/73", timeout=SEEN_MS)


def test_what_is_mocked_is_announced_while_more_comes(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "Journal")
    expect(page.locator("#live")).to_have_text(re.compile("live|asked"))
    told = page.locator("#journal-told")
    late = time.monotonic() + SEEN_MS / 1000
    while not told.inner_text():
        assert time.monotonic() < late
        assert site.client.get("/payments/91").status_code == 503
    expect(told).to_have_text(re.compile("^[0-9,]+ more requests mocked[.]$"))


def test_near_misses_say_what_differed(page: Page, site: Site) -> None:
    assert site.status("GET", "/tenants", **{"x-tenant": "other"}) == 200
    log_in(page, site)
    view(page, "Journal")
    page.get_by_role("button", name="Near misses").click()
    entry = page.locator(".entries li").first
    expect(entry).to_contain_text("GET /tenants")
    expect(entry).to_contain_text("acme-only")
    expect(entry).to_contain_text("other")


def test_the_rules_are_asked_for_while_more_is_told_of_them(page: Page, one_site: Site) -> None:
    page.clock.install()
    log_in(page, one_site)
    page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    with page.expect_request("**/api/rules"):
        for _ in range(10):  # a second, while the page looks by itself every three
            page.evaluate("() => refreshSoon()")
            page.clock.run_for(100)


def test_near_misses_push_no_mock_out(page: Page, one_site: Site) -> None:
    assert one_site.status("GET", "/payments/81") == 503
    for _ in range(MAX_MISSES):
        one_site.client.get("/tenants")
    log_in(page, one_site)
    view(page, "Journal")
    entries = page.locator(".entries li")
    mock = entries.filter(has_text="GET /payments/81")
    expect(mock).to_have_count(1)
    page.get_by_role("button", name="Near misses").click()
    expect(entries).to_have_count(MAX_MISSES)
    expect(mock).to_have_count(0)
    page.get_by_role("button", name="Near misses").click()
    expect(mock).to_have_count(1)
    expect(page.get_by_text("No request has been mocked yet.")).to_be_hidden()


def test_a_request_is_explained(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "Explain")
    page.get_by_label("Request", exact=True).fill("GET /tenants?x=1")
    page.get_by_label("Headers").fill("X-Tenant: other")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Explain").click()
    told = page.get_by_role("region", name="Explanation")
    expect(told).to_contain_text("the app answers")
    expect(told).to_contain_text("acme-only")
    page.get_by_label("Headers").fill("X-Tenant: acme")
    page.get_by_role("button", name="Explain").click()
    expect(told).to_contain_text("HTTP/1.1 403 Forbidden")
    page.get_by_label("Request", exact=True).fill("GET nothing")
    page.keyboard.press("Enter")
    expect(page.locator("#question-problem")).to_contain_text("expected `[METHOD] /path?query`")
    expect(page.get_by_label("Request", exact=True)).to_be_focused()


# ---- the reference, and the export


def test_the_code_of_a_status_is_copied(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "Statuses")
    page.get_by_role("link", name="503 Service Unavailable").click()
    expect(page.get_by_role("tab")).to_have_text([framework.title for framework in FRAMEWORKS.values()])
    for framework in FRAMEWORKS.values():
        page.get_by_role("tab", name=framework.title, exact=True).click()
        page.get_by_role("button", name=f"Copy the code for {framework.title}", exact=True).click()
        page.get_by_role("button", name=f"Copied the code for {framework.title}", exact=True).wait_for()
        assert page.evaluate("() => navigator.clipboard.readText()") == status_snippet(503, framework.slug)
    line = page.get_by_role("group", name="curl line")
    expect(line).to_have_text(f"curl -i -H \"X-Mock-Key: $MOCKWARE_KEY\" -H 'X-Mock-Status: 503' {site.url}/")
    expect(page.get_by_role("group", name="response")).to_contain_text("HTTP/1.1 503 Service Unavailable")


def test_a_status_that_no_request_may_ask_for_says_so(page: Page, one_site: Site) -> None:
    log_in(page, one_site)
    limited = RULES.replace(
        "[trigger]\n", "[trigger]\nstatuses = [503]\nstatus_header = 'X-Ask'\npaths = ['/api/']\n"
    )
    with one_site.other_rules(limited):
        view(page, "Statuses")
        page.get_by_role("link", name="503 Service Unavailable").click()
        line = page.get_by_role("group", name="curl line")
        expect(line).to_have_text(
            f"curl -i -H \"X-Mock-Key: $MOCKWARE_KEY\" -H 'X-Ask: 503' {one_site.url}/api/"
        )
        page.evaluate("() => { location.hash = 'statuses/404' }")
        expect(
            page.get_by_text("Not here: the rules file allows triggers these statuses only: 503.")
        ).to_be_visible()
        expect(line).to_have_count(0)


# ---- the cookie of this browser

FETCHED = "async path => (await fetch(path, { cache: 'no-store' })).status"


def said_of_sites(page: Page) -> str | None:
    """Which sites the page's one cookie goes with, if that was said; Playwright tells the default, too."""
    (cookie,) = page.context.new_cdp_session(page).send("Network.getCookies")["cookies"]
    found: str | None = cookie.get("sameSite")
    return found


def ask_for(page: Page, status: str, *, paths: str = "", lasts: str = "") -> None:
    page.get_by_label("Ask for").fill(status)
    page.get_by_label("Paths").fill(paths)
    if lasts:
        page.locator("#cookie").get_by_label("For", exact=True).fill(lasts)
    page.get_by_role("button", name="Set the cookie").click()


def test_a_cookie_mocks_what_this_browser_asks_for_and_nobody_else(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "This browser")
    expect(page.get_by_text("This browser asks for nothing.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop it")).to_have_count(0)
    ask_for(page, "418", paths="/api/*", lasts="15m")
    expect(page.get_by_role("status").filter(has_text="asks for 418").first).to_be_visible()
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["path"], said_of_sites(page)) == ("mock", "/", "Lax")
    assert (cookie["secure"], cookie["domain"]) == (False, "127.0.0.1")
    assert time.time() < cookie["expires"] <= time.time() + 15 * 60 + 2
    assert "sesame" not in unquote(cookie["value"])
    # The page itself is none of its matter, and neither is what is not listed.
    assert [page.evaluate(FETCHED, path) for path in ("/api/7", "/other")] == [418, 200]
    assert site.status("GET", "/api/7") == 200
    page.reload()
    log_in(page, site)
    view(page, "This browser")
    expect(page.locator("#cookie-now")).to_have_text("This browser asks for 418.")
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator("#cookie-now")).to_have_text("This browser asks for nothing.")
    expect(page.get_by_label("Ask for")).to_be_focused()
    assert page.context.cookies() == []
    assert page.evaluate(FETCHED, "/api/7") == 200


def test_a_bookmark_switches_the_mock_on_and_off_on_the_pages_of_the_app(page: Page, site: Site) -> None:
    log_in(page, site)
    view(page, "This browser")
    ask_for(page, "503:1,418:0", paths="/api/* /v2/*")
    link = page.get_by_role("link", name="Mock 503:1,418:0")
    # Here, the policy of this page would refuse to run it; the fixture sees that it is not even asked.
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Drag it to your bookmarks")).to_be_visible()
    href = link.get_attribute("href") or ""
    assert link.get_attribute("draggable") == "true"
    assert "sesame" not in unquote(href)
    page.get_by_role("button", name="Copy the bookmark").click()
    page.get_by_role("button", name="Copied the bookmark").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == href
    page.get_by_role("button", name="Stop it").click()
    said: list[str] = []

    def hear(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.accept()

    page.on("dialog", hear)
    script = unquote(href.removeprefix("javascript:"))
    page.goto(f"{site.url}/hello")
    assert page.evaluate(FETCHED, "/v2/7") == 200
    page.evaluate(script)
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["path"], said_of_sites(page)) == ("mock", "/", "Lax")
    assert time.time() < cookie["expires"] <= time.time() + 3600 + 2
    assert [page.evaluate(FETCHED, path) for path in ("/v2/7", "/api/7", "/hello")] == [503, 503, 200]
    page.evaluate(script)
    assert page.context.cookies() == []
    assert page.evaluate(FETCHED, "/v2/7") == 200
    page.goto(f"http://localhost:{site.running.port}/hello")
    page.evaluate(script)
    assert page.context.cookies() == []
    page.goto(f"{site.url}/hello")
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(hours=1, seconds=3))
    page.evaluate(script)
    assert page.context.cookies() == []
    assert said == [
        "Mocks are on: this browser asks for 503:1,418:0.",
        "Mocks are off: this browser asks for nothing.",
        f"This mock is for {site.url}, and this is http://localhost:{site.running.port}.",
        "This mock has expired. Make another one on the control page.",
    ]


def test_nothing_that_was_shown_or_typed_stays_behind_after_the_log_out(page: Page, one_site: Site) -> None:
    log_in(page, one_site)
    view(page, "This browser")
    ask_for(page, "503")
    page.locator("#bookmark-code .block").wait_for()
    view(page, "Explain")
    page.get_by_label("Headers").fill("Authorization: a secret")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    fields = "() => [...document.querySelectorAll('input:not(#by), textarea')].map(field => field.value)"
    assert set(page.evaluate(fields)) <= {"", "on", "1h", "8h"}
    assert "key%3D" not in page.content()
    assert "key%253D" not in page.content()


def test_a_cookie_that_cannot_be_made_says_what_is_wrong_with_it(page: Page, one_site: Site) -> None:
    log_in(page, one_site)
    view(page, "This browser")
    for fields, named, told in [
        (("999", "", ""), "Ask for", "expected a status from 200 to 599"),
        ((HOSTILE, "", ""), "Ask for", "expected a status from 200 to 599"),
        (("503", "api", ""), "Paths", "a path starts with `/`"),
        (("503", "", "10000h"), "For", "168h (7 days) at most"),
    ]:
        status, paths, lasts = fields
        ask_for(page, status, paths=paths, lasts=lasts)
        expect(page.locator("#cookie-problem")).to_contain_text(told)
        wrong = page.locator("#cookie").get_by_label(re.compile(f"^{named}"))
        expect(wrong).to_be_focused()
        assert wrong.get_attribute("aria-invalid") == "true"
    assert page.context.cookies() == []
    expect(page.locator("#bookmark")).to_be_hidden()


def test_where_the_cookie_is_not_switched_on_the_page_says_how_to(page: Page, site: Site) -> None:
    log_in(page, site)
    with site.other_rules(RULES.replace('cookie = "mock"', "")):
        view(page, "This browser")
        expect(page.locator("#cookie-off")).to_contain_text("Here it is not: no cookie is a trigger here")
        expect(page.get_by_role("group", name="table of the rules file")).to_have_text(
            '[trigger]\ncookie = "mock"'
        )
        expect(page.get_by_role("button", name="Set the cookie")).to_have_count(0)
        assert judged_by_axe(page)[0] == []
    view(page, "Rules")
    view(page, "This browser")
    expect(page.get_by_role("button", name="Set the cookie")).to_be_visible()
    expect(page.locator("#cookie-off")).to_be_hidden()


def test_over_https_the_cookie_goes_nowhere_else(chromium: Browser, one_site: Site) -> None:
    # The browser is told that the server is another one, as it would be behind a proxy that ends TLS.
    context = chromium.new_context()
    page = context.new_page()
    origin = "https://staging.test"

    def forward(route: Route) -> None:
        request = route.request
        sent = {**request.all_headers(), "host": "staging.test"}
        answer = httpx.request(
            request.method,
            request.url.replace(origin, one_site.url),
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=request.post_data_buffer,
        )
        headers = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
        route.fulfill(status=answer.status_code, headers=headers, body=answer.content)

    page.route(f"{origin}/**", forward)
    page.route(f"{origin}/**/api/events", lambda route: route.fulfill(status=501))  # no stream goes this way
    try:
        page.goto(f"{origin}{PREFIX}/")
        page.get_by_label("Your name").fill("Anna")
        page.get_by_label("Key", exact=True).fill(one_site.key)
        page.keyboard.press("Enter")
        view(page, "This browser")
        ask_for(page, "503")
        expect(page.locator("#cookie-now")).to_have_text("This browser asks for 503.")
        script = unquote((page.locator("#bookmark").get_attribute("href") or "").removeprefix("javascript:"))
        assert [cookie["secure"] for cookie in context.cookies()] == [True]
        page.on("dialog", lambda dialog: dialog.accept())
        page.evaluate(script)
        assert context.cookies() == []
        page.evaluate(script)
        assert [cookie["secure"] for cookie in context.cookies()] == [True]
    finally:
        context.close()


def test_the_present_rules_are_exported(page: Page, site: Site) -> None:
    log_in(page, site)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "mocks.toml"
    exported = tomllib.loads(download.value.path().read_text())
    assert [rule.get("name") for rule in exported["rules"]][:3] == [
        "payments-down",
        "orders-late",
        "acme-only",
    ]


def test_a_broken_file_is_shown_until_it_is_mended(page: Page, site: Site) -> None:
    log_in(page, site)
    try:
        site.file.write_text(BROKEN)
        httpx.get(f"{site.url}/hello")
        alert = page.get_by_role("alert").filter(has_text="The rules file is broken")
        expect(alert).to_contain_text("did you mean `status`?", timeout=SEEN_MS)
        assert site.status("GET", "/payments/1") == 503
    finally:
        site.file.write_text(RULES)
    expect(alert).to_be_hidden(timeout=SEEN_MS)


# ---- for everybody


def test_all_of_it_is_done_by_the_keyboard(page: Page, one_site: Site) -> None:
    page.goto(one_site.control)
    page.keyboard.type("Anna")
    page.keyboard.press("Tab")
    page.keyboard.type(one_site.key)
    page.keyboard.press("Enter")
    search = page.get_by_role("searchbox", name="Search the rules")
    expect(search).to_be_focused()
    switch = page.get_by_role("switch", name="payments-down")
    expect(switch).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if switch.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Space")
    expect(page.get_by_role("dialog").get_by_label("Why")).to_be_focused()
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()
    # What the page does by itself takes the focus from nobody.
    change = {"on": False, "by": "Ben", "why": "elsewhere"}
    one_site.client.patch(f"{PREFIX}/api/rules/orders-late", json=change)
    expect(page.get_by_role("switch", name="orders-late")).not_to_be_checked(timeout=SEEN_MS)
    expect(switch).to_be_focused()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, one_site: Site, scheme: str, width: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": WIDTHS[width][0], "height": WIDTHS[width][1]})
    page.goto(one_site.control)
    assert judged_by_axe(page)[0] == []
    one_site.client.patch(
        f"{PREFIX}/api/rules/orders-late", json={"on": False, "by": "Ben", "why": "to be seen"}
    )
    one_site.status("GET", "/payments/1")
    log_in(page, one_site)
    for place in VIEWS:
        page.evaluate("place => { location.hash = place }", place)
        page.locator(f"#{place.partition('/')[0]}-title:focus").wait_for()
        if place == "explain":
            page.get_by_label("Request", exact=True).fill("GET /payments/1")
            page.keyboard.press("Enter")
            page.locator("#explanation .block").wait_for()
        if place == "add":
            page.get_by_label("Status", exact=True).fill("9")
            page.locator("#new-status-problem:not(:empty)").wait_for()
        if place.startswith("statuses"):
            page.locator("#catalogue .tabs" if "/" in place else "#catalogue .statuses").wait_for()
        if place == "browser":
            page.get_by_label("Ask for").fill("9")
            page.keyboard.press("Enter")
            page.locator("#cookie-problem:not(:empty)").wait_for()
            page.get_by_label("Ask for").fill("503")
            page.keyboard.press("Enter")
            page.locator("#bookmark-code .block").wait_for()
        if place == "rules":
            page.get_by_role("button", name="Details of payments-down").click()
            page.locator(".more .block").wait_for()
        wrong, passed = judged_by_axe(page)
        assert (place, wrong, passed > 15) == (place, [], True)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= WIDTHS[width][0], place
    page.evaluate("() => { location.hash = 'rules' }")
    page.get_by_role("switch", name="payments-down").click()
    assert judged_by_axe(page)[0] == []
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall("[0-9]+", background))) < 150) == (scheme == "dark")


# ---- what keeps it safe


def test_whatever_it_shows_is_text(page: Page, site: Site) -> None:
    site.client.patch(
        f"{PREFIX}/api/rules/payments-down",
        json={"on": True, "by": HOSTILE[:200], "why": HOSTILE[:200], "for": "1h"},
    ).raise_for_status()
    path = HOSTILE_MATCH.removeprefix("GET ")
    assert site.status("GET", quote(path), **{"x-note": HOSTILE, "user-agent": HOSTILE}) == 410
    assert site.status("GET", "/tenants", **{"x-tenant": HOSTILE}) == 200
    log_in(page, site)
    expect(page.get_by_role("switch", name=HOSTILE_MATCH)).to_be_visible()
    expect(page.get_by_text(f"by {HOSTILE}").first).to_be_visible()
    page.get_by_role("button", name=f"Details of {HOSTILE_MATCH}").click()
    page.locator(".more .block").wait_for()
    view(page, "Journal")
    entry = page.locator(".entries li").filter(has_text=path).first
    entry.locator("summary").click()
    expect(entry.locator("pre")).to_contain_text(json.dumps(HOSTILE)[1:-1])
    page.get_by_role("button", name="Near misses").click()
    expect(page.locator(".entries li").first).to_contain_text("<img src=x onerror=")
    view(page, "Explain")
    page.get_by_label("Request", exact=True).fill(f"GET {path}?{HOSTILE}")
    page.get_by_label("Headers").fill(f"x-note: {HOSTILE}")
    page.get_by_role("button", name="Explain").click()
    page.locator("#explanation .block").wait_for()
    view(page, "Add a rule")
    for label in ("Match", "Name", "Tags", "Delay", "Status"):
        page.get_by_label(re.compile(f"^{label}")).first.fill(HOSTILE)
    expect(page.locator("#new-tags-problem")).to_contain_text("<img")
    page.get_by_label("Any other keys").fill(json.dumps({HOSTILE: HOSTILE, "__proto__": {"x": 1}}))
    expect(page.locator("#verdict")).to_contain_text("<img")
    page.evaluate("hash => { location.hash = hash }", f"statuses/{HOSTILE}")
    page.locator("#catalogue .statuses").wait_for()
    assert page.locator("img, main script, iframe").count() == 0


def test_no_string_becomes_markup_and_no_other_script_runs(context: BrowserContext, one_site: Site) -> None:
    page = context.new_page()
    page.goto(one_site.control)
    refused = page.evaluate(
        "() => { try { document.body.innerHTML = 'x' } catch (error) { return error.name } }"
    )
    assert refused == "TypeError"
    violated = page.evaluate(
        """() => new Promise(resolve => {
            addEventListener("securitypolicyviolation", event => resolve(event.violatedDirective));
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/x";
            document.body.append(image);
        })"""
    )
    assert violated == "img-src"


def test_the_page_has_the_fields_that_keep_it_to_itself(site: Site) -> None:
    for method in ("GET", "HEAD"):
        response = httpx.request(method, site.control)
        assert response.status_code == 200
        for name, value in page_fields():
            assert response.headers[name] == value
        assert "set-cookie" not in response.headers
        assert not [name for name in response.headers if name.startswith("access-control-")]
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"):
        assert part in policy
    assert httpx.post(site.control).status_code == 405
    assert httpx.get(f"{site.control}nothing").status_code == 404


def test_no_page_of_another_origin_frames_it(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"http://localhost:{site.running.port}/evil")
    frame = page.locator("#frame").element_handle().content_frame()
    assert frame is not None
    assert frame.url.startswith("chrome-error:")
    assert frame.get_by_role("button", name="Log in").count() == 0
    assert [text for text in said if "frame-ancestors" in text]


def test_another_origin_changes_nothing(context: BrowserContext, site: Site) -> None:
    change = {"on": False, "by": "Anna", "why": "a demo"}
    site.client.patch(f"{PREFIX}/api/rules/payments-down", json=change).raise_for_status()
    page = context.new_page()
    page.goto(f"http://localhost:{site.running.port}/evil")
    with page.expect_response(lambda response: response.url.endswith("/api/reset")) as answer:
        page.evaluate("() => document.getElementById('form').submit()")
    assert answer.value.status == 401
    asked = """async ([url, settings]) => {
        try { return (await fetch(url, settings)).type } catch (error) { return error.name }
    }"""
    reset = f"{site.control}api/reset"
    body = json.dumps({"by": "evil", "why": "evil"})
    # As a form would; then with all that the API wants, the key too, which takes a preflight.
    simple = {"method": "POST", "mode": "no-cors", "body": body, "headers": {"Content-Type": "text/plain"}}
    assert page.evaluate(asked, [reset, simple]) == "opaque"
    key = site.key.encode().decode("latin-1")
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    assert page.evaluate(asked, [reset, {"method": "POST", "body": body, "headers": headers}]) == "TypeError"
    assert page.evaluate(asked, [f"{site.control}api/rules", {"headers": headers}]) == "TypeError"
    assert site.rules()["payments-down"]["on"] is False


def test_the_page_has_the_bounds_of_the_api() -> None:
    html = asset("control_page.html")
    assert set(re.findall('maxlength="([^"]*)"', html)) == {str(MAX_WORDS_CHARS)}
    assert MAX_FOR_S == MAX_LIFETIME_S == timedelta(weeks=1).total_seconds()
    longest = f"{MAX_FOR_S / 3600:g}h"
    hints = re.findall('id="[^"]*-for-help">([^<]*)<', html)
    assert [hint.partition(". ")[2] for hint in hints] == [f"At most {longest}, a week."] * 3
    times = re.findall('<option value="([^"]*)">', html)
    assert times[-1] == longest
    assert all(0 < parse_duration(time) <= MAX_FOR_S for time in times)
    usual = dict(re.findall('<input id="([a-z]+)-for"[^>]* value="([^"]*)"', html))
    assert {name: parse_duration(value) for name, value in usual.items()} == {
        "new": DEFAULT_FOR_S,
        "change": DEFAULT_FOR_S,
        "cookie": DEFAULT_COOKIE_FOR_S,
    }
    assert re.findall(r"/\^(.*)\$/[.]test", asset("control_statuses.js")) == [CODE]


def test_the_page_is_the_same_for_everybody_and_its_assets_end_where_they_end() -> None:
    text = control_page()
    assert not [key for key in KEYS.values() if key in text]
    identities = re.findall(' id="([^"]*)"', text.partition("<script>")[0])
    assert len(identities) == len(set(identities))
    for name in _MORE:
        assert "</" not in asset(name)
        assert "<!--" not in asset(name)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", asset(name))
