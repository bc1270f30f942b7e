"""The reference as values that JSON can carry, for programs and for pages that are made in the browser.

Law: what is said here the reference says; it is only laid out. Where a document stands, its caller knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .reference import Reference, raw_text
from .statuses import CATALOGUE, Status


def statuses_document(root: str) -> dict[str, Any]:
    """All statuses that have a name. `root` is the URL below which each has its reference."""
    return {"statuses": [_named(status, root) for status in CATALOGUE.values()]}


def status_document(
    reference: Reference,
    snippets: Sequence[Mapping[str, Any]],
    root: str,
    *,
    curl: str,
    unavailable: str = "",
) -> dict[str, Any]:
    """All that there is to say of one status: `snippets` give it, `curl` gets it where this is read.

    `unavailable` says why it cannot be had there, and is nothing where it can.
    """
    response = reference.response
    return {
        **_named(reference.status, root),
        "response": {
            "status": response.status,
            "headers": response.headers,
            "body": response.body.decode(),
            "raw": raw_text(response),
        },
        "curl": curl,
        "unavailable": unavailable,
        "trigger": reference.curl,
        "snippets": snippets,
    }


def _named(status: Status, root: str) -> dict[str, Any]:
    return {
        "code": status.code,
        "phrase": status.phrase,
        "meaning": status.meaning,
        "section": status.section,
        "link": status.link,
        "reference": f"{root}/{status.code}",
    }
