"""Which fields of a request reach the upstream, and which of its response the client.

Law: pairs of bytes go in, pairs come out, in their order and with their repetitions. What is not about the
connection is left as it is; what a client says of itself (`Forwarded` and the like) is believed only where
the configuration trusts whoever is in front of us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, product
from typing import Any, NamedTuple

from .exceptions import quoted
from .messages import TOKEN
from .upstream_failures import LoopError

Fields = Iterable[tuple[bytes, bytes]]

# RFC 9110 section 7.6.1: intermediaries "MUST parse a received Connection header field before a message is
# forwarded", remove the fields that it names, and SHOULD remove these, whether or not it does.
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
# RFC 9110 section 11.7: both apply "only to the next" hop. `Trailer` announces what cannot follow: neither
# ASGI nor the client library has a word for trailers.
_NEVER_TO_UPSTREAM = HOP_BY_HOP | {b"proxy-authorization", b"trailer"}
_NEVER_TO_CLIENT = HOP_BY_HOP | {b"proxy-authenticate", b"trailer"}
_FORWARDED = frozenset((b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))
# What else is said in front of an app of who asks, and how, and is not said here.
_SAID_ELSEWHERE = frozenset(
    (b"x-forwarded-port", b"x-forwarded-prefix", b"x-forwarded-server", b"x-forwarded-ssl", b"x-real-ip")
)
# RFC 6455 section 4.1: a handshake of our own has its own.
_HANDSHAKE = frozenset(
    (
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    )
)
# What nearly every Connection field says; neither is the name of a field to remove.
_USUAL_OPTIONS = frozenset((b"keep-alive", b"close", b"upgrade"))
_NONE: frozenset[bytes] = frozenset()

# Of RFC 7239's "quoted-string" only what a Host field can have; anything else is not said again.
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_IS_TOKEN = re.compile(TOKEN)


def _spellings(name: bytes) -> Iterable[bytes]:
    """The names that are the same to CGI and WSGI, where each dash becomes an underscore."""
    choices = ("-_" if char == "-" else char for char in name.decode("ascii"))
    return ("".join(chosen).encode("ascii") for chosen in product(*choices))


# A client's word for itself; nginx, too, leaves out what only an underscore tells from it.
_NOT_BELIEVED = frozenset(chain.from_iterable(map(_spellings, _FORWARDED | _SAID_ELSEWHERE)))


class Outgoing(NamedTuple):
    """The fields for the upstream, and what those of the client say of the request's body.

    `has_length`: one of them announces it, or says that it comes in chunks. `expects`: the client holds it
    back until it is told to go on.
    """

    fields: list[tuple[str, str]]
    has_length: bool
    expects: bool


class Forwarding:
    """What is said to an upstream.

    `host` None keeps the Host field; `without` are fields to leave out, in lower case; `name` is the
    pseudonym that stands in Via.
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        without: Iterable[str] = (),
        trusts_forwarded: bool = False,
        name: str = "mockware",
    ) -> None:
        self._host = host
        self._dropped = _NEVER_TO_UPSTREAM.union(field.encode("latin-1") for field in without)
        self._dropped |= {b"host", b"via"}
        self._trusts_forwarded = trusts_forwarded
        if not trusts_forwarded:
            self._dropped |= _NOT_BELIEVED
        self._name = name
        self._via = name.encode("ascii")
        self._via_of = {version: ("via", f"{version} {name}") for version in ("1.0", "1.1", "2")}

    def to_upstream(self, scope: Any) -> Outgoing:
        """What the request that `scope` describes says to the upstream.

        Raises LoopError where it has been here before, and ValueError for a second Host and for a field that
        is no UTF-8, which the client library cannot send.
        """
        try:
            return self._outgoing(scope)
        except UnicodeDecodeError:
            raise ValueError(f"{_not_utf8(scope['headers'])} is no UTF-8") from None

    def _outgoing(self, scope: Any) -> Outgoing:
        dropped = self._dropped
        kept: list[tuple[str, str]] = []
        host = via = b""
        named = _HANDSHAKE if scope["type"] == "websocket" else _NONE
        has_length = expects = in_chunks = False
        for name, value in scope["headers"]:
            if name not in dropped:
                kept.append((name.decode("latin-1"), value.decode()))
                if name == b"content-length":
                    has_length = True
                elif name == b"expect":
                    expects = value.lower() == b"100-continue"
            elif name == b"host":
                if host:
                    # RFC 9112 section 3.2: "A server MUST respond with a 400 (Bad Request) status code" to
                    # "more than one Host header field line"; not every server does.
                    raise ValueError("it has two Host fields")
                host = value
            elif name == b"connection":
                named |= _options(value)
            elif name == b"transfer-encoding":
                has_length = in_chunks = True
            elif name == b"via":
                via = via + b", " + value if via else value
        if named:
            # Even this field cannot ask for the removal of what frames and routes a message.
            named -= {b"content-length", b"host"}
            kept = [pair for pair in kept if pair[0].encode("latin-1") not in named]
        if in_chunks:
            # RFC 9112 section 6.3: who forwards such a message "MUST first remove the received Content-Length
            # field". The upstream would wait for so much, and take the next request for the rest.
            kept = [pair for pair in kept if pair[0] != "content-length"]
        if self._host is not None:
            kept.append(("host", self._host))
        elif host:
            kept.append(("host", host.decode()))
        if via and self._via in via:
            raise LoopError
        # A server on a Unix socket knows no address.
        client = scope.get("client")
        sender = _sender(client[0] if client else "", scope["scheme"], host)
        # RFC 9110 section 7.6.3: "a gateway MUST send an appropriate Via header field in each inbound
        # request".
        version = scope.get("http_version", "1.1")
        if version >= "2":
            _join_cookies(kept)
        if via:
            kept.append(("via", f"{via.decode()}, {version} {self._name}"))
        else:
            kept.append(self._via_of.get(version) or ("via", f"{version} {self._name}"))
        if self._trusts_forwarded:
            _add_to_trusted(kept, sender)
        else:
            kept += sender
        return Outgoing(kept, has_length, expects)


# A client's requests come one after the other, with the same Host field.
@lru_cache(maxsize=1024)
def _sender(address: str, scheme: str, host: bytes) -> Sequence[tuple[str, str]]:
    """What is said of who has sent a request, and how it came."""
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    shown = host.decode("ascii") if _HOST.fullmatch(host) else ""
    said = [("x-forwarded-for", address)] if address else []
    said.append(("x-forwarded-proto", scheme))
    if shown:
        said.append(("x-forwarded-host", shown))
    # RFC 7239 section 4: for, host and proto; section 6.3: "unknown" where an address is not known.
    element = f"for={_node(address)}{f';host={_value(shown)}' if shown else ''};proto={scheme}"
    return (*said, ("forwarded", element))


def _add_to_trusted(kept: list[tuple[str, str]], sender: Sequence[tuple[str, str]]) -> None:
    """Says who sent a request behind what those before us have said of it."""
    before: dict[str, str] = {}
    for name, value in kept:
        if name.encode("latin-1") in _FORWARDED:
            before[name] = f"{before[name]}, {value}" if name in before else value
    kept[:] = [pair for pair in kept if pair[0] not in before]
    for name, value in sender:
        if name not in before:
            kept.append((name, value))
        elif name in ("forwarded", "x-forwarded-for"):
            kept.append((name, f"{before[name]}, {value}"))
        else:  # what the client has asked for, and not what those in between have
            kept.append((name, before[name]))
    told = {name for name, _ in sender}
    kept += [(name, value) for name, value in before.items() if name not in told]


def _join_cookies(kept: list[tuple[str, str]]) -> None:
    """RFC 9113 section 8.2.3: several Cookie fields "MUST be concatenated into a single octet string" before
    they are passed to HTTP/1.1; browsers send one for each cookie."""
    cookies = [value for name, value in kept if name == "cookie"]
    if len(cookies) > 1:
        kept[:] = [pair for pair in kept if pair[0] != "cookie"]
        kept.append(("cookie", "; ".join(cookies)))


def _not_utf8(fields: Fields) -> str:
    """The name of the first field whose value is none."""
    for name, value in fields:
        try:
            value.decode()
        except UnicodeDecodeError:
            return f"the field {quoted(name.decode('latin-1'))}"
    return "a field"


def to_client(fields: Fields) -> list[tuple[bytes, bytes]]:
    """The fields of an upstream's response, for an ASGI server: names in lower case."""
    kept: list[tuple[bytes, bytes]] = []
    named = _NONE
    for name, value in fields:
        lower = name.lower()
        if lower not in _NEVER_TO_CLIENT:
            kept.append((lower, value))
        elif lower == b"connection":
            named |= _options(value)
    if named:
        named -= {b"content-length"}
        kept = [pair for pair in kept if pair[0] not in named]
    return kept


def handshake_to_client(fields: Fields) -> list[tuple[bytes, bytes]]:
    """The fields of an upstream's 101 that are not about its own handshake: cookies above all."""
    return [pair for pair in to_client(fields) if pair[0] not in _HANDSHAKE]


def _options(value: bytes) -> frozenset[bytes]:
    """The names of fields in a Connection field."""
    lowered = value.lower()
    if lowered in _USUAL_OPTIONS:
        return _NONE
    return frozenset(option.strip(b" \t") for option in lowered.split(b",")) - _USUAL_OPTIONS


def _node(address: str) -> str:
    """RFC 7239 section 6: an IPv6 address stands in brackets and, since those are no token, in quotes."""
    if not address:
        return "unknown"
    return f'"[{address}]"' if ":" in address else _value(address)


def _value(text: str) -> str:
    return text if _IS_TOKEN.fullmatch(text) else f'"{text}"'
