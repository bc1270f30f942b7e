"""Where webhooks may go: the listed hosts, and the addresses that these may have.

Law: whatever is not listed is refused, and a name never permits an address. Those which lead into this
machine or its network are listed by number or not at all, however they are written. Nothing is looked up
here.

Doubt: IPv6 networks may map IPv4 addresses to prefixes of their own (RFC 6052 section 2.2), which only they
know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple, TypeAlias
from unicodedata import normalize
from urllib.parse import quote, urlsplit

from .exceptions import quoted

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# RFC 9110 section 4.1: "It is RECOMMENDED that all senders and recipients support, at a minimum, URIs with
# lengths of 8000 octets in protocol elements."
MAX_URL_CHARS = 8000
_PORTS = {"http": 80, "https": 443}
_ALLOWED = (
    "a name, `*.` and a name, an IP address, each with `:PORT` or without; or a network such as 10.0.0.0/8"
)

# RFC 1035 section 2.3.4: labels of 63 octets, names of 255, which are 253 characters. Underscores are no part
# of a host's name, but Docker gives them to its hosts all the same.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_NAME_CHARS = 253
# Programs take a name that ends like this for an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")

# https://www.iana.org/assignments/iana-ipv4-special-registry, and where clouds tell machines their secrets.
# The first that fits is the reason. A table of our own, since Pythons differ in what they call private.
_REFUSED_4 = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("169.254.169.254/32", "a metadata service"),
        ("168.63.129.16/32", "a metadata service"),
        ("100.100.100.200/32", "a metadata service"),
        ("192.0.0.192/32", "a metadata service"),
        ("127.0.0.0/8", "loopback"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("169.254.0.0/16", "link-local"),
        ("100.64.0.0/10", "shared by a provider's network"),
        ("0.0.0.0/32", "unspecified"),
        ("224.0.0.0/4", "multicast"),
        ("0.0.0.0/8", "reserved"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("240.0.0.0/4", "reserved"),
    )
)
# https://www.iana.org/assignments/iana-ipv6-special-registry
_REFUSED_6 = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("fd00:ec2::254/128", "a metadata service"),
        ("fd20:ce::254/128", "a metadata service"),
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("fc00::/7", "private"),
        ("fec0::/10", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "reserved"),
        ("2002::/16", "reserved"),
        ("3fff::/20", "reserved"),
    )
)
# https://www.iana.org/assignments/ipv6-address-space: all that is given out to anybody so far.
_GLOBAL_6 = IPv6Network("2000::/3")
# RFC 6052 section 2.1: the IPv4 address is the last 32 bits. Networks without IPv4 reach public hosts so.
_NAT64 = IPv6Network("64:ff9b::/96")


class Target(NamedTuple):
    """Where a URL leads: `host` is a name in lower-case ASCII or an address; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str


class Hosts:
    """The hosts and networks that are listed; none refuse everything. Raises ValueError for a wrong entry.

    An entry without a port permits every port. `*.example.com` is every name below that one.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[tuple[str, int | None]] = set()
        self._networks: list[tuple[Network, int | None]] = []
        for entry in entries:
            try:
                self._add(entry)
            except ValueError as error:
                raise ValueError(f"{quoted(entry)}: {error}; allowed: {_ALLOWED}") from None

    def check_url(self, url: str) -> Target:
        """Where `url` leads, if that is listed. Raises ValueError, which says why not but no secret."""
        if len(url) > MAX_URL_CHARS:
            raise ValueError(f"a URL of more than {MAX_URL_CHARS} characters")
        # `urlsplit` would drop some of these, and others take a backslash for a slash.
        if not url.isprintable() or " " in url or "\\" in url:
            raise ValueError("a blank, a control character or a backslash in a URL; percent-encode it")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError("no URL that can be read") from None  # Python's own words quote passwords
        if parts.scheme not in _PORTS:
            raise ValueError(f"{quoted(parts.scheme)} is no scheme for a webhook; allowed: http, https")
        if "@" in parts.netloc:
            raise ValueError("a user or a password in a URL; webhooks are signed with a secret instead")
        host, port = _split(parts.netloc)
        port = _PORTS[parts.scheme] if port is None else port
        address = _address(host)
        if address is None:
            host = _name(host)
            listed = self._lists_name(host, port)
        else:
            host = str(address)
            listed = self._lists(address, port)
        if not listed:
            raise ValueError(
                f"the host {quoted(host)} with port {port} is not one that webhooks may go to; list it"
            )
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?' + chr(39))}" if parts.query else ""
        return Target(parts.scheme, host, port, path + query)

    def refusal_of(self, address: str, port: int) -> str | None:
        """Why nothing is sent to `address`, which a listed host has; None where it may be connected to."""
        ip = _unmapped(ip_address(address.partition("%")[0]))
        reason = _reason(ip)
        if reason is None or self._lists(ip, port):
            return None
        return f"its address {ip} is {reason}, and those have to be listed by number"

    def _add(self, entry: str) -> None:
        if "/" in entry and "%" not in entry:
            self._networks.append((ip_network(entry), None))
            return
        # An IPv6 address has more colons than a host with a port, and needs no brackets here.
        host, port = (f"[{entry}]", None) if entry[:1] != "[" and entry.count(":") > 1 else _split(entry)
        below = "*." if host.startswith("*.") else ""
        address = _address(host.removeprefix(below))
        if address is None:
            self._names.add((below + _name(host.removeprefix(below)), port))
        elif below:
            raise ValueError("no name is below an address")
        else:
            self._networks.append((ip_network(address), port))

    def _lists_name(self, name: str, port: int) -> bool:
        labels = name.split(".")
        above = ("*." + ".".join(labels[at:]) for at in range(1, len(labels)))
        return any((known, at) in self._names for known in (name, *above) for at in (None, port))

    def _lists(self, ip: Address, port: int) -> bool:
        return any(at in (None, port) and ip in network for network, at in self._networks)


def _split(netloc: str) -> tuple[str, int | None]:
    """The host, with the brackets if it has some, and the port."""
    host, colon, digits = netloc.rpartition(":")
    if not colon or "]" in digits:
        return netloc, None
    if not digits:
        return host, None  # RFC 3986 section 3.2.3: `port = *DIGIT`, and an empty one is the scheme's
    if not digits.isascii() or not digits.isdigit() or len(digits) > 5 or not 0 < int(digits) < 65536:
        raise ValueError(f"{quoted(digits)} is no port")
    return host, int(digits)


def _address(host: str) -> Address | None:
    """The address that `host` is, None for a name. Raises ValueError for one in an unusual spelling."""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        # A zone is an interface of this machine's.
        if "%" in host:
            raise ValueError(f"{quoted(host)} has a zone; write the address without it")
        return _unmapped(IPv6Address(host))
    # Whoever reads 0177.0.0.1 as 177.0.0.1 checks one address, and the resolver connects to another.
    if _NUMERIC.fullmatch(host.rstrip(".").rpartition(".")[2].lower()):
        try:
            return IPv4Address(host)
        except ValueError:
            raise ValueError(
                f"{quoted(host)} is an unusual spelling of an IPv4 address; write four decimal numbers, as in"
                " 127.0.0.1"
            ) from None
    return None


def _unmapped(address: Address) -> Address:
    # RFC 4291 section 2.5.5.2: a socket connects to the IPv4 address itself.
    return getattr(address, "ipv4_mapped", None) or address


def _name(host: str) -> str:
    """A host's name in ASCII and lower case, without the dot of the root."""
    name = host.lower().removesuffix(".")
    if not name.isascii():
        try:
            name = host.encode("idna").decode().lower().removesuffix(".")
            same = name.encode().decode("idna") == normalize("NFC", host.lower()).removesuffix(".")
        except UnicodeError:
            same = False
        # Python's codec is of 2003. What it maps to other letters (as it does with the German sharp s, or
        # with digits in circles) is another host to those who follow the rules of 2008.
        if not same:
            raise ValueError(f"{quoted(host)} is a name that others read otherwise; write its `xn--` form")
    if not name or len(name) > _MAX_NAME_CHARS or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError(f"{quoted(host)} is no name of a host")
    return name


def _reason(ip: Address) -> str | None:
    if isinstance(ip, IPv4Address):
        return next((reason for network, reason in _REFUSED_4 if ip in network), None)
    if ip in _NAT64:
        inside = IPv4Address(int(ip) & 0xFFFF_FFFF)
        reason = _reason(inside)
        return reason and f"a form of {inside}, which is {reason}"
    known = next((reason for network, reason in _REFUSED_6 if ip in network), None)
    return known or (None if ip in _GLOBAL_6 else "reserved")
