"""The pages in a real browser: by keyboard and pointer, in light and dark, with no script, judged by axe."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from tests.browser import browser as started
from tests.browser import judged_by_axe
from tests.servers import Running
from tests.test_standalone import SERVERS

from mockware.messages import Response
from mockware.reference import Reference, raw_text, reference_for
from mockware.reference_page import (
    Panel,
    asset,
    code_block,
    content_security_policy,
    error_page,
    overview_page,
    status_page,
    tabs,
)
from mockware.snippets import FRAMEWORKS, status_snippet
from mockware.statuses import CATALOGUE, Status

TITLES = [framework.title for framework in FRAMEWORKS.values()]
PLACES = ("/", "/status-reference/202", "/status-reference/204", "/status-reference/nto-found")
WIDTHS = {"desktop": (1280, 900), "phone": (360, 740)}
HOSTILE = """</script></style></title></code></pre><img src=x onerror="document.title='owned'">'"&<!--"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    running = Running(SERVERS[0], "standalone")
    try:
        assert running.listens(), running.log.text
        yield f"http://127.0.0.1:{running.port}"
    finally:
        running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture
def context(chromium: Browser, url: str) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    yield from watched(context)


def watched(context: BrowserContext) -> Iterator[Page]:
    """A page that complains of nothing: no error, and nothing that its policy forbids."""
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    # The browser itself says that of a page with such a status.
    assert [text for text in said if "status of 404" not in text] == []
    assert [one for one in asked if not re.match("http://127.0.0.1:[0-9]+/|data:|about:", one)] == []
    assert not [one for one in asked if re.search(r"favicon|\.css|\.js", one)]


def selected(page: Page) -> list[str]:
    return page.locator("[role=tab][aria-selected=true]").all_inner_texts()


def shown(page: Page) -> list[str | None]:
    return [panel.get_attribute("id") for panel in page.locator(".tabs > section:visible").all()]


# ---- the tabs


def test_the_tabs_are_walked_by_the_keyboard(page: Page, url: str) -> None:
    page.goto(f"{url}/status-reference/202")
    assert page.get_by_role("tab").all_inner_texts() == TITLES
    assert page.get_by_role("tablist", name="Frameworks").count() == 1
    slugs = [framework.slug for framework in FRAMEWORKS.values()]
    page.get_by_role("tab", name=TITLES[0], exact=True).focus()
    last = len(slugs) - 1
    for key, at in [
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", last),
        ("ArrowRight", 0),  # round
        ("ArrowLeft", last),
        ("Home", 0),
        ("ArrowDown", 0),  # scrolls
    ]:
        page.keyboard.press(key)
        assert selected(page) == [TITLES[at]]
        assert shown(page) == [slugs[at]]
        focused = page.locator(":focus")
        assert focused.inner_text() == TITLES[at]
        assert focused.get_attribute("aria-controls") == slugs[at]
        # Roving: one of them is in the order of Tab.
        assert page.locator("[role=tab][tabindex='0']").all_inner_texts() == [TITLES[at]]
    # Tab leaves the list for what is in the panel: its button, or its code.
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.closest('section').id") == slugs[0]
    page.keyboard.press("Shift+Tab")
    assert page.locator(":focus").inner_text() == TITLES[0]
    page.keyboard.press("Alt+ArrowRight")  # the browser's own
    assert selected(page) == [TITLES[0]]


def test_a_tab_is_chosen_by_a_click_and_found_again(page: Page, url: str) -> None:
    slugs = list(FRAMEWORKS)
    page.goto(f"{url}/status-reference/202")
    page.get_by_role("tab", name=TITLES[-1], exact=True).click()
    assert (selected(page), shown(page)) == ([TITLES[-1]], [slugs[-1]])
    assert page.url.endswith(f"#{slugs[-1]}")
    page.goto(f"{url}/status-reference/404")
    assert selected(page) == [TITLES[-1]]  # as on the last page
    page.goto(f"{url}/status-reference/404#{slugs[1]}")
    assert selected(page) == [TITLES[1]]
    page.evaluate("slug => { location.hash = slug }", slugs[0])
    page.locator(f"#tab-{slugs[0]}[aria-selected=true]").wait_for()
    page.goto(f"{url}/status-reference/405#%E0%A4%A")
    assert selected(page) == [TITLES[-1]]


def test_without_a_script_all_sections_are_there(chromium: Browser, url: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    for page in watched(context):
        page.goto(f"{url}/status-reference/202")
        assert page.locator(".tabs h3:visible").all_inner_texts() == TITLES
        assert shown(page) == [framework.slug for framework in FRAMEWORKS.values()]
        assert page.locator("button").count() == 0
    context.close()


def test_where_storage_is_forbidden_the_tabs_work(page: Page, url: str) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no') } })"
    )
    page.goto(f"{url}/status-reference/202")
    page.get_by_role("tab", name="Flask").click()
    assert (selected(page), shown(page)) == (["Flask"], ["flask"])


# ---- copying


def test_each_button_copies_its_text(page: Page, url: str) -> None:
    page.goto(f"{url}/status-reference/202")
    response = raw_text(reference_for(202).response)
    copied = {
        "Copy the curl line": f"curl -i {url}/status/202",
        "Copy the response": response,
        "Copy the curl line with a trigger": reference_for(202).curl,
    }
    for name, text in copied.items():
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("button", name=name.replace("Copy", "Copied"), exact=True).wait_for()
        assert page.evaluate("() => navigator.clipboard.readText()") == text
        assert page.get_by_role("status").inner_text() == "Copied."
    for framework in FRAMEWORKS.values():
        page.get_by_role("tab", name=framework.title, exact=True).click()
        page.get_by_role("button", name=f"Copy the code for {framework.title}", exact=True).press("Enter")
        page.get_by_role("button", name=f"Copied the code for {framework.title}", exact=True).wait_for()
        assert page.evaluate("() => navigator.clipboard.readText()") == status_snippet(202, framework.slug)


def test_a_button_becomes_itself_again(page: Page, url: str) -> None:
    page.clock.install()
    page.goto(f"{url}/status-reference/202")
    button = page.locator(".copy").first
    button.click()
    page.get_by_role("button", name="Copied the curl line", exact=True).wait_for()
    page.clock.run_for(2000)
    page.get_by_role("button", name="Copy the curl line", exact=True).wait_for()
    assert page.get_by_role("status").inner_text() == ""


def test_over_plain_http_it_copies_the_old_way(page: Page, url: str) -> None:
    page.goto(f"{url}/status-reference/202")
    page.evaluate("() => navigator.clipboard.writeText('before')")
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.reload()
    page.get_by_role("button", name="Copy the curl line", exact=True).click()
    page.get_by_role("button", name="Copied the curl line", exact=True).wait_for()
    page.context.new_page().close()
    with page.expect_popup() as popup:
        page.evaluate("url => { window.open(url) }", f"{url}/status-reference/404")
    assert popup.value.evaluate("() => navigator.clipboard.readText()") == f"curl -i {url}/status/202"


def test_where_nothing_can_be_copied_the_text_is_selected(page: Page, url: str) -> None:
    page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
        "document.execCommand = () => false;"
    )
    page.goto(f"{url}/status-reference/202")
    page.get_by_role("button", name="Copy the curl line", exact=True).click()
    page.get_by_role("button", name="Selected the curl line", exact=True).wait_for()
    assert page.evaluate("() => getSelection().toString()") == f"curl -i {url}/status/202"


# ---- for everybody


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing(page: Page, url: str, place: str, scheme: str, width: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": WIDTHS[width][0], "height": WIDTHS[width][1]})
    page.goto(url + place)
    wrong, passed = judged_by_axe(page)
    assert (wrong, passed > 20) == ([], True)
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall("[0-9]+", background))) < 150) == (scheme == "dark")


def test_axe_finds_nothing_in_any_panel(page: Page, url: str) -> None:
    page.goto(f"{url}/status-reference/202")
    for title in TITLES:
        page.get_by_role("tab", name=title, exact=True).click()
        assert judged_by_axe(page)[0] == []


@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_without_a_script(chromium: Browser, url: str, place: str) -> None:
    # The page's own script is kept from running, axe's is not.
    context = chromium.new_context()
    page = context.new_page()
    page.route("**/*", lambda route: without_script(route.fetch().text(), route))
    page.goto(url + place)
    assert page.locator("button").count() == 0
    assert judged_by_axe(page)[0] == []
    context.close()


def without_script(text: str, route: object) -> None:
    route.fulfill(body=re.sub("(?s)<script>.*?</script>", "", text), content_type="text/html")  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_but_code_scrolls_sideways(page: Page, url: str, place: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(url + place)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_reader_gets_from_status_to_status(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="202 Accepted").click()
    assert page.get_by_role("heading", level=1).inner_text() == "202 Accepted"
    assert page.title() == "202 Accepted - mockware"
    page.get_by_role("link", name="201 Created").click()
    page.get_by_role("link", name="200 OK").click()
    assert page.locator("a[rel=prev]").count() == 0
    page.get_by_role("link", name="All statuses").click()
    assert page.url == f"{url}/"


# ---- what keeps it safe


def test_the_policy_allows_no_other_script_no_style_and_no_frame(context: BrowserContext, url: str) -> None:
    page = context.new_page()
    response = page.goto(f"{url}/status-reference/202")
    assert response is not None
    policy = response.header_value("content-security-policy") or ""
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert policy == content_security_policy()
    # What somebody injects does not run, so that the silence of the other tests says something.
    violated = page.evaluate(
        """() => new Promise(resolve => {
            addEventListener("securitypolicyviolation", event => resolve(event.violatedDirective));
            const injected = document.createElement("script");
            injected.text = "document.title = 'owned'";
            document.body.append(injected);
        })"""
    )
    assert violated == "script-src-elem"
    assert page.title() == "202 Accepted - mockware"


class Elements(HTMLParser):
    """The names of a page's elements, and everything that stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def hostile_pages() -> dict[str, str]:
    status = Status(202, HOSTILE, HOSTILE, f"RFC 9110 §{HOSTILE}", (), True, b"", None)
    response = Response(202, HOSTILE, [("X", HOSTILE)], HOSTILE.encode(), rule="")
    panel = Panel("django", HOSTILE, HOSTILE, HOSTILE)
    return {
        "a status": status_page(Reference(status, response, HOSTILE), [panel], curl=HOSTILE, prefix=HOSTILE),
        "all": overview_page(base=HOSTILE, prefix=HOSTILE),
        "an error": error_page(HOSTILE, HOSTILE, prefix=HOSTILE),
        "tabs": tabs([Panel(HOSTILE, HOSTILE, HOSTILE, HOSTILE)], HOSTILE),
        "a block": code_block(HOSTILE, HOSTILE, HOSTILE),
    }


@pytest.mark.parametrize("name", hostile_pages())
def test_whatever_is_put_into_a_page_is_text(name: str, chromium: Browser) -> None:
    text = hostile_pages()[name]
    assert "img" not in Elements(text).names
    assert HOSTILE in "".join(Elements(text).texts)
    page = chromium.new_page()
    page.set_content(text)
    assert page.locator("img").count() == 0
    assert page.title() != "owned"
    page.close()


@pytest.mark.parametrize("code", [*CATALOGUE, 299])
def test_a_page_is_whole_and_well_formed(code: int) -> None:
    reference = reference_for(code)
    text = status_page(reference, [Panel("go", "Go", "go", "package main")], curl="curl x", prefix="")
    elements = Elements(text)
    assert elements.names.count("script") == 1
    assert elements.names.count("style") == 1
    assert "src=" not in text.partition("<script>")[0]
    assert raw_text(reference.response) in elements.texts
    identities = re.findall(' id="([^"]*)"', text)
    assert len(identities) == len(set(identities))


def test_style_and_script_do_not_end_before_they_end() -> None:
    assert "</" not in asset("reference_page.css")
    assert "</script" not in asset("reference_page.js").lower()
    assert "<!--" not in asset("reference_page.js")
