"""A trigger is read into a choice of replies or into a refusal that says why, never into an exception."""

import hmac
import json
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mockware.attempts import MAX_WRONG, WINDOW_S, Attempts
from mockware.messages import Request, Response
from mockware.tokens import MAX_TOKEN_CHARS, Scope, TokenKey
from mockware.triggers import (
    GRAMMAR,
    MAX_BAGGAGE_CHARS,
    MAX_VALUE_CHARS,
    Choice,
    Trigger,
    TriggerFields,
    Triggers,
    draw,
    parse_choices,
)

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

STATUS, NAME, DELAY, KEY = "x-mock-status", "x-mock-name", "x-mock-delay", "x-mock-key"
ONE_202 = Trigger((Choice(202, 1.0),))
ONE_503 = Trigger((Choice(503, 1.0),))


def read(headers: dict[str, str], *, path: str = "/", **limits: Any) -> Trigger | Response | None:
    return Triggers(**limits).read(Request("GET", path, headers=headers))


def refusal(headers: dict[str, str], **limits: Any) -> str:
    """The detail of the 400 that these headers get, which is a proper one."""
    response = read(headers, **limits)
    assert isinstance(response, Response)
    return detail_of(response)


def detail_of(response: Response) -> str:
    """The detail of a 400 for a trigger, having seen that it is fit to be sent to anybody."""
    fields = dict(response.headers)
    assert response.status == 400
    assert fields["Content-Type"] == "application/problem+json"
    assert fields["Content-Length"] == str(len(response.body))
    assert fields["X-Mock-Rule"] == "trigger"
    assert fields["Cache-Control"] == "no-store"
    assert len(response.body) < 1000
    assert response.body.isascii()
    problem = json.loads(response.body)
    assert (problem["title"], problem["status"]) == ("Bad Request", 400)
    detail: str = problem["detail"]
    assert detail.isascii()
    assert detail.isprintable()
    return detail


# The grammar of X-Mock-Status


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        ("202", [(202, 1.0)]),
        (" 202\t", [(202, 1.0)]),
        ("200", [(200, 1.0)]),
        ("599", [(599, 1.0)]),
        ("passthrough", [(None, 1.0)]),
        ("200,503", [(200, 1.0), (503, 1.0)]),
        ("200 ,\t503", [(200, 1.0), (503, 1.0)]),
        ("200:0.9,503:0.1", [(200, 0.9), (503, 0.1)]),
        ("200:3,503", [(200, 3.0), (503, 1.0)]),
        ("passthrough:0.75,503:0.25", [(None, 0.75), (503, 0.25)]),
        ("200:0,503:1", [(200, 0.0), (503, 1.0)]),
        ("503,503", [(503, 1.0), (503, 1.0)]),
        ("200:999999999.999999999", [(200, 999999999.999999999)]),
    ],
)
def test_a_value_is_one_answer_or_a_list_of_them_with_or_without_weights(
    value: str, choices: list[tuple[int | None, float]]
) -> None:
    assert parse_choices(value) == tuple(Choice(*choice) for choice in choices)


weights = st.none() | st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9})?", fullmatch=True)
items = st.tuples(st.none() | st.integers(200, 599), weights)
blanks = st.text(" \t", max_size=2)


@unhurried
@given(st.lists(st.tuples(items, blanks, blanks), min_size=1, max_size=12))
def test_every_value_of_the_grammar_is_read_back(made: list[Any]) -> None:
    model = [Choice(status, 1.0 if weight is None else float(weight)) for (status, weight), _, _ in made]
    value = ",".join(
        f"{before}{status or 'passthrough'}{'' if weight is None else ':' + weight}{behind}"
        for (status, weight), before, behind in made
    )
    if any(weight for _, weight in model):
        assert parse_choices(value) == tuple(model)
    else:
        with pytest.raises(ValueError, match="add up to nothing"):
            parse_choices(value)


NOT_OF_THE_GRAMMAR = [
    "",
    " ",
    ",",
    "202,",
    ",202",
    "202,,503",
    "+202",
    "-202",
    "2_02",
    "0202",
    "202.0",
    "2e2",
    "0xca",
    "20",
    "2020",
    "199",
    "600",
    "100",
    "999",
    "\u0662\u0660\u0662",  # ARABIC-INDIC DIGITS
    "\uff12\uff10\uff12",  # FULLWIDTH DIGITS
    "\u00b202",  # SUPERSCRIPT TWO
    "20\u0662",
    "202\n",
    "202\x00",
    "\xa0202",
    "\u2003202",
    "202 503",
    "202;503",
    "abc",
    "Passthrough",
    "passthrough202",
    "null",
    "202\r\nSet-Cookie: a=b",
    "<script>alert(1)</script>",
    "${jndi:ldap://a}",
    "\x1b[31mred",
    "\u202e202",
    "\ud800",
    "\U0001f600" * 50,
]


@pytest.mark.parametrize("value", NOT_OF_THE_GRAMMAR, ids=ascii)
def test_anything_else_is_refused_with_the_value_quoted_and_the_grammar(value: str) -> None:
    detail = refusal({STATUS: value})
    assert detail.startswith(f"X-Mock-Status: {ascii(value)[:60]}")
    assert detail.lower().endswith(GRAMMAR.lower())


@pytest.mark.parametrize(
    "value",
    [
        "202:",
        "202: 1",
        "202 :1",
        "202:-1",
        "202:+1",
        "202:1e3",
        "202:.5",
        "202:1.",
        "202:nan",
        "202:inf",
        "202:1:2",
    ],
)
def test_a_weight_that_is_no_number_is_refused(value: str) -> None:
    detail = refusal({STATUS: value})
    assert GRAMMAR in detail


@pytest.mark.parametrize("value", ["202:\u0661", "202:" + "1" * 10, "202:0." + "1" * 10])
def test_a_weight_has_ascii_digits_and_an_end(value: str) -> None:
    assert "a weight is a number such as 0.25" in refusal({STATUS: value})


def test_weights_that_add_up_to_nothing_are_refused() -> None:
    assert "the weights add up to nothing" in refusal({STATUS: "200:0,503:0.0"})


@pytest.mark.parametrize("length", [MAX_VALUE_CHARS + 1, 65_536, 10_000_000])
def test_a_value_of_any_length_is_refused_and_shortened(length: int) -> None:
    for value in ("2" * length, ("202," * length)[:length], "\xff" * length):
        assert f"longer than {MAX_VALUE_CHARS} characters" in refusal({STATUS: value})


def test_a_value_may_be_as_long_as_the_bound() -> None:
    value = "202" + "," * 1 + ",".join(["503"] * 255)
    value = value[:MAX_VALUE_CHARS].rstrip(",")
    assert len(parse_choices(value + " " * (MAX_VALUE_CHARS - len(value)))) == 256


hostile = st.text() | st.text("0123456789:,. passthrough+-_\t\x00\r\n\u0662") | st.text(min_size=1000)


@unhurried
@given(hostile)
@example("202,")
def test_any_text_at_all_is_a_choice_of_answers_or_a_proper_400(value: str) -> None:
    found = read({STATUS: value})
    if isinstance(found, Trigger):
        assert all(status is None or 200 <= status <= 599 for status, _ in found.choices)
        assert any(weight > 0 for _, weight in found.choices)
    else:
        assert isinstance(found, Response)
        assert detail_of(found).startswith("X-Mock-Status: ")


@unhurried
@given(st.dictionaries(st.sampled_from([STATUS, NAME, DELAY, KEY, "baggage"]), hostile))
def test_any_headers_at_all_are_a_trigger_a_proper_400_or_nothing(headers: dict[str, str]) -> None:
    limits: list[dict[str, Any]] = [
        {},
        {"service": "orders"},
        {"key": "s3cret", "service": "orders"},
        {"statuses": {202}},
    ]
    for limit in limits:
        found = read(headers, **limit)
        if isinstance(found, Response):
            detail_of(found)
        else:
            assert found is None or isinstance(found, Trigger)


# The draw


def counts(value: str, grid: int) -> Counter[int | None]:
    """How often each answer is drawn, fed with chances that lie evenly between 0 and 1."""
    choices = parse_choices(value)
    return Counter(draw(choices, (i + 0.5) / grid) for i in range(grid))


@pytest.mark.parametrize(
    ("value", "shares"),
    [
        ("202", {202: 1.0}),
        ("200,503", {200: 0.5, 503: 0.5}),
        ("200,503,503,429", {200: 0.25, 503: 0.5, 429: 0.25}),
        ("200:0.9,503:0.1", {200: 0.9, 503: 0.1}),
        ("200:9,503:1", {200: 0.9, 503: 0.1}),
        ("200:90000000,503:10000000", {200: 0.9, 503: 0.1}),
        ("passthrough:0.75,503:0.25", {None: 0.75, 503: 0.25}),
        ("200:0,503:0.000000001", {503: 1.0}),
        ("200:3,503", {200: 0.75, 503: 0.25}),
    ],
)
def test_answers_are_drawn_in_the_proportion_of_their_weights(
    value: str, shares: dict[int | None, float]
) -> None:
    drawn = counts(value, 10_000)
    assert drawn.keys() == shares.keys()
    for status, share in shares.items():
        assert drawn[status] == pytest.approx(share * 10_000, abs=1)


some_weights = st.lists(st.floats(0, 1e9, allow_subnormal=False), min_size=1, max_size=6)


@unhurried
@given(some_weights.filter(any), st.floats(0, 1, exclude_max=True))
@example([0.1] * 6, 0.9999999999999999)
@example([0.1, 0.0], 0.9999999999999999)
@example([0.0, 0.1], 0.0)
def test_what_is_drawn_always_has_a_weight(made: list[float], chance: float) -> None:
    choices = tuple(Choice(200 + i, weight) for i, weight in enumerate(made))
    drawn = draw(choices, chance)
    assert drawn is not None
    assert made[drawn - 200] > 0


@unhurried
@given(some_weights.filter(any), st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=20))
def test_a_higher_chance_never_draws_an_earlier_answer(made: list[float], chances: list[float]) -> None:
    choices = tuple(Choice(200 + i, weight) for i, weight in enumerate(made))
    drawn = [draw(choices, chance) or 0 for chance in sorted(chances)]
    assert drawn == sorted(drawn)


# Which of the fields counts


def test_a_request_without_any_of_the_fields_asks_for_nothing() -> None:
    assert read({}) is None
    assert read({"x-mock-rule": "down", "x-mock-key": "k", "accept": "202"}) is None


@pytest.mark.parametrize(
    ("headers", "trigger"),
    [
        ({STATUS: "202"}, ONE_202),
        ({NAME: "down"}, Trigger(name="down")),
        ({NAME: ""}, Trigger(name="")),
        ({DELAY: "2s"}, Trigger(delay_s=2.0)),
        ({DELAY: " 250ms\t"}, Trigger(delay_s=0.25)),
        ({DELAY: "0s"}, Trigger(delay_s=0.0)),
        ({STATUS: "202", DELAY: "2s"}, ONE_202._replace(delay_s=2.0)),
        ({NAME: "down", DELAY: "2s"}, Trigger(name="down", delay_s=2.0)),
        ({STATUS: "202", NAME: "down"}, ONE_202),
        ({"baggage": "mock.orders=503"}, ONE_503),
        ({"baggage": "mock.orders=503", DELAY: "2s"}, ONE_503._replace(delay_s=2.0)),
        ({STATUS: "202", "baggage": "mock.orders=503"}, ONE_202),
        ({NAME: "down", "baggage": "mock.orders=503"}, Trigger(name="down")),
        ({STATUS: "202", NAME: "down", "baggage": "mock.orders=503"}, ONE_202),
    ],
)
def test_the_status_goes_before_the_name_and_the_name_before_baggage(
    headers: dict[str, str], trigger: Trigger
) -> None:
    assert read(headers, service="orders") == trigger


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({STATUS: "bad", NAME: "down"}, "X-Mock-Status: 'bad': "),
        ({STATUS: "bad", "baggage": "mock.orders=503"}, "X-Mock-Status: 'bad': "),
        ({STATUS: "202", DELAY: "5"}, "X-Mock-Delay: '5': "),
        ({NAME: "down", DELAY: "soon"}, "X-Mock-Delay: 'soon': "),
        ({"baggage": "mock.orders=bad"}, "baggage mock.orders: 'bad': "),
        ({"baggage": "mock.orders=503", DELAY: "bad"}, "X-Mock-Delay: 'bad': "),
    ],
)
def test_a_refusal_names_the_field_that_is_wrong(headers: dict[str, str], field: str) -> None:
    assert refusal(headers, service="orders").startswith(field)


@pytest.mark.parametrize("value", ["", "5", "2", "1h", "31s", "-1s", "1s,2s", "\u0661s", "1" * 100_000 + "s"])
def test_a_delay_that_is_none_or_too_long_is_refused(value: str) -> None:
    detail = refusal({DELAY: value})
    assert detail.startswith("X-Mock-Delay: ")
    hint = f"write `{value}s` or `{value}ms`" if value.isdigit() else "`250ms`, `2s`, `1m` or `24h`"
    assert hint in detail or "at most 30s" in detail


def test_who_misspells_passthrough_is_told() -> None:
    detail = refusal({STATUS: "passtrough:0.5,503"})
    assert ": did you mean `passthrough`? Expected a status from 200 to 599 or `passthrough`, or" in detail


def test_a_repeated_field_counts_as_one_list() -> None:
    # As an adapter hands it on: RFC 9110 section 5.3.
    assert read({STATUS: "200,503"}) == Trigger((Choice(200, 1.0), Choice(503, 1.0)))


def test_the_fields_that_can_be_a_trigger_are_watched() -> None:
    assert Triggers().watched == {STATUS, NAME, DELAY}
    assert Triggers(service="orders").watched == {STATUS, NAME, DELAY, "baggage"}
    assert Triggers(service="orders", key="s3cret").watched == {STATUS, NAME, DELAY, "baggage"}
    assert Triggers(key="s3cret").watched == {STATUS, NAME, DELAY}


@unhurried
@given(st.dictionaries(st.sampled_from([STATUS, NAME, DELAY, KEY, "baggage", "accept"]), st.just("202")))
def test_a_request_without_a_watched_field_has_no_trigger(headers: dict[str, str]) -> None:
    for triggers in (Triggers(), Triggers(service="orders"), Triggers(service="orders", key="202")):
        if not triggers.watched & headers.keys():
            assert triggers.read(Request("GET", "/", headers=headers)) is None


# The limits of a `[trigger]` table


def test_statuses_that_are_not_allowed_are_refused_with_those_that_are() -> None:
    assert read({STATUS: "202"}, statuses={202, 503}) == ONE_202
    assert read({STATUS: "passthrough"}, statuses={202}) == Trigger((Choice(None, 1.0),))
    detail = refusal({STATUS: "202,404:0"}, statuses={503, 202})
    assert detail.endswith("the rules file allows triggers these statuses only: 202, 503")


def test_the_refusal_of_a_status_has_an_end_however_many_are_allowed() -> None:
    many = set(range(200, 599))
    refused = read({STATUS: "599"}, statuses=many)
    assert isinstance(refused, Response)
    assert len(refused.body) < 2500


def test_baggage_keeps_to_the_allowed_statuses_as_well() -> None:
    headers = {"baggage": "mock.orders=404"}
    assert "allows triggers these statuses only" in refusal(headers, statuses={202}, service="orders")


@pytest.mark.parametrize("headers", [{STATUS: "202"}, {STATUS: "bad"}, {NAME: "down"}, {DELAY: "1s"}])
def test_outside_of_its_paths_a_trigger_is_as_if_absent(headers: dict[str, str]) -> None:
    paths = ("/api/", "/v2/")
    for path in ("/", "/api", "/other/api/", "/API/x", "/v1/"):
        assert read(headers, path=path, paths=paths) is None
    for path in ("/api/", "/api/x", "/v2/y"):
        assert read(headers, path=path, paths=paths) is not None


def test_the_longest_delay_can_be_made_shorter() -> None:
    assert read({DELAY: "2s"}, max_delay_s=2.0) == Trigger(delay_s=2.0)
    assert refusal({DELAY: "2.001s"}, max_delay_s=2.0).endswith(
        "the rules file allows triggers delays of at most 2s"
    )


def test_renamed_fields_are_heeded_and_the_usual_ones_are_not() -> None:
    fields = TriggerFields("X-Demo-Status", "X-Demo-Name", "X-Demo-Delay", "X-Demo-Key")
    triggers = Triggers(fields=fields)
    assert triggers.watched == {"x-demo-status", "x-demo-name", "x-demo-delay"}
    assert triggers.read(Request("GET", "/", headers={STATUS: "202", NAME: "a", DELAY: "1s"})) is None
    headers = {"x-demo-status": "202", "x-demo-delay": "1s"}
    assert triggers.read(Request("GET", "/", headers=headers)) == ONE_202._replace(delay_s=1.0)
    refused = triggers.read(Request("GET", "/", headers={"x-demo-status": "bad"}))
    assert isinstance(refused, Response)
    assert detail_of(refused).startswith("X-Demo-Status: 'bad': ")
    assert dict(refused.headers)["Vary"] == "X-Demo-Status"


def test_a_refusal_varies_by_the_field_that_was_refused() -> None:
    refused = read({STATUS: "bad"})
    assert isinstance(refused, Response)
    assert dict(refused.headers)["Vary"] == "X-Mock-Status"


# The key


@pytest.mark.parametrize(
    "headers", [{STATUS: "202"}, {STATUS: "bad"}, {NAME: "down"}, {DELAY: "1s"}, {DELAY: "bad"}]
)
@pytest.mark.parametrize("key", [None, "", "s3cre", "s3cret ", "S3CRET", "s3crets", "\xff", "é"])
def test_without_the_right_key_the_other_fields_are_as_if_absent(
    headers: dict[str, str], key: str | None
) -> None:
    given_key = {} if key is None else {KEY: key}
    assert read({**headers, **given_key}, key="s3cret") is None


def test_with_the_right_key_the_other_fields_count() -> None:
    assert read({STATUS: "202", KEY: "s3cret"}, key="s3cret") == ONE_202
    assert refusal({STATUS: "bad", KEY: "s3cret"}, key="s3cret").startswith("X-Mock-Status: ")


def test_the_key_alone_asks_for_nothing() -> None:
    assert read({KEY: "s3cret"}, key="s3cret") is None


def test_a_key_is_not_asked_for_where_none_is_set() -> None:
    assert read({STATUS: "202", KEY: "whatever"}) == ONE_202


def test_a_key_beyond_ascii_is_compared_by_its_bytes() -> None:
    # Field values reach a server as bytes, and the core as Latin-1.
    sent = "schlüssel-€".encode().decode("latin-1")
    assert read({STATUS: "202", KEY: sent}, key="schlüssel-€") == ONE_202
    assert read({STATUS: "202", KEY: "schl?ssel-?"}, key="schlüssel-€") is None
    # What is no UTF-8 comes out of `os.environ` with its bytes as lone surrogates.
    assert read({STATUS: "202", KEY: "k\xff"}, key="k\udcff") == ONE_202


def test_the_key_is_looked_for_in_a_renamed_field() -> None:
    fields = TriggerFields(key="X-Demo-Key")
    assert read({STATUS: "202", "x-demo-key": "s3cret"}, key="s3cret", fields=fields) == ONE_202
    assert read({STATUS: "202", KEY: "s3cret"}, key="s3cret", fields=fields) is None


def test_the_key_is_compared_in_constant_time_and_not_kept_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    triggers = Triggers(key="s3cret")
    triggers.tell_wrong_key = lambda field: None
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in ("s3cret", "s", "x" * 10_000):
        triggers.read(Request("GET", "/", headers={STATUS: "202", KEY: key}))
    assert len(compared) == 3
    assert {len(digest) for pair in compared for digest in pair} == {32}
    assert "s3cret" not in repr(vars(triggers))


class From(Request):
    """A request for a 202, with the address that it comes from and the key that it shows."""

    def __init__(self, client: str, key: str, **headers: str) -> None:
        super().__init__("GET", "/", headers={STATUS: "202", KEY: key, **headers})
        self._client = client

    @property
    def client(self) -> str:  # type: ignore[override]
        return self._client


def test_an_address_that_guesses_is_not_told_which_key_is_right_for_a_minute() -> None:
    told: list[str] = []
    now = [0.0]
    triggers = Triggers(key=SECRET)
    triggers.tell_wrong_key = told.append
    triggers._attempts = Attempts(clock=lambda: now[0])
    for i in range(MAX_WRONG - 1):
        assert triggers.read(From("a", f"x{i}")) is None
    # One that was refused before tells nobody anything.
    assert triggers.read(From("a", "x0")) is None
    assert triggers.read(From("a", SECRET)) is not None
    assert triggers.read(From("a", "one more")) is None
    assert triggers.read(From("a", SECRET)) is None
    assert len(told) == MAX_WRONG + 2
    # Nobody guesses a token, nor does anybody else's address.
    assert triggers.read(From("a", TokenKey(SECRET).sign(Scope(expires_at=time.time() + 60)))) is not None
    assert triggers.read(From("b", SECRET)) is not None
    assert triggers.apart().read(From("a", SECRET)) is not None
    now[0] = WINDOW_S
    assert triggers.read(From("a", SECRET)) is not None


def test_behind_a_trusted_proxy_each_client_guesses_for_itself() -> None:
    triggers = Triggers(key=SECRET, trusts_forwarded=True)
    triggers.tell_wrong_key = lambda field: None
    for i in range(MAX_WRONG):
        triggers.read(From("proxy", f"x{i}", **{"x-forwarded-for": "192.0.2.1"}))
    assert triggers.read(From("proxy", SECRET, **{"x-forwarded-for": "192.0.2.1"})) is None
    assert triggers.read(From("proxy", SECRET, **{"x-forwarded-for": "192.0.2.2"})) is not None


# Tokens

SECRET = "a secret of this test"
NOON = 1_795_435_200.0  # 2026-11-23T12:00:00Z
LATER = NOON + 3600


def signed(**allowed: Any) -> str:
    return TokenKey(SECRET).sign(Scope(**{"expires_at": LATER, **allowed}))


def keyed(headers: dict[str, str], *, path: str = "/", now: float = NOON, **limits: Any) -> Any:
    triggers = Triggers(**{"key": SECRET, "service": "orders", **limits})
    return triggers.read(Request("GET", path, headers=headers), lambda: now)


def forbidden(response: Any) -> str:
    """The detail of a 403 for a token, having seen that it is fit to be sent to anybody."""
    assert isinstance(response, Response)
    fields = dict(response.headers)
    assert (response.status, fields["Content-Type"]) == (403, "application/problem+json")
    assert (fields["X-Mock-Rule"], fields["Cache-Control"]) == ("trigger", "no-store")
    assert len(response.body) < 1000
    detail: str = json.loads(response.body)["detail"]
    assert detail.isascii()
    assert detail.isprintable()
    return detail


def showing(token: str, headers: dict[str, str]) -> list[dict[str, str]]:
    """The same wish with a token in the header and, if it is one for a status, in both forms of baggage."""
    ways = [{**headers, KEY: token}]
    if headers.keys() == {STATUS}:
        ways.append({"baggage": f"user=ada,mock.orders={quote(headers[STATUS])};key={token}"})
        ways.append({"baggage": f"mock.orders={quote(headers[STATUS])}%3Bkey%3D{token}"})
        ways.append({"baggage": f"mock.orders = {quote(headers[STATUS])} ; ttl=5 ; key = {token} ;x"})
    return ways


@pytest.mark.parametrize(
    ("headers", "trigger"),
    [
        ({STATUS: "503"}, ONE_503),
        ({STATUS: "202,503"}, Trigger((Choice(202, 1.0), Choice(503, 1.0)))),
        ({STATUS: "passthrough"}, Trigger((Choice(None, 1.0),))),
        ({STATUS: "503", DELAY: "2s"}, ONE_503._replace(delay_s=2.0)),
        ({NAME: "GET /caf%C3%A9"}, Trigger(name="GET /café")),
        ({DELAY: "2s"}, Trigger(delay_s=2.0)),
        ({}, None),
    ],
)
def test_within_its_scope_a_token_is_as_good_as_the_key(
    headers: dict[str, str], trigger: Trigger | None
) -> None:
    token = signed(
        paths=("/a/*",), statuses=(503, 202), names=("GET /café",), max_delay_s=2.0, service="orders"
    )
    for sent in showing(token, headers):
        assert keyed(sent, path="/a/b") == trigger


@pytest.mark.parametrize(
    ("allowed", "headers", "reason"),
    [
        ({"expires_at": NOON}, {STATUS: "503"}, "{shown}: the token has expired at 2026-11-23 12:00:00 UTC"),
        (
            {"paths": ("/b/*",)},
            {STATUS: "503"},
            "{shown}: the token is for the paths '/b/*', and this is '/a'",
        ),
        ({"service": "shop"}, {STATUS: "503"}, "{shown}: the token is for the service 'shop', and this is"),
        ({"statuses": (202,)}, {STATUS: "503"}, "{field}: 503: the token allows these statuses only: '202'"),
        ({"statuses": (202,)}, {STATUS: "202,503:0"}, "{field}: 503: the token allows"),
        ({"statuses": ()}, {STATUS: "503"}, "{field}: 503: the token allows no statuses"),
        ({"names": ("up",)}, {NAME: "down"}, "X-Mock-Name: 'down': the token allows these rules only: 'up'"),
        ({"expires_at": NOON}, {NAME: "down"}, "X-Mock-Key: the token has expired"),
        ({"max_delay_s": 1.0}, {DELAY: "2s"}, "X-Mock-Delay: 2s: the token allows delays of at most 1s"),
        ({"expires_at": NOON}, {DELAY: "2s"}, "X-Mock-Key: the token has expired"),
        ({"max_delay_s": 1.0}, {STATUS: "503", DELAY: "2s"}, "X-Mock-Delay: 2s: the token allows"),
        ({"paths": ("/b",)}, {STATUS: "nonsense"}, "{shown}: the token is for the paths"),
    ],
)
def test_beyond_it_the_holder_is_told_why(allowed: Any, headers: dict[str, str], reason: str) -> None:
    token = signed(**allowed)
    for sent in showing(token, headers):
        in_baggage = "baggage" in sent
        shown = "baggage mock.orders" if in_baggage else "X-Mock-Key"
        field = "baggage mock.orders" if in_baggage else "X-Mock-Status"
        detail = forbidden(keyed(sent, path="/a"))
        assert detail.startswith(reason.format(shown=shown, field=field))
        assert token[:40] not in detail
        assert SECRET not in detail


def asking(
    way: str, status: str, shown: dict[str, str], *, path: str = "/a", also: str = "", **limits: Any
) -> Any:
    """What a query or a cookie gets for a status, `shown` being sent as well."""
    query = f"mock={status}" if way == "query" else also
    cookies = {"cookie": f"mock={status}"} if way == "cookie" else {}
    triggers = Triggers(**{"key": SECRET, "service": "orders", "query": "mock", "cookie": "mock", **limits})
    triggers.tell_wrong_key = lambda field: None
    return triggers.read(Request("GET", path, query, headers={**cookies, **shown}), lambda: NOON)


@pytest.mark.parametrize("way", ["query", "cookie"])
def test_a_query_and_a_cookie_may_ask_for_what_the_key_field_allows(way: str) -> None:
    field = "query parameter mock" if way == "query" else "cookie mock"
    token = signed(statuses=(503,), paths=("/a",), service="orders")
    assert asking(way, "503", {KEY: SECRET}) == ONE_503
    assert asking(way, "503", {KEY: token}) == ONE_503
    assert asking(way, "503", {}) is None
    assert asking(way, "503", {KEY: "wrong"}) is None
    assert forbidden(asking(way, "202", {KEY: token})).startswith(f"{field}: 202: the token allows")
    assert forbidden(asking(way, "503", {KEY: token}, path="/b")).startswith("X-Mock-Key: the token is for")
    assert forbidden(asking(way, "503", {KEY: signed(expires_at=NOON)})).startswith(
        "X-Mock-Key: the token has"
    )
    assert asking(way, "503", {KEY: token}, paths=("/b",)) is None
    assert detail_of(asking(way, "5o3", {KEY: token})).startswith(f"{field}: '5o3'")


def test_baggage_stands_between_the_query_and_the_cookie_with_its_own_token() -> None:
    member = {"baggage": f"mock.orders=202;key={signed(statuses=(202,))}"}
    token = {KEY: signed(statuses=(503,))}
    assert asking("query", "503", {**member, **token}) == ONE_503
    assert asking("query", "503", member) == ONE_202, "no key field: the query is as if absent"
    assert asking("cookie", "503", {**member, **token}) == ONE_202
    assert asking("cookie", "503", {"baggage": "mock.orders=202", **token}) == ONE_503
    assert asking("cookie", "503", {**member, **token, STATUS: "503"}) == ONE_503
    assert asking("cookie", "202", token, also="mock=503") == ONE_503


LISTED = "https://app.test"


@pytest.mark.parametrize(
    ("site", "origin", "heeded"),
    [
        (None, None, True),
        ("none", None, True),
        ("same-origin", LISTED, True),
        ("same-site", "https://other.test", True),
        ("cross-site", None, False),
        ("cross-site", "https://evil.test", False),
        ("cross-site", "null", False),
        ("cross-site", LISTED, True),
    ],
)
def test_a_query_is_heeded_from_other_sites_only_if_they_are_listed(
    site: str | None, origin: str | None, heeded: bool
) -> None:
    sent = {"sec-fetch-site": site, "origin": origin}
    headers = {name: value for name, value in sent.items() if value is not None}
    triggers = Triggers(query="mock", trusted_origins={LISTED})
    found = triggers.read(Request("GET", "/a", "mock=503", headers=headers))
    assert found == (ONE_503 if heeded else None)


def in_cookie(value: str, path: str = "/a", shown: Any = None, **limits: Any) -> Any:
    """What the cookie gets, whose `value` is encoded here as scripts do it."""
    return asking("cookie", quote(value, safe=""), shown or {}, path=path, **limits)


def test_a_cookie_may_have_a_token_of_its_own_which_needs_nothing_beside_it() -> None:
    token = signed(statuses=(503,), paths=("/a",), service="orders")
    assert in_cookie(f"503;key={token}") == ONE_503
    assert in_cookie(f"503;key={token}", shown={KEY: "wrong"}) == ONE_503
    assert in_cookie(f"503;key={token}", shown={KEY: signed(statuses=(202,))}) == ONE_503
    assert in_cookie(f"503 ; key = {token} ; more") == ONE_503
    assert in_cookie(f"503;key={token}", key="") == ONE_503, "no key is set: anybody may"
    assert in_cookie(f"503;key={token}", paths=("/b",)) is None, "the rules file leaves the path out"


def test_the_token_of_a_cookie_allows_nothing_else() -> None:
    token = signed(statuses=(503,))
    detail = forbidden(in_cookie(f"202;key={token}"))
    assert detail.startswith("cookie mock: 202: the token allows these statuses only")
    assert token[:40] not in detail
    detail = detail_of(in_cookie(f"5o3;key={token}"))
    assert detail.startswith("cookie mock: '5o3'")
    assert token[:40] not in detail
    triggers = Triggers(key=SECRET, cookie="mock")
    sent = {"cookie": f"mock=503%3Bkey%3D{signed()}", DELAY: "2s"}
    assert triggers.read(Request("GET", "/a", headers=sent), lambda: NOON) == ONE_503, "and no delay"
    sent = {"cookie": f"mock=503%3Bkey%3D{signed()}", NAME: "r"}
    assert triggers.read(Request("GET", "/a", headers=sent), lambda: NOON) == ONE_503, "and no rule"


@pytest.mark.parametrize(
    "allowed", [{"expires_at": NOON}, {"paths": ("/b", "/a/*")}, {"service": "billing"}], ids=str
)
def test_where_and_when_its_token_does_not_hold_a_cookie_is_as_if_absent(allowed: Any) -> None:
    assert in_cookie(f"503;key={signed(**allowed)}") is None
    assert in_cookie(f"503;key={signed(**allowed)}", shown={DELAY: "1s", KEY: SECRET}) == Trigger(delay_s=1.0)


def test_no_cookie_has_the_key_itself_or_a_token_of_another_key() -> None:
    told: list[str] = []
    triggers = Triggers(key=SECRET, cookie="mock")
    triggers.tell_wrong_key = told.append
    for token in (SECRET, TokenKey("another key of theirs").sign(Scope()), signed()[:-1], "", "x" * 5000):
        sent = {"cookie": f"mock=503%3Bkey%3D{quote(token, safe='')}"}
        assert triggers.read(Request("GET", "/a", headers=sent), lambda: NOON) is None
    assert told == ["cookie mock"] * 5


def test_a_token_that_does_not_suffice_is_no_matter_where_nothing_is_asked_for() -> None:
    for token in (signed(expires_at=NOON), signed(paths=("/b",))):
        assert keyed({KEY: token}) is None
        assert keyed({"baggage": f"mock.shop=503;key={token}"}) is None


def test_what_is_wrong_is_refused_as_ever_within_a_scope() -> None:
    for sent in showing(signed(), {STATUS: "5o3"}):
        assert "'5o3'" in detail_of(keyed(sent))
    for sent in showing(signed(), {STATUS: "404"}):
        assert "the rules file allows triggers these statuses only: 202" in detail_of(
            keyed(sent, statuses={202})
        )
    assert "at most 1s" in detail_of(keyed({DELAY: "2s", KEY: signed()}, max_delay_s=1.0))


def test_of_baggage_without_a_value_the_token_is_not_taken_for_one() -> None:
    for key in (SECRET, ""):
        for member in ("mock.orders;key=", "mock.orders=;key=", "mock.orders=%3Bkey%3D"):
            detail = detail_of(keyed({"baggage": member + signed()}, key=key))
            assert detail.startswith("baggage mock.orders: '': expected a status")


def test_the_field_and_the_member_are_allowed_by_what_each_of_them_shows() -> None:
    good, late = signed(statuses=(503,)), signed(expires_at=NOON)
    member = f"mock.orders=503;key={good}"
    assert keyed({STATUS: "202", "baggage": member}) == ONE_503  # the field shows no key, and is as if absent
    assert keyed({STATUS: "202", "baggage": member, KEY: "wrong"}) == ONE_503
    assert keyed({STATUS: "202", "baggage": member, KEY: SECRET}) == ONE_202
    assert keyed({"baggage": member, KEY: good, DELAY: "1s"}) == ONE_503._replace(delay_s=1.0)
    assert keyed({"baggage": member, DELAY: "1s"}) == ONE_503
    assert forbidden(keyed({"baggage": member, KEY: late, DELAY: "1s"})).startswith("X-Mock-Key: ")
    assert keyed({"baggage": "mock.orders=503", KEY: good}) is None


def test_without_a_key_set_what_baggage_shows_is_not_looked_at() -> None:
    assert keyed({"baggage": f"mock.orders=503;key={signed(expires_at=1.0)}"}, key="") == ONE_503


@unhurried
@given(st.integers(0, len(signed()) - 1), st.sampled_from("Aa0-_.~"))
def test_a_forged_token_is_as_if_absent(at: int, other: str) -> None:
    token = signed()
    forged = token[:at] + other + token[at + 1 :]
    if forged != token:
        for sent in showing(forged, {STATUS: "503"}):
            assert keyed(sent) is None


def test_a_token_of_another_key_is_as_if_absent() -> None:
    token = TokenKey("another secret of this test").sign(Scope(expires_at=LATER))
    for sent in showing(token, {STATUS: "503"}):
        assert keyed(sent) is None


def test_a_key_that_looks_like_a_token_is_still_the_key() -> None:
    key = "a" * 20 + "." + "b" * 64
    assert keyed({STATUS: "503", KEY: key}, key=key) == ONE_503


def test_wrong_keys_are_told_of_by_their_place_and_right_ones_are_not() -> None:
    triggers = Triggers(key=SECRET, service="orders")
    told: list[str] = []
    triggers.tell_wrong_key = told.append
    for shown in ("wrong", "", signed()[:-1] + "~", "x" * (MAX_TOKEN_CHARS + 1)):
        for sent in showing(shown, {STATUS: "503"}):
            triggers.read(Request("GET", "/", headers=sent), lambda: NOON)
    assert set(told) == {"X-Mock-Key", "baggage mock.orders"}
    assert len(told) == 16
    told.clear()
    for shown in (SECRET, signed(), signed(expires_at=NOON)):
        triggers.read(Request("GET", "/", headers={STATUS: "503", KEY: shown}), lambda: NOON)
    triggers.read(Request("GET", "/", headers={STATUS: "503", "baggage": "mock.orders=503"}), lambda: NOON)
    assert told == []


def test_however_many_keys_are_wrong_a_token_is_heeded(caplog: pytest.LogCaptureFixture) -> None:
    triggers = Triggers(key=SECRET)
    for number in range(5000):
        headers = {STATUS: "503", KEY: f"guess {number}"}
        assert triggers.read(Request("GET", "/", headers=headers)) is None
    headers = {STATUS: "503", KEY: signed(expires_at=LATER)}
    assert triggers.read(Request("GET", "/", headers=headers), lambda: NOON) == ONE_503
    assert len(caplog.records) <= 2  # one a minute
    assert "guess" not in caplog.text


# Baggage


def baggage(value: str, service: str = "orders", **limits: Any) -> Trigger | Response | None:
    return read({"baggage": value}, service=service, **limits)


@pytest.mark.parametrize(
    "value",
    [
        "mock.orders=503",
        " mock.orders = 503 ",
        "\tmock.orders=503\t",
        "mock.orders=503;ttl=5",
        "mock.orders=503 ; a ; b = c",
        "mock.orders=%35%30%33",
        "mock.orders=503%3Bttl%3D5",  # as tracing libraries hand a property on
        "user=alice,mock.orders=503",
        "mock.orders=503,user=alice;level=gold",
        "mock.payments=202,mock.orders=503",
        "mock.orders=503,mock.orders=202",
        "user=a%2Cmock.orders%3D202,mock.orders=503",
        "note=a=b=c,mock.orders=503",
        ",,mock.orders=503,",
        "malformed,;;;,=,=x,a b=c,\x00,é=1,mock.orders=503",
        "mock.orders.x=202,xmock.orders=202,Mock.Orders=202,mock.orders=503",
    ],
)
def test_the_member_for_this_service_is_found_among_all_others(value: str) -> None:
    assert baggage(value) == ONE_503


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "mock.payments=503",
        "mock.=503",
        "mock=503",
        "orders=503",
        "MOCK.ORDERS=503",
        "mock.orders2=503",
        "user=mock.orders=503",
        "user=alice;mock.orders=503",
        "mock.orders%3D503",
        "malformed,;;;,=,=x",
        "mock.payments=nonsense",
    ],
)
def test_members_of_others_are_nobodys_business_however_malformed(value: str) -> None:
    assert baggage(value) is None


def test_baggage_is_ignored_where_this_service_has_no_name() -> None:
    assert baggage("mock.orders=503,mock.=503", service="") is None


def test_baggage_is_ignored_where_a_key_is_set_even_with_the_key() -> None:
    headers = {"baggage": "mock.orders=503;key=s3cret", KEY: "s3cret"}
    assert read(headers, service="orders", key="s3cret") is None
    assert read({"baggage": "mock.orders=503", KEY: "s3cret"}, service="orders", key="s3cret") is None


def test_a_list_of_statuses_is_percent_encoded_in_baggage() -> None:
    value = quote("200:0.9, 503:0.1", safe="")
    assert baggage(f"mock.orders={value}") == Trigger((Choice(200, 0.9), Choice(503, 0.1)))
    assert baggage("mock.orders=passthrough") == Trigger((Choice(None, 1.0),))


@pytest.mark.parametrize("value", ["bad", "", "+503", "5%0A03", "%", "%zz", "%00", "503%0d%0aSet-Cookie:a"])
def test_a_malformed_value_for_this_service_is_refused(value: str) -> None:
    detail = refusal({"baggage": f"user=alice,mock.orders={value}"}, service="orders")
    assert detail.startswith("baggage mock.orders: ")


@pytest.mark.parametrize("member", ["mock.orders", "mock.orders;ttl=5", " mock.orders "])
def test_a_member_for_this_service_without_a_value_is_refused_and_not_passed_over(member: str) -> None:
    # Malformed members of others are ignored; this one is ours, and asks wrongly.
    assert refusal({"baggage": f"user=alice,{member}"}, service="orders").startswith("baggage mock.orders: ")


def test_baggage_is_looked_through_up_to_its_bound() -> None:
    member = ",mock.orders=503"
    filler = "a=" + "x" * (MAX_BAGGAGE_CHARS - len(member) - 2)
    assert baggage(filler + member) == ONE_503
    assert baggage("x" * MAX_BAGGAGE_CHARS + member) is None


def test_a_member_that_the_bound_cuts_in_two_is_not_read_as_something_else() -> None:
    for cut in range(1, 10):
        member = ",mock.orders=5030000"
        filler = "a=" + "x" * (MAX_BAGGAGE_CHARS - len(member) + cut - 2)
        assert baggage(filler + member) != ONE_503, cut


token = st.text("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=8)
others = st.tuples(token, st.text(max_size=8)).map(lambda pair: f"{pair[0]}={quote(pair[1])}")


@unhurried
@given(st.lists(others | st.text(";= \t", max_size=4), max_size=5), st.lists(others, max_size=5), token)
def test_the_member_is_found_wherever_it_stands(before: list[str], behind: list[str], service: str) -> None:
    foreign = [member for member in before if not member.startswith("mock.")]
    value = ",".join([*foreign, f"mock.{service}=503", *behind])
    assert baggage(value, service=service) == ONE_503


@unhurried
@given(hostile)
def test_any_baggage_at_all_is_a_trigger_a_proper_400_or_nothing(value: str) -> None:
    for sent in (value, f"mock.orders={value}", f"mock.orders={quote(value)}"):
        found = baggage(sent)
        if isinstance(found, Response):
            detail_of(found)
        else:
            assert found is None or found.choices
