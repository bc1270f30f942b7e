"""A front end of one origin and mocks of another, in Chromium: what a page may read, and what it may not.

The API stands on `localhost`, and so does the page that is listed, on another port: another origin, which a
browser sends its cookies from. The page that is not listed is on `127.0.0.1`, which is another site, too.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from tests.browser import browser
from tests.commands import Program, environ, free_port

TESTS = Path(__file__).parent
RULES = """
server_timing = true

[trigger]
query = "mock"
cookie = "mock"

[cors]
origins = ["{listed}"]
credentials = true
exposed_headers = ["Retry-After"]

[[rules]]
match = "/mocked"
status = 503
headers = {{ retry-after = "30", x-hidden = "1" }}
json = {{ down = true }}

[[rules]]
match = '/a"b\\c'
status = 503

[[rules]]
match = "/sometimes"
when = {{ headers = {{ x-own = "mock" }} }}
status = 409

[[rules]]
match = "POST /jobs"
[rules.task]
"""

FETCH = """async ([url, options]) => {
  try {
    const response = await fetch(url, {credentials: "include", ...options});
    const headers = Object.fromEntries(response.headers);
    return {status: response.status, body: await response.text(), headers};
  } catch (error) {
    return {refused: String(error)};
  }
}"""


# What the browser has timed of this URL: who is named, if anybody is.
TIMINGS = """url => new Promise(resolve => {
  new PerformanceObserver(list => {
    for (const entry of list.getEntriesByName(url))
      resolve(entry.serverTiming.map(timing => [timing.name, timing.description]));
  }).observe({type: "resource", buffered: true});
})"""


@dataclass(frozen=True)
class Places:
    """The API; the page that is listed; pages that `[cors]` does not list."""

    api: str
    listed: str
    unlisted: str
    only_the_apps: str


@contextlib.contextmanager
def served(folder: Path, port: int, **settings: str) -> Iterator[None]:
    env = environ(**settings)
    arguments = [f"--app-dir={TESTS}", f"--port={port}", "cors_service:app"]
    with Program(*arguments, cwd=folder, env=env, module="uvicorn") as program:
        program.listens_on(port)
        yield


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("rules")
    api, pages = free_port(), free_port()
    found = Places(
        f"http://localhost:{api}",
        f"http://localhost:{pages}",
        f"http://127.0.0.1:{pages}",
        f"http://app.localhost:{pages}",
    )
    (folder / "mocks.toml").write_text(RULES.format(listed=found.listed))
    allowed = f"{found.listed} {found.only_the_apps}"
    with (
        served(folder, pages),
        served(folder, api, PAGES=allowed, MOCKWARE="on", MOCKWARE_FILE="mocks.toml"),
    ):
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def context(chromium: Browser, places: Places) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.add_cookies([{"name": "session", "value": "7", "url": places.api}])
    yield context
    context.close()


def opened(context: BrowserContext, origin: str) -> Page:
    page = context.new_page()
    page.goto(f"{origin}/page")
    return page


@pytest.fixture
def page(context: BrowserContext, places: Places) -> Page:
    return opened(context, places.listed)


def fetched(page: Page, url: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(FETCH, [url, options])
    return found


def refused(answer: dict[str, Any]) -> bool:
    return "Failed to fetch" in answer.get("refused", "")


def test_a_listed_page_reads_a_mock_with_its_body_and_the_exposed_fields(page: Page, places: Places) -> None:
    answer = fetched(page, f"{places.api}/mocked")
    assert (answer["status"], answer["body"]) == (503, '{"down": true}')
    assert answer["headers"]["retry-after"] == "30"
    assert answer["headers"]["x-mock-rule"] == "/mocked"
    assert "x-hidden" not in answer["headers"]


def test_a_listed_page_reads_which_rule_is_among_the_timings(
    page: Page, context: BrowserContext, places: Places
) -> None:
    quoted = f"{places.api}/a%22b%5Cc"
    for url, rule in ((f"{places.api}/mocked", "/mocked"), (quoted, '/a"b\\c')):
        assert fetched(page, url)["status"] == 503
        assert page.evaluate(TIMINGS, url) == [["mock", rule]]
    passed = f"{places.api}/own"
    assert fetched(page, passed)["status"] == 200
    assert page.evaluate(TIMINGS, passed) == []
    other = opened(context, places.unlisted)
    other.evaluate("url => fetch(url, {mode: 'no-cors'})", quoted)
    assert other.evaluate(TIMINGS, quoted) == []
    own = opened(context, places.api)  # of one origin with the mock
    assert fetched(own, quoted)["status"] == 503
    assert own.evaluate(TIMINGS, quoted) == [["mock", '/a"b\\c']]


def test_a_mock_of_an_endpoint_that_the_app_lacks_is_read_after_its_preflight(
    page: Page, places: Places
) -> None:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
    answer = fetched(page, f"{places.api}/jobs", method="POST", body="{}", headers=headers)
    assert answer["status"] == 202


@pytest.mark.parametrize("origin", ["unlisted", "only_the_apps"])
def test_a_page_that_is_not_listed_reads_no_mock(
    origin: str, context: BrowserContext, places: Places
) -> None:
    page = opened(context, getattr(places, origin))
    assert refused(fetched(page, f"{places.api}/mocked"))
    assert refused(fetched(page, f"{places.api}/mocked", method="DELETE"))
    assert refused(fetched(page, f"{places.api}/own", headers={"X-Mock-Status": "503"}))


def test_what_passes_is_read_as_the_apps_own_cors_layer_says(
    page: Page, context: BrowserContext, places: Places
) -> None:
    answer = fetched(page, f"{places.api}/own", headers={"X-Own": "1"})
    assert (answer["status"], "x-mock-rule" in answer["headers"]) == (200, False)
    assert '"session":"7"' in answer["body"]
    assert refused(fetched(page, f"{places.api}/own", method="DELETE"))
    assert refused(fetched(page, f"{places.api}/own", headers={"X-Other": "1"}))
    other = opened(context, places.only_the_apps)
    assert fetched(other, f"{places.api}/own", headers={"X-Own": "1"})["status"] == 200
    assert refused(fetched(opened(context, places.unlisted), f"{places.api}/own"))


def test_a_trigger_works_on_a_path_of_the_app_whose_own_layer_refuses_its_header(
    page: Page, places: Places
) -> None:
    headers = {"X-Mock-Status": "418", "X-Own": "1"}
    answer = fetched(page, f"{places.api}/own", method="PUT", headers=headers)
    assert (answer["status"], answer["headers"]["x-mock-rule"]) == (418, "trigger")
    wrong = fetched(page, f"{places.api}/own", headers={"X-Mock-Status": "x"})
    assert (wrong["status"], "X-Mock-Status" in wrong["body"]) == (400, True)


def test_a_trigger_that_passes_is_answered_by_the_app_and_its_own_layer(page: Page, places: Places) -> None:
    answer = fetched(page, f"{places.api}/own", method="PUT", headers={"X-Mock-Status": "passthrough"})
    assert (answer["status"], '"own":true' in answer["body"]) == (200, True)
    # No leave outlives the request: the next preflight is the app's again, and refuses.
    assert (
        fetched(page, f"{places.api}/own", method="DELETE", headers={"X-Mock-Status": "410"})["status"] == 410
    )
    assert refused(fetched(page, f"{places.api}/own", method="DELETE"))


def test_a_path_that_is_mocked_sometimes_is_read_either_way(page: Page, places: Places) -> None:
    url = f"{places.api}/sometimes"
    assert fetched(page, url, method="PUT", headers={"X-Own": "mock"})["status"] == 409
    answer = fetched(page, url, method="PUT", headers={"X-Own": "real"})
    assert (answer["status"], '"own":true' in answer["body"]) == (200, True)


def test_a_cookie_mocks_all_that_its_browser_asks_for(
    page: Page, context: BrowserContext, places: Places
) -> None:
    context.add_cookies([{"name": "mock", "value": "503", "url": places.api}])
    assert fetched(page, f"{places.api}/own")["status"] == 503
    assert fetched(page, f"{places.api}/own", headers={"X-Mock-Status": "404"})["status"] == 404
    assert fetched(page, f"{places.api}/own", credentials="omit")["status"] == 200
    context.clear_cookies(name="mock")
    assert fetched(page, f"{places.api}/own")["status"] == 200


def test_a_query_mocks_for_a_listed_page_and_for_who_types_it(
    page: Page, context: BrowserContext, places: Places
) -> None:
    assert fetched(page, f"{places.api}/own?mock=503")["status"] == 503
    assert fetched(page, f"{places.api}/own?mock=503", method="DELETE")["status"] == 503
    response = context.new_page().goto(f"{places.api}/own?mock=503")
    assert response is not None
    assert response.status == 503


@pytest.mark.parametrize("how", ["a link", "a form", "a script"])
def test_a_page_of_another_site_mocks_nobodys_request(
    how: str, context: BrowserContext, places: Places
) -> None:
    page = opened(context, places.unlisted)
    url = f"{places.api}/own?mock=503"
    made = {
        "a link": "url => { const a = document.createElement('a'); a.href = url; document.body.append(a);"
        " a.click() }",
        "a form": "url => { const form = document.createElement('form'); form.action = url;"
        " form.method = 'post'; document.body.append(form); form.submit() }",
        "a script": "url => { fetch(url, {mode: 'no-cors', credentials: 'include'}) }",
    }
    with page.expect_response(url) as found:
        page.evaluate(made[how], url)
    # The app has no POST there.
    assert found.value.status == (405 if how == "a form" else 200)
    assert "x-mock-rule" not in found.value.headers
