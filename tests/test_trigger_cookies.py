"""The cookie that asks for a mock: that it fits into a browser, and gives what it was made for."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.environment import Environment
from mockware.exceptions import ConfigError
from mockware.messages import Request
from mockware.tokens import MAX_LIFETIME_S
from mockware.trigger_cookies import TriggerCookie, make_cookie
from mockware.triggers import Triggers

NOW = 1_800_000_000.25
NAME = "m" * 64
ENVIRONMENT = Environment(enabled=True, why="", key="a key of this test", service="s" * 64)
TRIGGERS = Triggers(key=ENVIRONMENT.key, service=ENVIRONMENT.service, cookie=NAME)

# RFC 6265 section 6.1: user agents have room for "at least 4096 bytes per cookie".
MAX_COOKIE_BYTES = 4096


def made(**given: object) -> TriggerCookie:
    return make_cookie(given, TRIGGERS, ENVIRONMENT, NOW)


def test_the_longest_cookie_fits_into_a_browser() -> None:
    longest = 0
    # Of what no compression makes less.
    path = "/" + "".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(8))
    for count in range(1, 200):
        try:
            cookie = made(status=",".join(f"{200 + i}:1" for i in range(count)), paths=[path])
        except ConfigError:
            break
        longest = len(cookie.name) + len(cookie.value)
        assert longest <= MAX_COOKIE_BYTES
    assert longest > 2000


def test_a_cookie_never_ends_before_its_time_nor_a_second_after() -> None:
    assert NOW + 1 <= made(status="503", **{"for": "1s"}).expires_at < NOW + 2
    assert made(status="503", **{"for": "168h"}).expires_at < NOW + MAX_LIFETIME_S + 1
    cookie = made(status="503", **{"for": "168h"})
    request = Request("GET", "/", headers={"cookie": f"{NAME}={cookie.value}"})
    assert TRIGGERS.read(request, lambda: NOW) is not None


@given(st.lists(st.integers(200, 599), min_size=1, max_size=20), st.sampled_from(["", ":1", ":0.25"]))
def test_what_a_cookie_asks_for_is_read_again(statuses: list[int], weight: str) -> None:
    asked = ",".join(f"{status}{weight}" for status in statuses)
    cookie = made(status=asked)
    request = Request("GET", "/any", headers={"cookie": f"a=b; {NAME}={cookie.value}; c=d"})
    found = TRIGGERS.read(request, lambda: NOW)
    by_field = Triggers().read(Request("GET", "/any", headers={"x-mock-status": asked}))
    assert found == by_field
    assert cookie.allows.statuses == tuple(sorted(set(statuses)))


@pytest.mark.parametrize("status", ["passthrough", "503:1,passthrough:1"])
def test_a_cookie_may_ask_for_the_app(status: str) -> None:
    request = Request("GET", "/", headers={"cookie": f"{NAME}={made(status=status).value}"})
    assert TRIGGERS.read(request, lambda: NOW) is not None
