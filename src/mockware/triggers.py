"""Triggers: request fields that ask for a mock by themselves.

Law: a trigger is read into a choice of replies or into a refusal that says why, never into an exception,
and is never passed over in silence once its key is right. Every value here is hostile: it is bounded
before it is parsed, and quoted, shortened and escaped before it is shown.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Collection, Container, Sequence
from copy import copy
from typing import NamedTuple, Self
from urllib.parse import unquote

from .attempts import Attempts
from .durations import MAX_DELAY_S, parse_delay
from .exceptions import nearest, quoted
from .logs import WrongKeys
from .messages import Request, Response
from .replies import build_problem
from .statuses import CODE
from .tokens import ANYTHING, OutOfScopeError, Scope, TokenKey

# Longer than any list of statuses that a person types; a parser need not see more than that.
MAX_VALUE_CHARS = 1024
# The limit that every carrier of baggage has to allow for (W3C Baggage section 3.3.2).
MAX_BAGGAGE_CHARS = 8192

_STATUS = re.compile(CODE)
_WEIGHT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def _grammar(*, passthrough: bool) -> str:
    words = "a status from 200 to 599 or `passthrough`" if passthrough else "a status from 200 to 599"
    return f"expected {words}, or a list of them such as `200:0.9,503:0.1`"


GRAMMAR = _grammar(passthrough=True)

RULE_NAME = "trigger"

# What neither a URL nor a cookie encodes, so that it is spelled in one way only.
SOURCE_NAME = "[A-Za-z0-9._-]{1,64}"
_SOURCE_NAME = re.compile(SOURCE_NAME)


class Choice(NamedTuple):
    """One of the answers that a trigger asks for: a status, or None for passthrough."""

    status: int | None
    weight: float


class Trigger(NamedTuple):
    """What the fields of a request ask for: one of `choices`, the rule `name`, another delay."""

    choices: tuple[Choice, ...] = ()
    name: str | None = None
    delay_s: float | None = None


class Member(NamedTuple):
    """What a member of `baggage` for this service, or the cookie, asks for, and the token that it shows."""

    value: str
    token: str | None


class TriggerFields(NamedTuple):
    """The names of the request fields, as they are written in messages."""

    status: str = "X-Mock-Status"
    name: str = "X-Mock-Name"
    delay: str = "X-Mock-Delay"
    key: str = "X-Mock-Key"


class Triggers:
    """Reads the triggers of a request, as far as a `[trigger]` table and the key allow.

    `watched` are the fields, in lower case, without which a request has no trigger, unless its `query` has
    one. `statuses` and `paths` (prefixes) limit what may be asked for and where (None and empty: anything,
    anywhere); outside of its paths a trigger is as if absent. `service` is this service's name in `baggage`.
    `query` and `cookie` name the parameter and the cookie that ask as the status field does (None: none), and
    `trusted_origins` have those whose pages may do so by the query though they are another site's.

    With a `key`, a trigger is as if absent, too, that shows neither it nor a token of it. A token that has
    expired, or does not allow what is asked for, is refused with the reason: its holder is known.
    """

    def __init__(
        self,
        *,
        fields: TriggerFields = TriggerFields(),  # noqa: B008 - immutable
        statuses: Collection[int] | None = None,
        paths: tuple[str, ...] = (),
        max_delay_s: float = MAX_DELAY_S,
        key: str = "",
        service: str = "",
        query: str | None = None,
        cookie: str | None = None,
        trusted_origins: Container[str] = (),
        trusts_forwarded: bool = False,
    ) -> None:
        self.fields = fields
        self.query = query
        self.cookie = cookie
        self._trusted_origins = trusted_origins
        self.statuses = statuses
        self._paths = paths
        self._max_delay_s = max_delay_s
        self.service = service
        self._key = _derived(key.encode("utf-8", "surrogateescape")) if key else None
        self._token_key = TokenKey(key) if key else None
        self._attempts = Attempts()
        self._trusts_forwarded = trusts_forwarded
        self.tell_wrong_key: Callable[[str], None] = WrongKeys().tell
        self._status, self._name, self._delay, self._key_field = (name.lower() for name in fields)
        self._member = f"mock.{service}" if service else None
        self.watched = frozenset(
            (
                *(self._status, self._name, self._delay),
                *(["baggage"] if self._member else []),
                *(["cookie"] if cookie else []),
            )
        )
        # What a reply was chosen by, for whoever keeps it though it says `no-store`.
        self.vary = f"{fields.status}, Cookie" if cookie else fields.status

    @property
    def ask_nothing(self) -> bool:
        """Whether a trigger works for everybody and everywhere."""
        return self._key is None and not self._paths

    def covers(self, path: str) -> bool:
        """Whether triggers work on `path`."""
        return not self._paths or path.startswith(self._paths)

    def are_among(self, names: Collection[str]) -> bool:
        """Whether one of the fields of triggers is among `names`, which are in lower case.

        Not `baggage`, which browsers send for others, too.
        """
        return not {self._status, self._name, self._delay, self._key_field}.isdisjoint(names)

    def asked_in_query(self, request: Request) -> str | None:
        """What the query asks for, unless it may be a stranger's doing."""
        if self.query is None or not (values := request.query.get(self.query)):
            return None
        # A link or a form on another site would mock the requests of whoever follows it. Browsers tell where
        # a request comes from (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header), scripts cannot.
        if (
            request.header("sec-fetch-site") == "cross-site"
            and request.header("origin") not in self._trusted_origins
        ):
            return None
        return ",".join(values)

    @property
    def heeds_more(self) -> bool:
        """Whether more than fields of their own may be triggers."""
        return self.query is not None or self.cookie is not None

    @property
    def needs_key(self) -> bool:
        """Whether a trigger is heeded with the key only."""
        return self._key is not None

    def read(self, request: Request, clock: Callable[[], float] = time.time) -> Trigger | Response | None:
        """What a request asks for, the refusal if it asks wrongly, None if it may not or does not ask.

        `clock` says whether a token has expired, in seconds of the epoch.
        """
        if not self.covers(request.path):
            return None
        asked = name = delay = None
        scope = of_delay = self.scope_of_fields(request)
        if scope is not None:
            asked, delay = request.header(self._status), request.header(self._delay)
            name = request.header(self._name) if asked is None else None
        field, shown = self.fields.status, self.fields.key
        if asked is None and name is None:
            asked, field, shown, scope = self._asked_elsewhere(request, scope, clock)
        choices: tuple[Choice, ...] = ()
        delay_s = None
        place, value = "", ""
        try:
            if scope is not None and (asked is not None or name is not None):
                place = shown
                scope.check(request.path, self.service, clock)
                if asked is not None:
                    place, value = field, asked
                    choices = parse_choices(asked)
                    self._allow(choices)
                    scope.check_statuses([status for status, _ in choices if status is not None])
                elif name is not None:
                    place, value = self.fields.name, name
                    name = scope.named(name)
            if of_delay is not None and delay is not None:
                place, value = self.fields.key, ""
                of_delay.check(request.path, self.service, clock)
                place, value = self.fields.delay, delay
                delay_s = parse_delay(delay.strip(" \t"))
                if delay_s > self._max_delay_s:
                    raise ValueError(
                        f"the rules file allows triggers delays of at most {self._max_delay_s:g}s"
                    )
                of_delay.check_delay(delay_s)
        except OutOfScopeError as error:
            # RFC 9110 section 15.5.4: understood, and refused. The token itself is not shown.
            return self._refused(403, f"{place}: {error}")
        except ValueError as error:
            return self.refusal(place, value, str(error))
        if not choices and name is None and delay_s is None:
            return None
        return Trigger(choices, name, delay_s)

    def _asked_elsewhere(
        self, request: Request, of_fields: Scope | None, clock: Callable[[], float]
    ) -> tuple[str | None, str, str, Scope | None]:
        """What is asked for, where, by what that shows a right to it, and what that allows.

        First comes that which is the nearest to this one request. With a key, what a link or a cookie may ask
        for is what the key field allows, unless the cookie has a token of its own.
        """
        key = self.fields.key
        # A preflight has the URL of the request that it asks leave for, and is not the one to be mocked.
        if of_fields is not None and not request.is_preflight:
            asked = self.asked_in_query(request)
            if asked is not None:
                return asked, f"query parameter {self.query}", key, of_fields
        member = self.member_of(request)
        if member is not None and (scope := self.scope_of_member(member)) is not None:
            field = f"baggage {self._member}"
            return member.value, field, field, scope
        cookie = self.member_of_cookie(request)
        if cookie is None:
            return None, "", key, of_fields
        field = f"cookie {self.cookie}"
        if cookie.token is None or self._key is None:
            return cookie.value, field, key, of_fields
        # A cookie goes by itself to every path and every port of its host, until the browser forgets it:
        # where and when its token does not hold, nobody asks.
        scope = self.scope_of_cookie(cookie)
        if scope is None or not scope.holds(request.path, self.service, clock):
            return None, "", key, of_fields
        return cookie.value, field, field, scope

    def refusal(self, field: str, value: str, reason: str) -> Response:
        """400 problem details that quote a field's value and say what is allowed."""
        return self._refused(400, f"{field}: {quoted(value)}: {reason}")

    def _refused(self, status: int, detail: str) -> Response:
        return build_problem(status, detail, rule=RULE_NAME, vary=self.vary)

    def scope_of_fields(self, request: Request) -> Scope | None:
        """What all but `baggage` may ask for, by the key field; None: it is as if absent."""
        if self._key is None or self._token_key is None:
            return ANYTHING
        shown = request.header(self._key_field)
        if shown is None:
            return None
        # Whoever guesses may be behind the same address as those who have one, which nobody guesses.
        if (scope := self._token_key.read(shown)) is not None:
            return scope
        presented = shown.encode("latin-1", "replace")
        trusts_forwarded = self._trusts_forwarded
        if not self._attempts.wait_s(request, trusts_forwarded=trusts_forwarded):
            if hmac.compare_digest(self._key, _derived(presented)):
                return ANYTHING
            self._attempts.note_wrong(request, presented, trusts_forwarded=trusts_forwarded)
        self.tell_wrong_key(self.fields.key)
        return None

    def apart(self) -> Self:
        """The same for whoever only wants to know: nobody is told of a wrong key, and none is counted."""
        same = copy(self)
        same._attempts = Attempts()
        same.tell_wrong_key = lambda field: None
        return same

    def member_of(self, request: Request) -> Member | None:
        """What `baggage` has for this service."""
        if self._member is None:
            return None
        return _member(request.header("baggage") or "", self._member)

    def scope_of_member(self, member: Member) -> Scope | None:
        """What a member of `baggage` may ask for; None: it is as if absent.

        With a key, that takes a token: the key itself would be carried to whomever the request leads to.
        """
        if self._token_key is None:
            return ANYTHING
        if member.token is None:
            return None
        scope = self._token_key.read(member.token)
        if scope is None:
            self.tell_wrong_key(f"baggage {self._member}")
        return scope

    def member_of_cookie(self, request: Request) -> Member | None:
        """What the cookie asks for."""
        # Most requests of browsers have cookies, and few have this one: it is not worth taking all apart.
        if self.cookie is None or self.cookie not in (request.header("cookie") or ""):
            return None
        asked = request.cookies.get(self.cookie)
        # Scripts encode what they put into cookies; a comma and a semicolon have to be.
        return None if asked is None else _member_of(asked)

    def scope_of_cookie(self, cookie: Member) -> Scope | None:
        """What the token of the cookie allows; None: it has none, or none of ours.

        The key itself is never heeded there: the app, its scripts and every port of its host see cookies.
        """
        if self._token_key is None or cookie.token is None:
            return None
        scope = self._token_key.read(cookie.token)
        if scope is None:
            self.tell_wrong_key(f"cookie {self.cookie}")
        return scope

    def why_not(self, status: int) -> str:
        """Why no trigger may ask for this status; nothing where one may."""
        try:
            self._allow((Choice(status, 1.0),))
        except ValueError as error:
            return str(error)
        return ""

    @property
    def a_path(self) -> str:
        """A path on which triggers work."""
        return next(iter(self._paths), "/")

    def _allow(self, choices: tuple[Choice, ...]) -> None:
        for status, _ in choices:
            if self.statuses is not None and status is not None and status not in self.statuses:
                allowed = ", ".join(map(str, sorted(self.statuses)))
                raise ValueError(f"the rules file allows triggers these statuses only: {allowed}")


def parse_choices(value: str, *, behind: bool = True) -> tuple[Choice, ...]:
    """`202`, or a list as in httpbin's `/status`, uniform or weighted. Raises ValueError otherwise.

    `behind`: there is an app behind, so that `passthrough` is told of, which is parsed in any case.
    """
    grammar = _grammar(passthrough=behind)
    if len(value) > MAX_VALUE_CHARS:
        raise ValueError(f"longer than {MAX_VALUE_CHARS} characters; {grammar}")
    choices = []
    for item in value.split(","):
        word, colon, weight = item.strip(" \t").partition(":")
        if colon and not _WEIGHT.fullmatch(weight):
            raise ValueError(f"a weight is a number such as 0.25; {grammar}")
        if word != "passthrough" and not _STATUS.fullmatch(word):
            known = ("passthrough",) if behind else ()
            near = f"did you mean `{found}`? " if (found := nearest(word, known)) else ""
            raise ValueError(near + (grammar.capitalize() if near else grammar))
        status = None if word == "passthrough" else int(word)
        choices.append(Choice(status, float(weight) if colon else 1.0))
    if not any(weight for _, weight in choices):
        raise ValueError("the weights add up to nothing")
    return tuple(choices)


def check_source_name(name: str) -> None:
    """Raises ValueError for what cannot be the name of a trigger's cookie or query parameter."""
    if not _SOURCE_NAME.fullmatch(name):
        raise ValueError("a name here is made of 1 to 64 letters, digits, `.`, `_` and `-`")


def draw(choices: tuple[Choice, ...], chance: float) -> int | None:
    """The status that `chance` (from 0, below 1) falls upon; weights need not add up to 1."""
    left = chance * sum(weight for _, weight in choices)
    for status, weight in choices:
        if left < weight:
            return status
        left -= weight
    # Only rounding gets here; what is drawn must be something that has a weight.
    return next(status for status, weight in reversed(choices) if weight)


def _member(baggage: str, name: str) -> Member | None:
    """One member of W3C baggage, decoded; those of others are nobody's business here."""
    if len(baggage) > MAX_BAGGAGE_CHARS:
        # Up to the last member that the bound leaves whole.
        baggage = baggage[:MAX_BAGGAGE_CHARS].rpartition(",")[0]
    for member in baggage.split(","):
        head, semicolon, behind = member.partition(";")
        key, _, rest = head.partition("=")
        if key.strip(" \t") == name:
            # Tracing libraries take the properties for a part of the value, and encode their `;` and `=` on
            # the way.
            return _member_of(rest + semicolon + behind)
    return None


def _member_of(encoded: str) -> Member:
    value, *properties = unquote(encoded).split(";")
    return Member(value.strip(" \t"), _property(properties, "key"))


def _property(properties: Sequence[str], name: str) -> str | None:
    for declared in properties:
        key, _, value = declared.partition("=")
        if key.strip(" \t") == name:
            return value.strip(" \t")
    return None


def _derived(key: bytes) -> bytes:
    """The form in which the key of the header is kept and compared; other purposes derive others."""
    return hmac.digest(key, b"mockware trigger key", "sha256")
