"""The control page: one text that shows nothing until somebody has entered the key.

Law: this page knows nothing. It is the same for everybody and holds no rule and no secret; whatever it shows
it asks of the control API, with the key as bearer. So it may be served to whoever asks, and there is nothing
in it to steal. Its policy (`page_fields`) lets it run its own scripts and ask its own origin, and no more.
"""

from __future__ import annotations

from functools import cache

from .reference_page import asset, content_security_policy, document

# The scripts in the order in which they need each other; the last one begins.
_MORE = (
    "control_page.css",
    "control_page.js",
    "control_journal.js",
    "control_rules.js",
    "control_changes.js",
    "control_questions.js",
    "control_cookie.js",
    "control_statuses.js",
)

# It speaks to the API beside it. Trusted Types without a policy: a browser that knows them refuses to make
# markup of any string, so that what the page shows can only be text
# (https://www.w3.org/TR/trusted-types/#require-trusted-types-for-csp-directive).
_DIRECTIVES = "connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'; "


@cache
def control_page() -> str:
    """The page, as HTML. It asks the API at `api/`, relative to its own address, which ends in a slash."""
    navigation, _, main = asset("control_page.html").partition("<!-- main -->\n")
    return document("Control", [main], navigation=navigation, more=_MORE)


@cache
def page_fields() -> tuple[tuple[str, str], ...]:
    """The header fields that go with the page."""
    return (
        ("Content-Type", "text/html; charset=utf-8"),
        # After an update, a page of the older version would speak to an API of the newer one.
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", content_security_policy(*_MORE, extra=_DIRECTIVES)),
        # For browsers that do not know frame-ancestors (RFC 7034).
        ("X-Frame-Options", "DENY"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    )
