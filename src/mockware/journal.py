"""What was mocked: the last requests, and those that nearly were. In memory, and bounded.

Law: no request that no rule is about comes here. Nothing secret is kept: what may be a secret is struck out
before it is stored, so that nobody who reads the journal, or the memory, finds it. A body is kept only where
that was asked for.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from .conditions import Difference
from .decisions import Decision, Passthrough
from .exceptions import quoted
from .messages import Request, Response

# What somebody scrolls through; at a few mocks a second it is the last minutes.
MAX_ENTRIES = 500
MAX_MISSES = 200
# All entries together: a hundredth of what a worker of the smallest container (256 MB) has.
MAX_BYTES = 2 * 1024 * 1024
# Rules whose hits are counted: twice as many as the largest files have. The first that was hit goes first,
# mostly one that was there at run time and is gone.
MAX_COUNTED = 20_000
MAX_HEADERS = 30
MAX_VALUE_CHARS = 200
MAX_PATH_CHARS = 512
MAX_BODY_BYTES = 4096
# Of the rules that have the path, as many as anybody compares with a request by eye.
MAX_COMPARED = 5

REDACTED = "(redacted)"
# What says who somebody is, by whatever name a framework or a gateway calls it.
_SECRET = re.compile(
    r"auth|cookie|token|secret|key|session|passw|credential|signature|baggage|jwt|csrf|xsrf"
    r"|(?<![a-z])(?:pwd|pin|otp)(?![a-z])"
    # RFC 6749 section 4.1.2: whoever has the "code" of a redirect's query gets a token for it.
    r"|^when\.query\.code$"
)
# Of a URL in a field such as Referer, or the path that a proxy has rewritten: keys and tokens go there, too;
# and of its authority what stands before the host (RFC 3986 section 3.2.1).
_URL_QUERY = re.compile(r"^([^\s?/]*/[^\s?]*\?).*", re.DOTALL)
_USER_INFO = re.compile(r"(//)[^\s/?#]*@")


class Entry(NamedTuple):
    """A request that was mocked. `status` is None where the app answered, and its response was changed."""

    id: int
    at: float
    rule: str
    method: str
    path: str
    status: int | None
    delay_s: float
    headers: dict[str, str]
    body: str | None


class Miss(NamedTuple):
    """A request that matched a rule's path, and the field in which it differed."""

    id: int
    at: float
    rule: str
    method: str
    path: str
    field: str
    expected: str
    found: str


class Compared(Protocol):
    """A rule, or a place of a task's."""

    name: str

    def difference(self, request: Request) -> Difference | None: ...

    def body_difference(self, request: Request) -> Difference | None: ...


class Journal:
    """The last mocked requests of this process. `clock` gives seconds since 1970."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._redacted: frozenset[str] = frozenset()
        self._key_forms: frozenset[str] = frozenset()
        self._bodies = False
        self._lock = threading.Lock()
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0
        self._misses: deque[Miss] = deque(maxlen=MAX_MISSES)
        self._hits: dict[str, tuple[int, float]] = {}
        self.last_id = 0

    def obey(self, *, redacted: Iterable[str], bodies: bool, key: str = "") -> None:
        """`redacted` names more fields that are secrets, in lower case; `key` is one wherever it stands."""
        self._redacted = frozenset(redacted)
        self._key_forms = _forms(key) if key else frozenset()
        self._bodies = bodies

    def note(self, request: Request, decision: Decision, candidates: Sequence[Compared]) -> None:
        """Takes down what became of a request, if that is of interest."""
        if isinstance(decision, Response):
            self._note_mock(request, decision.rule, decision.status, decision.delay_s)
        elif isinstance(decision, Passthrough):
            if decision.patch is not None:
                self._note_mock(request, decision.rule, None, decision.delay_s)
            elif candidates:
                self._note_misses(request, candidates, decision.rule)

    def hits(self, rule: str) -> tuple[int, float | None]:
        """How often a rule has answered, and when last."""
        return self._hits.get(rule, (0, None))

    def entries(self, *, rule: str | None = None, after: int = 0, limit: int = MAX_ENTRIES) -> list[Entry]:
        """The newest first."""
        with self._lock:
            found = [entry for entry, _ in self._entries]
        chosen = [entry for entry in reversed(found) if entry.id > after and rule in (None, entry.rule)]
        return chosen[:limit]

    def misses(self, *, rule: str | None = None, after: int = 0, limit: int = MAX_MISSES) -> list[Miss]:
        """The newest first."""
        with self._lock:
            found = list(self._misses)
        return [miss for miss in reversed(found) if miss.id > after and rule in (None, miss.rule)][:limit]

    def forked(self) -> None:
        """In a child: the lock may have been held when the process was copied."""
        self._lock = threading.Lock()

    def _note_mock(self, request: Request, rule: str, status: int | None, delay_s: float) -> None:
        if not rule:
            return
        headers = self._headers(request)
        body = self._body(request)
        path = self._without_key(request.path)[:MAX_PATH_CHARS]
        method = self._without_key(request.method)[:32]
        size = (
            len(path) + len(rule) + len(body or "") + sum(map(len, headers)) + sum(map(len, headers.values()))
        )
        now = self._clock()
        with self._lock:
            self.last_id += 1
            entry = Entry(self.last_id, now, rule, method, path, status, delay_s, headers, body)
            self._entries.append((entry, size))
            self._bytes += size
            while len(self._entries) > MAX_ENTRIES or self._bytes > MAX_BYTES:
                _, gone = self._entries.popleft()
                self._bytes -= gone
            count, _ = self._hits.get(rule, (0, now))
            if not count and len(self._hits) >= MAX_COUNTED:
                del self._hits[next(iter(self._hits))]
            self._hits[rule] = count + 1, now

    def _note_misses(self, request: Request, candidates: Sequence[Compared], decider: str) -> None:
        """Those that had their say before the rule that let the request through, if one did."""
        now = self._clock()
        method = self._without_key(request.method)[:32]
        path = self._without_key(request.path)[:MAX_PATH_CHARS]
        for rule in candidates[:MAX_COMPARED]:
            if rule.name == decider:
                return
            difference = rule.difference(request)
            if difference is None and request.body is not None:
                difference = rule.body_difference(request)
            # What stands where a task's id would is told apart after the path was found, and is the app's.
            if difference is None or difference.field == "path":
                continue
            expected, found = self._compared(difference, request)
            with self._lock:
                self.last_id += 1
                self._misses.append(
                    Miss(
                        self.last_id,
                        now,
                        rule.name,
                        method,
                        path,
                        difference.field[:MAX_VALUE_CHARS],
                        expected[:MAX_VALUE_CHARS],
                        found[:MAX_VALUE_CHARS],
                    )
                )

    def _compared(self, difference: Difference, request: Request) -> tuple[str, str]:
        """What was expected and what was found, as far as neither is a secret."""
        expected, found = difference.expected, difference.found
        field = difference.field.lower()
        if self._is_secret(field) or field.endswith(tuple(f".{name}" for name in self._redacted)):
            return REDACTED, REDACTED
        # In a difference there is no more than the beginning of a long value.
        values = _looked_at(request, difference.field)
        if any(map(self._has_key, values)):
            return REDACTED, REDACTED
        if self._has_key(expected) or _without_secrets(expected) != expected:
            expected = REDACTED
        if field.startswith("when.json"):
            if expected[:1] in ("{", "[") and _SECRET.search(expected.lower()):
                expected = REDACTED
            # Of a body that is not kept, no more than the value that was asked about.
            return expected, "a table or a list" if found[:1] in ("{", "[") and not self._bodies else found
        shown = [_without_secrets(value) for value in values]
        return (expected, found) if shown == values else (REDACTED, ", ".join(map(quoted, shown)))

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {}
        for name, value in list(request.fields().items())[:MAX_HEADERS]:
            headers[name[:MAX_VALUE_CHARS]] = self._value(name, value)[:MAX_VALUE_CHARS]
        return headers

    def _value(self, name: str, value: str) -> str:
        """What is kept of a field's value."""
        if self._is_secret(name) or self._has_key(value):
            return REDACTED
        return _without_secrets(value)

    def _has_key(self, text: str) -> bool:
        return any(form in text for form in self._key_forms)

    def _without_key(self, text: str) -> str:
        return REDACTED if self._has_key(text) else text

    def _is_secret(self, name: str) -> bool:
        return name in self._redacted or _SECRET.search(name) is not None

    def _body(self, request: Request) -> str | None:
        if not self._bodies or request.body is None:
            return None
        if self._has_key(request.body.decode("utf-8", "replace")):
            return REDACTED
        return request.body[:MAX_BODY_BYTES].decode("utf-8", "replace")


def _forms(key: str) -> frozenset[str]:
    """How the key may be written in a request; for most, that is one and the same.

    It is asked for as UTF-8 (`Triggers.scope_of_fields`), and a field is read as Latin-1.
    """
    in_bytes = key.encode("utf-8", "surrogateescape")
    return frozenset(
        (key, in_bytes.decode("latin-1"), quote(in_bytes, safe=""), json.dumps(key)[1:-1], ascii(key)[1:-1])
    )


def _without_secrets(value: str) -> str:
    """A value that may be a URL, without what there may be a secret in one."""
    return _USER_INFO.sub(rf"\1{REDACTED}@", _URL_QUERY.sub(rf"\1{REDACTED}", value))


def _looked_at(request: Request, field: str) -> list[str]:
    """The values that a request has where a rule looks, such as `when.query.x`, whole."""
    place, _, name = field.removeprefix("when.").partition(".")
    if place == "query":
        return [*request.query.get(name, ())]
    if place == "headers" or place == "host":
        return [value] if (value := request.header(name or place)) else []
    return [request.body.decode("utf-8", "replace")] if place.startswith("json") and request.body else []


def as_json(entry: Entry | Miss, moment: Callable[[float], str]) -> dict[str, Any]:
    """An entry as the API gives it; `moment` writes a time."""
    found: dict[str, Any] = entry._asdict()
    found["at"] = moment(entry.at)
    if found.get("body", "") is None:
        del found["body"]
    return found
