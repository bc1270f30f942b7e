"""How a body goes onto the wire: in pieces that add up, as far as a fault lets it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.messages import Fault, Response
from mockware.pacing import pieces


def response(body: bytes, drip_s: float = 0.0, fault: Fault | None = None) -> Response:
    return Response(200, "OK", [], body, rule="r", drip_s=drip_s, fault=fault)


bodies = st.binary(max_size=2000)
drips = st.floats(0, 30)


@given(bodies, drips)
def test_the_pieces_are_the_body_and_their_waits_the_drip(body: bytes, drip_s: float) -> None:
    plan = list(pieces(response(body, drip_s)))
    assert b"".join(piece for _, piece in plan) == body
    assert all(piece for _, piece in plan), "an empty piece would end a chunked body"
    assert len(plan) <= max(1, drip_s * 10 + 1)
    if body:
        assert sum(wait_s for wait_s, _ in plan) == pytest.approx(drip_s)


@given(bodies, drips)
def test_a_cut_sends_half_of_it_in_half_the_time(body: bytes, drip_s: float) -> None:
    plan = list(pieces(response(body, drip_s, "cut")))
    assert b"".join(piece for _, piece in plan) == body[: len(body) // 2]
    assert sum(wait_s for wait_s, _ in plan) <= drip_s / 2 + 0.2


@pytest.mark.parametrize("fault", ["stall", "empty"])
def test_other_faults_send_nothing_of_it(fault: Fault) -> None:
    assert list(pieces(response(b"body", fault=fault))) == []


def test_a_single_byte_keeps_its_client_waiting_as_long_as_a_long_body() -> None:
    assert list(pieces(response(b"x", 5.0))) == [(5.0, b"x")]


def test_a_drip_ends_where_it_and_its_delay_reach_the_cap() -> None:
    late = response(b"abc", 20.0).after(25.0)
    assert sum(wait_s for wait_s, _ in pieces(late)) == pytest.approx(5)
    assert [wait_s for wait_s, _ in pieces(response(b"abc", 20.0).after(30.0))] == [0]


def test_a_body_comes_evenly() -> None:
    sizes = [len(piece) for _, piece in pieces(response(bytes(1003), 5.0))]
    assert len(sizes) == 50
    assert max(sizes) - min(sizes) <= 1
