"""The guard before the control API: whose key is right, and how often anybody may be wrong."""

import pytest

from mockware.control_guard import MAX_ADDRESSES, MAX_WRONG, WINDOW_S, Guard, RefusedError
from mockware.messages import Request


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


def status_of(guard: Guard, request: Request) -> int:
    try:
        guard.check(request)
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
    assert [status_of(guard, From("a", "x")) for _ in range(MAX_WRONG + 1)] == [401] * MAX_WRONG + [429]
    assert status_of(guard, From("b", "k")) == 200
    clock.now = WINDOW_S - 0.1
    assert status_of(guard, From("a", "k")) == 429
    clock.now = WINDOW_S
    assert status_of(guard, From("a", "k")) == 200
    # And a new minute begins, with a count of its own.
    assert [status_of(guard, From("a", "x")) for _ in range(MAX_WRONG + 1)] == [401] * MAX_WRONG + [429]


def test_as_many_addresses_are_remembered_as_there_is_room_for() -> None:
    guard = Guard("k", clock=Clock())
    for i in range(MAX_ADDRESSES + 5):
        guard_status = status_of(guard, From(f"10.0.{i // 256}.{i % 256}", "x"))
        assert guard_status == 401
    assert len(guard._wrong) == MAX_ADDRESSES


def test_behind_a_trusted_proxy_its_word_for_the_host_counts() -> None:
    fields = {"host": "inner:8000", "x-forwarded-host": "staging.test", "origin": "https://staging.test"}
    assert status_of(Guard("k", clock=Clock()), From("a", "k", **fields)) == 403
    assert status_of(Guard("k", clock=Clock(), trusts_forwarded=True), From("a", "k", **fields)) == 200
