"""A response that was taken down comes out of its record as it went in, and a broken record says so."""

from hypothesis import given
from hypothesis import strategies as st

from mockware.captured import MAX_CAPTURED_BYTES, Captured
from mockware.questions import MAX_RECORD_BYTES

TEXT = st.text(st.characters(max_codepoint=255))  # Latin-1, as fields are
CAPTURED = st.one_of(
    st.builds(
        Captured,
        status=st.integers(200, 599),
        headers=st.lists(st.tuples(TEXT, TEXT), max_size=5).map(tuple),
        body=st.binary(),
    ),
    st.builds(Captured, reason=st.text(st.characters(codec="utf-8"), min_size=1)),
)


@given(CAPTURED)
def test_what_went_in_comes_out(captured: Captured) -> None:
    back = Captured.from_bytes(captured.to_bytes())
    assert back == captured
    assert type(back.headers) is tuple
    assert all(type(pair) is tuple for pair in back.headers)


@given(CAPTURED, st.data())
def test_a_record_that_lost_its_end_is_a_response_that_was_lost(
    captured: Captured, data: st.DataObject
) -> None:
    record = captured.to_bytes()
    end = data.draw(st.integers(0, record.index(b"\n") - 1))
    assert Captured.from_bytes(record[:end]) == Captured(reason="its record cannot be read")


@given(st.binary().filter(lambda data: not data.lstrip().startswith((b"[", b"{", b'"'))))
def test_garbage_is_a_response_that_was_lost(garbage: bytes) -> None:
    assert Captured.from_bytes(garbage) == Captured(reason="its record cannot be read")


@given(CAPTURED)
def test_a_record_holds_the_longest_body_with_its_fields(captured: Captured) -> None:
    fields = len(captured.to_bytes()) - len(captured.body)
    assert len(captured._replace(body=bytes(MAX_CAPTURED_BYTES)).to_bytes()) == MAX_CAPTURED_BYTES + fields
    assert fields < MAX_RECORD_BYTES - MAX_CAPTURED_BYTES


@given(st.integers().filter(lambda status: not 200 <= status <= 599))
def test_a_status_that_nobody_could_be_told_is_a_reason(status: int) -> None:
    assert Captured.from_bytes(Captured(status, (), b"x").to_bytes()) == Captured(
        reason=f"its status, {status}, is none that can be told"
    )
