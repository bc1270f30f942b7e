"""The reference as pages: HTML texts made of values, each whole in itself.

Law: pure functions from values to text. Whatever is put into a page is escaped where it is put; nothing here
knows a request. A page loads nothing: its style and its script stand in it, and the policy that goes with it
allows these two by their hashes and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import NamedTuple

from .reference import Reference, raw_text
from .statuses import CATALOGUE, Status

# RFC 9110 section 15 names the classes.
_CLASSES = {2: "Successful", 3: "Redirection", 4: "Client error", 5: "Server error"}

# A page's own icon, so that no browser asks for /favicon.ico, which a rule may mock.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%23116329'/%3E"
    "%3Cpath d='M4 12V5l4 4 4-4v7' fill='none' stroke='%23fff' stroke-width='2'/%3E%3C/svg%3E"
)

# What every page has in it.
_ASSETS = ("reference_page.css", "reference_page.js")


class Panel(NamedTuple):
    """One of several texts of which one is looked at: `slug` is its name in the URL, `title` for people."""

    slug: str
    title: str
    language: str
    code: str


def overview_page(*, base: str, prefix: str) -> str:
    """All statuses by their class. `base` is the URL of the server, `prefix` its path in links."""
    tried = (f"curl -i {base}/status/202", f"curl -i '{base}/status/200:0.9,503:0.1'")
    parts = [
        "<h1>Every status, as a mock</h1>",
        '<p class="meaning">Ask for any, by any method. Of several, one is drawn.</p>',
        code_block("\n".join(tried), "curl lines", "sh"),
    ]
    for number, statuses in groupby(CATALOGUE.values(), lambda status: status.code // 100):
        items = "".join(
            f'<li><a href="{escape(prefix)}/status-reference/{status.code}">'
            f'<span class="code of-{number}">{status.code}</span> {escape(status.phrase)}</a>'
            f"<p>{escape(status.meaning)}</p></li>"
            for status in statuses
        )
        parts.append(
            f'<section aria-labelledby="class-{number}">'
            f'<h2 id="class-{number}">{number}xx {_CLASSES[number]}</h2>'
            f'<ul class="statuses">{items}</ul></section>'
        )
    return document("Every status, as a mock", parts)


def status_page(reference: Reference, panels: Sequence[Panel], *, curl: str, prefix: str) -> str:
    """One status: what it means, its response, how to get it here (`curl`), and the code that gives it."""
    status = reference.status
    name = f"{status.code} {status.phrase}"
    parts = [
        f'<h1><span class="code of-{status.code // 100}">{status.code}</span> {escape(status.phrase)}</h1>',
        f'<p class="meaning">{escape(status.meaning)}</p>',
        f'<p>Defined in <a href="{escape(status.link)}">{escape(status.section)}</a>.</p>',
        _section("try", "Try it", code_block(curl, "curl line", "sh")),
        _section("response", "Response", code_block(raw_text(reference.response), "response", "http")),
        _section(
            "anywhere",
            "From any app that mockware wraps",
            code_block(reference.curl, "curl line with a trigger", "sh"),
        ),
    ]
    if panels:
        parts.append(_section("code", "Code that gives it", tabs(panels, "Frameworks")))
    return document(name, parts, navigation=_navigation(status, prefix))


def error_page(title: str, detail: str, *, prefix: str) -> str:
    """What is said instead of a page."""
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="meaning">{escape(detail)}</p>']
    return document(title, parts, navigation=_navigation(None, prefix))


# ---- pieces


def document(title: str, parts: Iterable[str], *, navigation: str = "", more: Sequence[str] = ()) -> str:
    """A whole page around `parts`, which are HTML already.

    `more` are assets, styles and scripts, that come after those of every page.
    """
    assets = (*_ASSETS, *more)
    styles = "".join(f"<style>{asset(name)}</style>\n" for name in assets if name.endswith(".css"))
    scripts = "".join(f"<script>{asset(name)}</script>\n" for name in assets if name.endswith(".js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} - mockware</title>\n"
        f'<link rel="icon" href="{_ICON}">\n'
        f"{styles}</head>\n<body>\n"
        f"<header>{navigation}</header>\n<main>\n" + "\n".join(parts) + "\n</main>\n"
        f"{scripts}</body>\n</html>\n"
    )


def code_block(code: str, label: str, language: str) -> str:
    """A text to copy. `label` names it for who cannot see it."""
    # A block that scrolls has to be reached by the keyboard, and what is reached has to have a name.
    return (
        f'<div class="block"><pre tabindex="0" role="group" aria-label="{escape(label)}">'
        f'<code class="language-{escape(language)}">{escape(code)}</code></pre></div>'
    )


def tabs(panels: Iterable[Panel], label: str) -> str:
    """Sections one below the other, of which the script makes tabs."""
    sections = "".join(
        f'<section id="{escape(panel.slug)}"><h3>{escape(panel.title)}</h3>'
        f"{code_block(panel.code, f'code for {panel.title}', panel.language)}</section>"
        for panel in panels
    )
    return f'<div class="tabs" data-label="{escape(label)}">{sections}</div>'


@cache
def content_security_policy(*more: str, extra: str = "") -> str:
    """The policy for every page made here, with the assets `more` (https://www.w3.org/TR/CSP3/).

    `extra` are directives that such a page needs besides.
    """
    assets = (*_ASSETS, *more)
    scripts = " ".join(_hash(name) for name in assets if name.endswith(".js"))
    styles = " ".join(_hash(name) for name in assets if name.endswith(".css"))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src data:; {extra}"
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _section(slug: str, title: str, content: str) -> str:
    return f'<section aria-labelledby="{slug}"><h2 id="{slug}">{escape(title)}</h2>{content}</section>'


def _navigation(status: Status | None, prefix: str) -> str:
    links = [f'<a href="{escape(prefix)}/">All statuses</a>']
    codes = list(CATALOGUE)
    if status is not None and status.code in CATALOGUE:
        at = codes.index(status.code)
        for relation, other in (("prev", codes[at - 1 : at]), ("next", codes[at + 1 : at + 2])):
            links += (
                f'<a rel="{relation}" href="{escape(prefix)}/status-reference/{code}">'
                f"{code}<span> {escape(CATALOGUE[code].phrase)}</span></a>"
                for code in other
            )
    return f'<nav aria-label="Statuses">{"".join(links)}</nav>'


@cache
def asset(name: str) -> str:
    """A text that lies beside this file."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(name: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(asset(name).encode()).digest()).decode()}'"
