"""Under which URL a client knows us: scheme, host, and what stands before the path that the app routes on.

Law: what a client says of itself is believed no further than it can harm itself. `Forwarded` and its
`X-Forwarded-*` forerunners are for proxies to set: they are looked at only where the configuration trusts
whoever is in front of us.
"""

from __future__ import annotations

import re

from .messages import TOKEN, Request

# What stands for us in a line that is shown where nobody knows what we are called: servers' usual address.
UNKNOWN_ORIGIN = "http://127.0.0.1:8000"

# RFC 3986 section 3.2.2, without what no host of ours has: user info, percent-encoding, sub-delimiters.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")
# forwarded-pair = token "=" value (RFC 7239 section 4); the first element is the one nearest to the client.
_PAIR = re.compile(rf"[ \t]*({TOKEN})=({TOKEN}|\"(?:[^\"\\]|\\.)*\")[ \t]*(?:;|$)")


def origin_of(request: Request, *, trusts_forwarded: bool) -> str:
    """`scheme://host`, or nothing where the request does not say what we are called."""
    scheme, host = request.scheme, request.header("host") or ""
    if trusts_forwarded:
        forwarded = _forwarded(request)
        scheme = forwarded.get("proto", scheme)
        host = forwarded.get("host", host)
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return ""
    return f"{scheme}://{host}"


def nearest_client(request: Request) -> str:
    """The address that the nearest proxy was asked from, as far as it says so.

    That is the last one of X-Forwarded-For, which every common proxy adds to: what stands before it may be
    the client's own word.
    """
    address = (request.header("x-forwarded-for") or "").rpartition(",")[2].strip(" \t")
    # Some add the port, which is another one for each connection.
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def prefix_of(request: Request, *, trusts_forwarded: bool) -> str:
    """What stands before the app's own paths, as it is written in a URL."""
    prefix = request.mount.rstrip("/")
    if trusts_forwarded:
        given = (request.header("x-forwarded-prefix") or "").partition(",")[0].strip().rstrip("/")
        # A server that was told the same by its own configuration has it in its mount already.
        if _PREFIX.fullmatch(given) and not f"{prefix}/".startswith(f"{given}/"):
            prefix = given + prefix
    return prefix


def _forwarded(request: Request) -> dict[str, str]:
    """What the proxies say: RFC 7239, or else what was usual before it."""
    field = request.header("forwarded")
    if field is not None:
        pairs = {}
        element = field.partition(",")[0]
        at = 0
        while match := _PAIR.match(element, at):
            pairs[match[1].lower()] = match[2].strip('"').lower()
            if match.end() == at:
                break
            at = match.end()
        return {name: pairs[name] for name in ("proto", "host") if name in pairs}
    found = {}
    for name in ("proto", "host"):
        value = (request.header(f"x-forwarded-{name}") or "").partition(",")[0].strip().lower()
        if value:
            found[name] = value
    return found
