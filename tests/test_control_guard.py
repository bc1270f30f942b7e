"""The guard before the control API: whose key is right, and how often anybody may be wrong."""

import hmac
import threading

import pytest

from mockware.attempts import MAX_ADDRESSES, MAX_WRONG, MAX_WRONG_OF_PROXY, WINDOW_S
from mockware.control_guard import Guard, RefusedError
from mockware.messages import Request
from mockware.tokens import Scope, TokenKey


class From(Request):
    """A request with an address that it comes from."""

    def __init__(self, client: str, presented: str, **headers: str) -> None:
        super().__init__("GET", "/", headers={"authorization": f"Bearer {presented}", **headers})
        self._client = client

    @property
    def client(self) -> str:  # type: ignore[override]
        return self._client


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def status_of(guard: Guard, request: Request, *, trusted: bool = False) -> int:
    try:
        guard.check(request, trusts_forwarded=trusted)
    except RefusedError as refused:
        return refused.status
    return 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(scheme: str) -> None:
    request = Request("GET", "/", headers={"authorization": f"{scheme} k"})
    assert status_of(Guard("k", clock=Clock()), request) == 200


def test_a_key_in_another_script_is_compared_by_its_bytes() -> None:
    guard = Guard("schlüssel-鍵", clock=Clock())
    assert status_of(guard, From("a", "schlüssel-鍵".encode().decode("latin-1"))) == 200
    assert status_of(guard, From("a", "schlüssel")) == 401
    assert status_of(guard, From("a", "鍵")) == 401  # what no server would hand on


@pytest.mark.parametrize("presented", ["", "k ", " k", "K", "kk", "k\0"])
def test_no_other_key_will_do(presented: str) -> None:
    expected = 200 if presented.strip(" ") == "k" else 401
    assert status_of(Guard("k", clock=Clock()), From("a", presented)) == expected


def test_one_address_that_guesses_locks_out_itself_alone_and_for_a_minute() -> None:
    clock = Clock()
    guard = Guard("k", clock=clock)
    guesses = [status_of(guard, From("a", f"x{i}")) for i in range(MAX_WRONG + 1)]
    assert guesses == [401] * MAX_WRONG + [429]
    assert status_of(guard, From("b", "k")) == 200
    clock.now = WINDOW_S - 0.1
    assert status_of(guard, From("a", "k")) == 429
    clock.now = WINDOW_S
    assert status_of(guard, From("a", "k")) == 200
    # And a new minute begins, with a count of its own.
    guesses = [status_of(guard, From("a", f"y{i}")) for i in range(MAX_WRONG + 1)]
    assert guesses == [401] * MAX_WRONG + [429]


def test_as_many_addresses_are_remembered_as_there_is_room_for() -> None:
    guard = Guard("k", clock=Clock())
    for i in range(MAX_ADDRESSES + 5):
        guard_status = status_of(guard, From(f"10.0.{i // 256}.{i % 256}", "x"))
        assert guard_status == 401
    assert len(guard._attempts._wrong) == MAX_ADDRESSES


def test_behind_a_trusted_proxy_its_word_for_the_host_counts() -> None:
    fields = {"host": "inner:8000", "x-forwarded-host": "staging.test", "origin": "https://staging.test"}
    assert status_of(Guard("k", clock=Clock()), From("a", "k", **fields)) == 403
    assert status_of(Guard("k", clock=Clock()), From("a", "k", **fields), trusted=True) == 200
    fields = {
        "host": "inner:8000",
        "forwarded": "host=staging.test;proto=https",
        "origin": "https://staging.test",
    }
    assert status_of(Guard("k", clock=Clock()), From("a", "k", **fields), trusted=True) == 200
    fields["origin"] = "https://evil.test"
    assert status_of(Guard("k", clock=Clock()), From("a", "k", **fields), trusted=True) == 403


def test_who_sends_a_token_is_told_that_it_opens_nothing() -> None:
    guard = Guard("k" * 32, clock=Clock())
    for key, said in (("k" * 32, "a token opens nothing here"), ("x" * 32, "this is not the value")):
        with pytest.raises(RefusedError, match=said) as refused:
            guard.check(From("a", TokenKey(key).sign(Scope())))
        assert refused.value.status == 401


def test_one_wrong_key_that_comes_again_and_again_locks_nobody_out() -> None:
    clock = Clock()
    guard = Guard("k", clock=clock)
    for _ in range(10 * MAX_WRONG):
        clock.now += 0.1
        assert status_of(guard, From("a", "an old one")) == 401
    assert status_of(guard, From("a", "k")) == 200
    # It has not made room for guesses, either.
    guesses = [status_of(guard, From("a", f"x{i}")) for i in range(MAX_WRONG)]
    assert guesses == [401] * (MAX_WRONG - 1) + [429]
    assert status_of(guard, From("a", "an old one")) == 429


def test_behind_a_trusted_proxy_each_client_is_counted_by_itself_and_all_together() -> None:
    guard = Guard("k", clock=Clock())

    def guess(key: str, client: str, header: str = "x-forwarded-for") -> int:
        return status_of(guard, From("proxy", key, **{header: client}), trusted=True)

    assert [guess(f"x{i}", "made up, 192.0.2.1") for i in range(MAX_WRONG)] == [401] * MAX_WRONG
    # What the client says of itself stands before, and changes nothing; neither do ports.
    for client in ("192.0.2.1", "another, 192.0.2.1", "192.0.2.1:4711"):
        assert guess("k", client) == 429
    assert guess("k", "192.0.2.2") == 200
    assert status_of(guard, From("proxy", "k"), trusted=True) == 200
    # Where the proxy lets clients write what they like, that gets them so far.
    spoofed = [guess(f"y{i}", f"10.0.0.{i}") for i in range(MAX_WRONG_OF_PROXY)]
    assert spoofed.count(401) == MAX_WRONG_OF_PROXY - MAX_WRONG
    assert guess("k", "192.0.2.3") == 429
    assert status_of(guard, From("elsewhere", "k"), trusted=True) == 200


def test_what_no_proxy_is_trusted_to_say_is_not_looked_at() -> None:
    guard = Guard("k", clock=Clock())
    guesses = [
        status_of(guard, From("a", f"x{i}", **{"x-forwarded-for": f"192.0.2.{i}"}))
        for i in range(MAX_WRONG + 1)
    ]
    assert guesses == [401] * MAX_WRONG + [429]


def test_all_addresses_of_one_ipv6_network_are_one() -> None:
    guard = Guard("k", clock=Clock())
    guesses = [status_of(guard, From(f"2001:db8::{i:x}:1", f"x{i}")) for i in range(MAX_WRONG + 1)]
    assert guesses == [401] * MAX_WRONG + [429]
    assert status_of(guard, From("2001:db8:0:1::1", "k")) == 200
    for i in range(MAX_WRONG + 1):
        status_of(guard, From("::ffff:192.0.2.1", f"x{i}"))
    assert status_of(guard, From("::ffff:192.0.2.2", "k")) == 200


def test_wrong_keys_are_kept_as_digests_that_no_other_process_can_make() -> None:
    one, other = Guard("k", clock=Clock()), Guard("k", clock=Clock())
    for guard in (one, other):
        assert status_of(guard, From("a", "hunter2")) == 401
    assert "hunter2" not in repr([vars(one), vars(one._attempts)])
    assert one._attempts._wrong["a"][1] != other._attempts._wrong["a"][1]


@pytest.mark.parametrize("presented", ["k", "", "x" * 5000, "a key of this test"])
def test_keys_are_compared_in_constant_time_and_as_digests(
    presented: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    guard = Guard("a key of this test", clock=Clock())
    monkeypatch.setattr("mockware.control_guard.hmac.compare_digest", spy)
    status = status_of(guard, From("a", presented))
    assert status == (200 if presented == "a key of this test" else 401)
    ((one, other),) = compared
    assert len(one) == len(other) == 64
    assert "a key of this test" not in repr(vars(guard))


def test_guesses_that_come_at_one_moment_are_counted_all_the_same() -> None:
    guard = Guard("k", clock=Clock())
    assert status_of(guard, From("a", "first")) == 401  # which begins the minute
    threads = [
        threading.Thread(target=status_of, args=(guard, From("a", f"x{i}"))) for i in range(MAX_WRONG - 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(guard._attempts._wrong["a"][1]) == MAX_WRONG
    assert status_of(guard, From("a", "k")) == 429
