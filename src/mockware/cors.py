"""CORS of mocks: which pages of other origins may read them, and what their browsers are told beforehand.

Law: values in, values out. An origin is said only where it is a listed one, and of what else a preflight
asks for nothing is said but tokens, within bounds; so no value of a request becomes a field that it was not.
What the app answers is none of our business: its own CORS layer is in charge of that.

The rules are those of https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .messages import TOKEN, Request, Response
from .replies import build_reply, check_header_name

ANY = "*"
RULE_NAME = "cors"

# RFC 1035 section 2.3.4: a name has at most 253 characters as text; and a scheme, `://` and a port.
MAX_ORIGIN_CHARS = 300
# No method of the IANA registry is longer than 17.
MAX_METHOD_CHARS = 64
# Browsers send what a page's script sets; a hundred fields are more than servers take in a request.
MAX_ASKED_NAMES = 100
MAX_ASKED_CHARS = 4096
# What Firefox keeps an answer for at most; Chromium has 2 h.
MAX_AGE_S = 24 * 3600.0

_METHOD = re.compile(TOKEN)
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
# As browsers write one (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin): in lower case, and
# without a path. All names below `localhost` are this machine's; any other single label is a whole registry.
ORIGIN = (
    r"[a-z][a-z0-9+.-]{0,31}://"
    rf"(?:\*\.(?:localhost|{_LABEL}(?:\.{_LABEL})+)|{_NAME}|\[[0-9a-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?"
)
_ORIGIN = re.compile(ORIGIN)
_BELOW = re.compile(_NAME)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ALLOWED = (
    "an origin as browsers write it, such as https://app.example.com or http://localhost:3000; "
    "https://*.example.com for all names below that one; or `*` alone"
)

Fields = tuple[tuple[str, str], ...]


def check_origin(origin: str) -> None:
    """Raises ValueError for what no browser sends as an origin, and for what too many do."""
    if origin == ANY:
        return
    if origin == "null":
        # https://fetch.spec.whatwg.org/#http-access-control-allow-origin discourages it, too.
        raise ValueError("`null` is said by every sandboxed frame and local file; serve the page instead")
    scheme = origin.partition("://")[0]
    if len(origin) > MAX_ORIGIN_CHARS or not _ORIGIN.fullmatch(origin):
        hint = "; without the slash at its end" if _ORIGIN.fullmatch(origin.rstrip("/")) else ""
        hint = hint or ("; in lower case" if _ORIGIN.fullmatch(origin.lower()) else "")
        raise ValueError(f"never an origin{hint}; allowed: {_ALLOWED}")
    if origin.endswith(_DEFAULT_PORTS.get(scheme, "/")):
        raise ValueError(f"browsers leave out the port of the scheme; write it without; allowed: {_ALLOWED}")


class Origins:
    """The listed origins; `origin in origins` is asked of hostile values."""

    def __init__(self, declared: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._below: list[tuple[str, str]] = []
        for origin in declared:
            check_origin(origin)
            before, star, after = origin.partition("*")
            if star and before:
                self._below.append((before, after))
            else:
                self._exact.add(origin)
        self.any = ANY in self._exact
        self._exact.discard(ANY)

    def __contains__(self, origin: object) -> bool:
        """Whether `origin` is listed by name; `*` lists none."""
        if not isinstance(origin, str) or len(origin) > MAX_ORIGIN_CHARS:
            return False
        return origin in self._exact or any(
            origin.startswith(before)
            and origin.endswith(after)
            and _BELOW.fullmatch(origin[len(before) : -len(after)])
            for before, after in self._below
        )


class Preflight(NamedTuple):
    """What a browser asks leave for: a request with `method` and the header `names`, in lower case."""

    method: str
    names: Sequence[str]


class Cors:
    """What `[cors]` says. `origins` are those listed by name.

    `credentials`: whether pages may send cookies. `exposed` are the fields that they may read besides the
    safelisted ones and X-Mock-Rule. `max_age_s`: how long a browser may remember the answer to a preflight;
    None leaves it at the standard's 5 s. `timing` lets them read a mock's Server-Timing, too.
    """

    def __init__(
        self,
        origins: Iterable[str],
        *,
        credentials: bool = False,
        exposed: Iterable[str] = (),
        max_age_s: float | None = None,
        private_network: bool = False,
        timing: bool = False,
    ) -> None:
        self.origins = Origins(origins)
        if self.origins.any and credentials:
            raise ValueError("`*` cannot be said to credentials")
        self._credentials: Fields = (("Access-Control-Allow-Credentials", "true"),) if credentials else ()
        names = {name.lower(): name for name in ("X-Mock-Rule", *exposed)}
        for name in names.values():
            check_header_name(name)
        self._exposed: Fields = (("Access-Control-Expose-Headers", ", ".join(names.values())),)
        self._max_age_s = max_age_s
        self._private_network = private_network
        self._timing = timing

    def allows(self, request: Request) -> bool:
        """Whether the page that sends the request may read a mock."""
        return self.origins.any or request.header("origin") in self.origins

    def fields(self, request: Request, response: Response) -> Fields:
        """The fields to add to a mock. One that says for itself whom it is for is left alone."""
        if any(name.lower() == "access-control-allow-origin" for name, _ in response.headers):
            return ()
        if not self.allows(request):
            return self._origin(request)
        return (*self._origin(request), *self._exposed, *self._timings(request))

    def _timings(self, request: Request) -> Fields:
        # A page of another origin sees no timing but by this field, whatever CORS says
        # (https://www.w3.org/TR/resource-timing/#sec-timing-allow-origin).
        if not self._timing:
            return ()
        return (("Timing-Allow-Origin", ANY if self.origins.any else request.header("origin") or ""),)

    def asked(self, request: Request) -> Preflight | None:
        """What a preflight of a listed origin asks for; None where it is none, or none of a browser."""
        method = request.header("access-control-request-method") or ""
        listed = request.header("access-control-request-headers") or ""
        if (
            not request.is_preflight
            or request.header("origin") is None
            or not self.allows(request)
            or len(method) > MAX_METHOD_CHARS
            or len(listed) > MAX_ASKED_CHARS
            or not _METHOD.fullmatch(method)
        ):
            return None
        names = [name for item in listed.split(",") if (name := item.strip(" \t").lower())]
        if len(names) > MAX_ASKED_NAMES or not all(map(_METHOD.fullmatch, names)):
            return None
        return Preflight(method, names)

    def leave(self, request: Request, asked: Preflight, *, lasting: bool) -> Response:
        """The answer that allows what is asked for; unless `lasting`, for the one request only."""
        # "`*` counts as a wildcard [only] for requests without credentials", and never for Authorization:
        # what is asked for is said by its name.
        fields = [*self._origin(request), ("Access-Control-Allow-Methods", asked.method)]
        if asked.names:
            fields.append(("Access-Control-Allow-Headers", ", ".join(asked.names)))
        max_age_s = self._max_age_s if lasting else 0
        if max_age_s is not None:
            fields.append(("Access-Control-Max-Age", f"{max_age_s:.0f}"))
        if self._private_network and request.header("access-control-request-private-network") == "true":
            # https://wicg.github.io/private-network-access/#http-headerdef-access-control-allow-private-network
            fields.append(("Access-Control-Allow-Private-Network", "true"))
        # "an ok status" (https://fetch.spec.whatwg.org/#cors-preflight-fetch): any of 200 to 299.
        return build_reply(204, rule=RULE_NAME, headers=fields)

    def _origin(self, request: Request) -> Fields:
        # "If `Access-Control-Allow-Origin` is set to `*` [...], then configure the server to always send [it]
        # [...] and do not use `Vary`" (https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches).
        if self.origins.any:
            return (("Access-Control-Allow-Origin", ANY),)
        vary = ("Vary", "Origin")
        origin = request.header("origin")
        if origin is None or origin not in self.origins:
            return (vary,)
        return (("Access-Control-Allow-Origin", origin), *self._credentials, vary)
