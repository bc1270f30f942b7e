"""Webhooks go where they may and nowhere else, however a place is spelled."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.addresses import Hosts

HOSTS = Hosts(
    ["hooks.test", "*.example.com", "10.1.0.0/16", "Ported.test:8080", "b\u00fccher.test", "192.168.0.1:90"]
)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://hooks.test", ("http", "hooks.test", 80, "/")),
        ("https://hooks.test/a/b?c=d&e#f", ("https", "hooks.test", 443, "/a/b?c=d&e")),
        ("HTTP://HOOKS.Test.:81/", ("http", "hooks.test", 81, "/")),
        ("http://hooks.test:/?q", ("http", "hooks.test", 80, "/?q")),
        ("http://a.b.example.com/", ("http", "a.b.example.com", 80, "/")),
        ("http://ported.test:8080/", ("http", "ported.test", 8080, "/")),
        ("http://B\u00dcCHER.test/", ("http", "xn--bcher-kva.test", 80, "/")),
        ("http://bu\u0308cher.test/", ("http", "xn--bcher-kva.test", 80, "/")),
        ("http://xn--bcher-kva.test/", ("http", "xn--bcher-kva.test", 80, "/")),
        ("http://10.1.2.3:5/", ("http", "10.1.2.3", 5, "/")),
        ("http://[::ffff:10.1.2.3]/", ("http", "10.1.2.3", 80, "/")),
        ("http://192.168.0.1:90/", ("http", "192.168.0.1", 90, "/")),
        ("http://hooks.test/\u00e4%20?\u00fc", ("http", "hooks.test", 80, "/%C3%A4%20?%C3%BC")),
    ],
)
def test_a_listed_host_is_reached(url: str, target: tuple[str, str, int, str]) -> None:
    assert HOSTS.check_url(url) == target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://elsewhere.test/", "not one that webhooks may go to"),
        ("http://example.com/", "not one that"),
        ("http://evilexample.com/", "not one that"),
        ("http://hooks.test.evil.test/", "not one that"),
        ("http://ported.test/", "with port 80 is not one that"),
        ("http://192.168.0.1/", "not one that"),
        ("http://8.8.8.8/", "not one that"),
        ("http://[::1]/", "not one that"),
        ("ftp://hooks.test/", "no scheme"),
        ("//hooks.test/", "no scheme"),
        ("hooks.test", "no scheme"),
        ("", "no scheme"),
        ("http:///hooks.test", "no name of a host"),
        ("http://hooks.test:80:90/", "no name of a host"),
        ("http://hooks..test/", "no name of a host"),
        ("http://%68ooks.test/", "no name of a host"),
        ("http://user@hooks.test/", "a user or a password"),
        ("http://hooks.test@evil.test/", "a user or a password"),
        ("http://evil.test\\@hooks.test/", "backslash"),
        ("http://hooks.test/a b", "blank"),
        ("http://hooks.test/\r\nX: y", "control character"),
        ("http://ho\toks.test/", "control character"),
        ("http://hooks.test:0/", "no port"),
        ("http://hooks.test:65536/", "no port"),
        ("http://hooks.test:+80/", "no port"),
        ("http://hooks.test:\u0668\u0660/", "no port"),
        ("http://[::1/", "no URL"),
        ("http://[v1.a]/", "."),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://stra\u00dfe.test/", "`xn--` form"),
        ("http://hooks\u3002test/", "`xn--` form"),
        ("http://hooks.te\u017ft/", "`xn--` form"),
        (f"http://hooks.test/{'a' * 8000}", "more than 8000"),
    ],
)
def test_anything_else_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        HOSTS.check_url(url)


def test_nothing_is_listed_by_default() -> None:
    with pytest.raises(ValueError, match="not one that"):
        Hosts([]).check_url("http://hooks.test/")


@pytest.mark.parametrize(
    "url",
    ["http://me:hunter2@hooks.test/", "http://me:hunter2\u2100@hooks.test/", "x://hooks.test/?key=hunter2"],
)
def test_a_refusal_tells_no_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|user|scheme") as refused:
        HOSTS.check_url(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "",
            "*",
            "a b",
            "http://hooks.test",
            "hooks.test/path",
            "10.0.0.1/8",
            "10.0.0.0/8:80",
            "hooks.test:x",
        ),
        *(
            "*.10.0.0.1",
            "a.*.test",
            "0x7f.1",
            "2130706433",
            "fe80::1%eth0",
            "fe80::%eth0/10",
            "[::1",
            "user@x",
        ),
    ],
)
def test_an_entry_that_is_none_is_refused_with_what_is_allowed(entry: str) -> None:
    with pytest.raises(ValueError, match="allowed: a name"):
        Hosts(["hooks.test", entry])


# The addresses that names have

REFUSED = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "shared",
    "169.254.0.1": "link-local",
    "169.254.169.254": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "reserved",
    "224.0.0.1": "multicast",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:a9fe:a9fe": "metadata",
    "64:ff9b::10.0.0.1": "a form of 10.0.0.1, which is private",
    "64:ff9b:1::10.0.0.1": "reserved",
    "2002:a9fe:a9fe::1": "reserved",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "reserved",
    "2001:db8::1": "reserved",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "4000::1": "reserved",
}


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_a_listed_name_permits_no_address_inside(address: str, reason: str) -> None:
    refusal = Hosts(["hooks.test", "*.test"]).refusal_of(address, 80)
    assert refusal is not None
    assert f"is {reason}" in refusal or reason in refusal


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_listed_by_number_is_permitted(address: str) -> None:
    plain = address.partition("%")[0]
    assert Hosts([plain]).refusal_of(address, 80) is None
    assert Hosts([f"[{plain}]:80" if ":" in plain else f"{plain}:80"]).refusal_of(address, 80) is None
    assert Hosts([f"[{plain}]:81" if ":" in plain else f"{plain}:81"]).refusal_of(address, 80) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"])
def test_a_public_address_is_permitted_to_whatever_name_is_listed(address: str) -> None:
    assert Hosts([]).refusal_of(address, 80) is None


def test_an_address_in_a_listed_network_is_permitted_and_the_next_one_is_not() -> None:
    hosts = Hosts(["10.1.0.0/16", "fd00:1::/32"])
    assert hosts.refusal_of("10.1.255.255", 80) is None
    assert hosts.refusal_of("10.2.0.0", 80) is not None
    assert hosts.refusal_of("fd00:1::1", 80) is None
    assert hosts.refusal_of("fd00:2::1", 80) is not None


def forms_of(ip: IPv4Address) -> list[str]:
    """Every address of version 6 that leads to this one."""
    number = int(ip)
    return [
        str(IPv6Address(form))
        for form in (
            number,  # RFC 4291 section 2.5.5.1
            0xFFFF << 32 | number,
            0xFFFF << 48 | number,  # RFC 2765
            0x64FF9B << 96 | number,
            0x2002 << 112 | number << 80 | 1,
            0x20010000 << 96 | (number ^ 0xFFFF_FFFF),  # RFC 4380: Teredo
        )
    ]


inside_4 = st.one_of(
    *(
        st.ip_addresses(v=4, network=network)
        for network in (
            *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
            *("100.64.0.0/10", "0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"),
        )
    )
)


@given(inside_4)
def test_every_form_of_a_refused_address_is_refused(ip: IPv4Address) -> None:
    nothing_inside = Hosts(["hooks.test", "8.8.8.8", "2606:4700::/32"])
    for form in (str(ip), *forms_of(ip)):
        assert nothing_inside.refusal_of(form, 80) is not None, form


@given(st.ip_addresses())
def test_whatever_is_not_listed_and_not_refused_is_global_in_pythons_eyes_too(
    ip: IPv4Address | IPv6Address,
) -> None:
    if Hosts([]).refusal_of(str(ip), 80) is None and ip not in ip_network("64:ff9b::/96"):
        meant = getattr(ip, "ipv4_mapped", None) or ip
        assert meant.is_global
        assert not meant.is_multicast
        assert not meant.is_reserved


def spellings_of(ip: IPv4Address) -> set[str]:
    """What `inet_aton` takes for this address: one to four parts, each decimal, octal or hexadecimal."""
    number = int(ip)
    found = set()
    for parts in range(1, 5):
        numbers = [number >> 24 - 8 * at & 0xFF for at in range(parts - 1)]
        numbers.append(number & (1 << 8 * (5 - parts)) - 1)
        for write in ("{:d}", "0{:o}", "0x{:x}", "0X{:X}", "000{:o}"):
            found.add(".".join(map(write.format, numbers)))
            found.add(".".join([write.format(numbers[0]), *map(str, numbers[1:])]))
    return found - {str(ip)}


@given(inside_4, st.integers(0, 100))
def test_no_spelling_of_an_address_slips_through(ip: IPv4Address, choice: int) -> None:
    hosts = Hosts(["hooks.test", "*.test", "127.0.0.1", "10.0.0.0/8"])
    spellings = sorted(spellings_of(ip))
    spelling = spellings[choice % len(spellings)]
    assert socket.inet_aton(spelling) == ip.packed
    for host in (spelling, f"{spelling}.", spelling.replace(".", "\u3002") + "\u3002"):
        with pytest.raises(ValueError, match=r"unusual spelling|`xn--` form|no name"):
            hosts.check_url(f"http://{host}/")


@given(st.text(max_size=30))
def test_any_text_is_a_listed_place_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}@hooks.test/", f"http://hooks.test{text}"):
        try:
            target = HOSTS.check_url(url)
        except ValueError:
            continue
        if target.host[0].isdigit():
            assert ip_address(target.host) in ip_network("10.1.0.0/16") or target.host == "192.168.0.1"
        else:
            assert target.host in ("hooks.test", "ported.test", "xn--bcher-kva.test") or target.host.endswith(
                ".example.com"
            )
        assert target.path.startswith("/")
        assert target.path.isascii()
        assert target.path.isprintable()
