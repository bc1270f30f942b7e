"""A response of the real app, changed on its way out: its status, its fields, and JSON in its body.

Law: what is not to be changed is not touched. Only a body that is to be changed is held back, which its
start alone decides, and never more than `MAX_HELD_BYTES` of it; one that then turns out to be something else
goes on byte for byte, and a field of the response says why. `Patch` takes values and returns values, and both
interfaces say with it what becomes of a start and of a body (`asgi_patching.py`, `wsgi_patching.py`).

Honest doubt: an app that sends JSON slowly, in pieces that mean something each, looks like any other until
its end. Media types that say so (`application/json-seq`, NDJSON, event streams) are never held.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from .encodings import Change, NotReadable, coding_of, decoded, longer_than, merged
from .messages import MISSING, TOKEN
from .replies import check_header, in_a_field
from .statuses import status_for

Fields = Sequence[tuple[str, str]]

# What is held of a body, encoded and decoded: as much as is buffered of a request's (`bodies.py`).
MAX_HELD_BYTES = 1024 * 1024

# RFC 8259 section 11 and RFC 6839 section 3.1. Spring's old name for many documents in a row ends alike.
_JSON = re.compile(
    rf"(?!application/stream\+json)(?:application/json|{TOKEN}/{TOKEN}\+json)[ \t]*(?:;|$)", re.I
)
_LENGTH = re.compile(r"[0-9]{1,19}")  # what fits into 64 bits, as in nginx

# RFC 9110 section 6.4.1: 204 and 304 have no content; section 15.3.6: 205 generates none.
_WITHOUT_BODY = frozenset((204, 205, 304))
# wsgiref.validate refuses the type of what is not there, but on a 205 asks for it.
_WITHOUT_TYPE = frozenset((204, 304))

# A patched response is a mock in part. RFC 9213 section 2.2: these win over Cache-Control, so that without
# them gone a cache would serve it to someone else; X-Accel-Expires is nginx's own.
_FOR_CACHES = frozenset(("cache-control", "surrogate-control", "x-accel-expires", "cdn-cache-control")) | {
    f"{vendor}-cdn-cache-control" for vendor in ("cloudflare", "netlify", "vercel")
}

# What was said of a body that is another one now, its framing and its digests (RFC 9530, and what that
# obsoletes). The body is in one piece, and beside its length there must be no Transfer-Encoding (RFC 9112
# section 6.2).
_OF_A_BODY = frozenset(
    ("content-length", "transfer-encoding", "content-digest", "repr-digest", "digest", "content-md5")
)
# Both validators, too (RFC 9110 section 8.8): the client must not join a part of the app's representation to
# the changed one (If-Range), and Accept-Ranges would invite it to.
_OF_A_CHANGED_BODY = _OF_A_BODY | {"etag", "last-modified", "accept-ranges"}
# Validators are what a 304 is for, and clients try to decode even nothing.
_OF_A_DROPPED_BODY = _OF_A_BODY | {"content-encoding"}


class Start(NamedTuple):
    """A response's start with a patch made to it: `status`, and the fields of these names out, and those in.

    `holds`: the body is to be changed, which is in `coding` and, if the app said so, of `length` bytes.
    `drops`: the body is to be left out, whatever the app sends, since the status that it has or had has none.
    """

    status: int
    out: frozenset[str]
    added: Fields
    holds: bool = False
    drops: bool = False
    coding: str = ""
    length: int | None = None

    def with_length(self, length: int) -> Start:
        """With a body changed, which is of `length` bytes now."""
        return self._replace(
            out=self.out | _OF_A_CHANGED_BODY, added=[*self.added, ("Content-Length", str(length))]
        )

    def unchanged(self, reason: str) -> Start:
        """With a body that stays as it is, though it was to be changed."""
        return self._replace(added=[*self.added, ("X-Mock-Patch", f"body unchanged ({reason})")])


class Patch:
    """What is changed of the app's response. Nothing of it is computed again for a request.

    `status` takes the place of the app's. The fields in `headers` take the place of all of their names, and a
    repeated name repeats its field; None removes it. `json` is a merge patch (RFC 7396) for a JSON body,
    `MISSING` for none. `rule` is the name in `X-Mock-Rule`. `beside` are fields that come to the app's of the
    same names. Raises ValueError for what no response can have.
    """

    __slots__ = ("_change", "_headers", "_out", "_status")

    def __init__(
        self,
        *,
        rule: str,
        status: int | None = None,
        headers: Sequence[tuple[str, str | None]] = (),
        json: Any = MISSING,
        beside: Fields = (),
    ) -> None:
        if status is not None:
            status_for(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            check_header(name, value or "")
        if removed := {name.lower() for name, value in headers if value is None} & {
            name.lower() for name, value in headers if value is not None
        }:
            raise ValueError(f"`{min(removed)}` cannot be both set and removed")
        self._status = status
        self._change = None if json is MISSING else Change.of(json)
        self._headers = [(name, value) for name, value in headers if value is not None]
        self._headers += [("X-Mock-Rule", in_a_field(rule)), *beside]
        self._out = frozenset((*names, "x-mock-rule"))
        if self._change is not None:
            self._out |= {"x-mock-patch"}
        if "cache-control" not in names:
            # So that no cache serves it to someone else (RFC 9111 section 5.2.2.5).
            self._headers.append(("Cache-Control", "no-store"))
            self._out |= _FOR_CACHES

    @property
    def changes_json(self) -> bool:
        """Whether bodies may have to be held back."""
        return self._change is not None

    def start(self, method: str, status: int, fields: Fields) -> Start:
        """What becomes of the start of the app's response; the names of its `fields` are in lower case."""
        start = Start(status if self._status is None else self._status, self._out, self._headers)
        if start.status != status and not _WITHOUT_BODY.isdisjoint((status, start.status)):
            start = self._without_body(start, fields)
        if self._change is None:
            return start
        try:
            coding, length = _changeable(status, fields)
        except NotReadable as reason:
            return start.unchanged(str(reason))
        if start.drops:
            return start.unchanged(f"status {start.status}")
        if method == "HEAD":
            # RFC 9110 section 8.6: a length in answer to HEAD is that of the GET's content, which is changed.
            return start._replace(out=start.out | _OF_A_CHANGED_BODY).unchanged("HEAD")
        return start._replace(holds=True, coding=coding, length=length)

    def _without_body(self, start: Start, fields: Fields) -> Start:
        """One of the two statuses, the app's and the patch's, is without a body, so nothing is sent."""
        out = start.out | _OF_A_DROPPED_BODY
        added = [*start.added]
        if start.status in _WITHOUT_TYPE:
            if "content-type" not in self._out:
                out |= {"content-type"}
        else:
            added.append(("Content-Length", "0"))
            if not any(name.lower() == "content-type" for name, _ in (*fields, *self._headers)):
                # RFC 9110 section 8.3: what a recipient may assume anyway; wsgiref.validate asks for one.
                added.append(("Content-Type", "application/octet-stream"))
        return start._replace(out=out, added=added, drops=True)

    def ending(self, start: Start, body: bytes) -> tuple[Start, bytes]:
        """What becomes of a start that was held, and of its whole body."""
        if self._change is None:
            return start, body
        try:
            if start.length not in (None, len(body)):
                raise NotReadable("not of its Content-Length")
            content, encode = decoded(body, start.coding, MAX_HELD_BYTES)
            changed = encode(merged(content, self._change))
        except NotReadable as reason:
            return start.unchanged(str(reason)), body
        return start.with_length(len(changed)), changed


def _changeable(status: int, fields: Fields) -> tuple[str, int | None]:
    """The coding and the length of a body that may be JSON; NotReadable for any other."""
    # 1xx: no response yet. 206: a part, of which nothing can be said without the rest.
    if status < 200 or status == 206 or status in _WITHOUT_BODY:
        raise NotReadable(f"status {status}")
    types = [value.strip(" \t") for name, value in fields if name == "content-type"]
    if len(types) != 1 or not _JSON.match(types[0]):
        raise NotReadable("not JSON")
    coding = coding_of(value for name, value in fields if name == "content-encoding")
    lengths = {value.strip(" \t") for name, value in fields if name == "content-length"}
    if not lengths:
        return coding, None
    if len(lengths) > 1 or not _LENGTH.fullmatch(min(lengths)):
        raise NotReadable("not of its Content-Length")
    length = int(min(lengths))
    if length > MAX_HELD_BYTES:
        raise NotReadable(longer_than(MAX_HELD_BYTES))
    return coding, length
