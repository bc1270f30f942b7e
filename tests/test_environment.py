"""Off is the default, one variable turns it on, and never in production by accident."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mockware
from mockware.environment import VARIABLES, Environment, read_environment, unknown_variables
from mockware.exceptions import ConfigError

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

STAGES = ["APP_ENV", "ENVIRONMENT", "ENV", "DJANGO_ENV", "FLASK_ENV", "PYTHON_ENV"]

# All that could go wrong if anybody looked at it.
HARMFUL = {
    "MOCKWARE_FILE": "/nowhere/missing.toml",
    "MOCKWARE_RULES": "nonsense",
    "MOCKWARE_STORE": "redis://nowhere/0",
    "MOCKWARE_WATCH": "nonsense",
    "MOCKWARE_CONTROL": "/__mockware__",
}


def off(**environ: str) -> Environment:
    environment = read_environment(environ)
    assert not environment.enabled
    return environment


def on(*, enabled: bool | None = None, **environ: str) -> Environment:
    environment = read_environment(environ, enabled=enabled)
    assert environment.enabled
    return environment


# The switch


@pytest.mark.parametrize("toggle", ["off", "OFF", "Off", " off ", "", " ", ",", " , ,"])
def test_mockware_is_off_where_the_variable_says_so_or_says_nothing(toggle: str) -> None:
    environment = off(MOCKWARE=toggle)
    assert environment.why.startswith("MOCKWARE is ")
    assert not environment.refused


def test_mockware_is_off_where_the_variable_is_not_set() -> None:
    assert off().why == "MOCKWARE is not set"


@pytest.mark.parametrize("toggle", ["on", "ON", "On", " on\t"])
def test_mockware_is_on_with_every_rule_where_the_variable_says_on(toggle: str) -> None:
    environment = on(MOCKWARE=toggle)
    assert environment.selected == ()
    assert environment.why == f"MOCKWARE={toggle.strip()}"


@pytest.mark.parametrize(
    ("toggle", "selected"),
    [
        ("payments", ("payments",)),
        (" payments , demo ", ("payments", "demo")),
        ("payments,,demo,", ("payments", "demo")),
        ("POST /reports", ("POST /reports",)),
        ("Payments", ("Payments",)),
        ("onset", ("onset",)),
        ("offline", ("offline",)),
    ],
)
def test_any_other_words_select_rules(toggle: str, selected: tuple[str, ...]) -> None:
    assert on(MOCKWARE=toggle).selected == selected


@pytest.mark.parametrize("toggle", ["on,payments", "payments,off", "ON,off", "off,", "a, On"])
def test_a_switch_in_a_list_is_an_error_and_not_a_guess(toggle: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_environment({"MOCKWARE": toggle})
    problem = refused.value.problems[0]
    assert (problem.source, problem.value) == ("MOCKWARE", repr(toggle))
    assert "stands alone" in problem.message


def test_a_list_is_off_only_where_every_word_of_it_is_missing() -> None:
    assert on(MOCKWARE="payments,").selected == ("payments",)
    off(MOCKWARE=",")


@pytest.mark.parametrize("toggle", ["on", "off", "", "payments"])
def test_enabled_false_overrides_the_variable(toggle: str) -> None:
    environment = read_environment({"MOCKWARE": toggle}, enabled=False)
    assert (environment.enabled, environment.why) == (False, "enabled=False")


@pytest.mark.parametrize("toggle", ["on", "off", "", "OFF", ","])
def test_enabled_true_overrides_the_variable_and_turns_every_rule_on(toggle: str) -> None:
    environment = on(enabled=True, MOCKWARE=toggle)
    assert (environment.selected, environment.why) == ((), "enabled=True")


def test_enabled_true_still_heeds_a_selection() -> None:
    assert on(enabled=True, MOCKWARE="payments").selected == ("payments",)


def test_without_an_argument_the_process_own_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STAGES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOCKWARE", "payments")
    assert read_environment().selected == ("payments",)
    monkeypatch.delenv("MOCKWARE")
    assert not read_environment().enabled


def test_an_argument_stands_in_for_the_process_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCKWARE", "on")
    assert not read_environment({}).enabled


# The guard


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("value", ["prod", "production", "PROD", "Production", " production "])
def test_mockware_stays_off_where_the_environment_says_production(stage: str, value: str) -> None:
    environment = off(MOCKWARE="on", **{stage: value})
    assert environment.refused
    assert stage in environment.why
    assert "MOCKWARE_ALLOW_PRODUCTION=yes" in environment.why


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "value", ["", "staging", "development", "test", "preprod", "production-like", "no-prod"]
)
def test_no_other_stage_keeps_mockware_off(stage: str, value: str) -> None:
    assert read_environment({"MOCKWARE": "on", stage: value}).enabled


def test_another_variable_that_says_production_does_not_keep_mockware_off() -> None:
    on(MOCKWARE="on", NODE_ENV="production", STAGE="prod")


@pytest.mark.parametrize("stage", STAGES)
def test_one_variable_that_says_production_outweighs_all_that_do_not(stage: str) -> None:
    assert off(MOCKWARE="on", **{**dict.fromkeys(STAGES, "staging"), stage: "prod"}).refused


@pytest.mark.parametrize("toggle", ["on", "payments", ""])
def test_enabled_true_does_not_override_the_guard(toggle: str) -> None:
    environment = read_environment({"MOCKWARE": toggle, "APP_ENV": "prod"}, enabled=True)
    assert (environment.enabled, environment.refused) == (False, True)


@pytest.mark.parametrize("stage", STAGES)
def test_production_can_be_allowed_in_so_many_words(stage: str) -> None:
    environ = {"MOCKWARE": "on", "MOCKWARE_ALLOW_PRODUCTION": "yes", stage: "production"}
    assert read_environment(environ).enabled


@pytest.mark.parametrize("allow", ["", "no", "1", "true", "on", "yes please", "production"])
def test_production_is_not_allowed_by_any_other_word(allow: str) -> None:
    assert off(MOCKWARE="on", MOCKWARE_ALLOW_PRODUCTION=allow, APP_ENV="prod").refused


@pytest.mark.parametrize("toggle", ["off", ""])
def test_nothing_was_refused_in_production_where_nobody_asked(toggle: str) -> None:
    assert not off(MOCKWARE=toggle, APP_ENV="prod").refused
    assert not read_environment({"MOCKWARE": "on", "APP_ENV": "prod"}, enabled=False).refused


def test_production_is_never_taken_down_by_a_bad_configuration() -> None:
    assert off(MOCKWARE="on,off", APP_ENV="prod", **HARMFUL).refused


# What else it says


def test_while_on_every_variable_is_handed_on() -> None:
    environment = on(
        MOCKWARE="on",
        MOCKWARE_FILE=os.pathsep.join(["a.toml", "", "b c.yaml"]),
        MOCKWARE_RULES="/a 202",
        MOCKWARE_KEY="s3 cret",
        MOCKWARE_SERVICE=" orders ",
        MOCKWARE_STORE="memory:",
    )
    assert environment.files == ("a.toml", "b c.yaml")
    assert environment.short_rules == "/a 202"
    assert environment.key == "s3 cret"
    assert environment.service == "orders"


@pytest.mark.parametrize("key", ["s3cret\n", " s3cret", "s3cret ", "s3\x00cret", "s3\tcret"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigError, match="MOCKWARE_KEY: a key that no header can carry") as refused:
        on(MOCKWARE="on", MOCKWARE_KEY=key)
    assert "cret" not in str(refused.value)


def test_what_is_shown_of_the_environment_has_no_key_in_it() -> None:
    assert repr(on(MOCKWARE="on", MOCKWARE_KEY="s3cret")) == "<Environment: MOCKWARE=on>"


@pytest.mark.parametrize("enabled", ["off", "", 0, 1, []])
def test_what_is_neither_true_nor_false_does_not_turn_it_on(enabled: Any) -> None:
    with pytest.raises(TypeError, match=r"enabled= takes True, False, or None"):
        read_environment({}, enabled=enabled)


def test_while_on_what_is_not_set_is_empty() -> None:
    assert on(MOCKWARE="on") == Environment(enabled=True, why="MOCKWARE=on", variables={"MOCKWARE": "on"})


def test_while_off_nothing_else_is_even_looked_at() -> None:
    assert off(MOCKWARE="off", MOCKWARE_KEY="s3cret", **HARMFUL) == Environment(
        enabled=False, why="MOCKWARE is off"
    )


def test_every_problem_of_the_environment_comes_in_one_error() -> None:
    with pytest.raises(ConfigError) as refused:
        read_environment({**HARMFUL, "MOCKWARE": "on,payments"})
    sources = [problem.source for problem in refused.value.problems]
    assert sources == ["MOCKWARE", "MOCKWARE_CONTROL", "MOCKWARE_WATCH"]  # the control page without a key


@pytest.mark.parametrize("prefix", ["/__mockware__", "/__mockware__/", " /a/b-c ", "/~x/.y"])
def test_the_control_page_has_a_path_that_nobody_writes_in_another_way(prefix: str) -> None:
    assert on(MOCKWARE="on", MOCKWARE_KEY="k", MOCKWARE_CONTROL=prefix).control == prefix.strip().rstrip("/")


@pytest.mark.parametrize(
    "prefix", ["/", "//", "x", "/a b", "/{a}", "/a//b", "/..", "/./a", "/a?b", "/a%20", "/ä"]
)
def test_a_control_page_without_a_path_of_its_own_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"MOCKWARE_CONTROL: .* expected a path such as"):
        on(MOCKWARE="on", MOCKWARE_KEY="k", MOCKWARE_CONTROL=prefix)


def test_a_control_page_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"MOCKWARE_CONTROL: .* set MOCKWARE_KEY"):
        on(MOCKWARE="on", MOCKWARE_CONTROL="/__mockware__")


# A name that `baggage` cannot carry as `mock.NAME=CODE` would never be addressed by anybody, in silence:
# W3C Baggage section 3.2.1.1, the key is a token.
@pytest.mark.parametrize("service", ["two words", "a=b", "a,b", "a;b", "bestellungen-ä"])
def test_a_service_whose_name_cannot_stand_in_baggage_is_refused(service: str) -> None:
    with pytest.raises(ConfigError, match="MOCKWARE_SERVICE"):
        on(MOCKWARE="on", MOCKWARE_SERVICE=service)


words = st.sampled_from(["on", "off", "ON", "payments", "prod", "production", "yes", "memory:", ""])
variables = st.sampled_from([*STAGES, "MOCKWARE", "MOCKWARE_ALLOW_PRODUCTION", "MOCKWARE_STORE", *HARMFUL])


@unhurried
@given(st.dictionaries(variables, words | st.text()), st.sampled_from([None, True, False]))
def test_no_environment_leads_to_anything_but_a_word_or_a_config_error(
    environ: dict[str, str], enabled: bool | None
) -> None:
    try:
        environment = read_environment(environ, enabled=enabled)
    except ConfigError:
        return
    production = any(environ.get(name, "").strip().lower() in ("prod", "production") for name in STAGES)
    if environment.enabled:
        assert enabled is not False
        assert not production or environ["MOCKWARE_ALLOW_PRODUCTION"] == "yes"
    assert environment.refused <= production


# What that means for an app


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app."""


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    return []


WRAPPERS: list[tuple[Any, Any]] = [
    (mockware.wrap, app),
    (mockware.wrap, wsgi_app),
    (mockware.ASGIMockMiddleware, app),
    (mockware.WSGIMockMiddleware, wsgi_app),
]


@pytest.mark.parametrize(("wrap", "wrapped"), WRAPPERS)
@pytest.mark.parametrize(
    "environ", [{}, {"MOCKWARE": "off"}, {"MOCKWARE": ""}, {"MOCKWARE": "on", "APP_ENV": "production"}]
)
def test_while_off_the_app_is_itself_and_no_file_is_read(
    wrap: Any, wrapped: Any, environ: dict[str, str]
) -> None:
    assert wrap(wrapped, rules="/nowhere/missing.toml", environ={**HARMFUL, **environ}) is wrapped


@pytest.mark.parametrize(("wrap", "wrapped"), WRAPPERS)
def test_enabled_false_leaves_the_app_itself(wrap: Any, wrapped: Any) -> None:
    environ = {**HARMFUL, "MOCKWARE": "on"}
    assert wrap(wrapped, rules="missing.toml", environ=environ, enabled=False) is wrapped


@pytest.mark.parametrize(("wrap", "wrapped"), WRAPPERS)
def test_while_on_the_same_missing_file_stops_the_start(wrap: Any, wrapped: Any) -> None:
    for environ in ({"MOCKWARE": "on"}, {"MOCKWARE": "payments"}):
        with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read"):
            wrap(wrapped, rules="/nowhere/missing.toml", environ=environ)
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read"):
        wrap(wrapped, rules="/nowhere/missing.toml", environ={}, enabled=True)


# Names that nobody reads


def test_a_name_is_known_if_it_is_read_and_only_then() -> None:
    class Read(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            names.add(key)
            return super().get(key, default)

    names: set[str] = set()
    read_environment(Read(MOCKWARE="on", ENV="prod"))
    read_environment(Read(MOCKWARE="on"))
    assert {name for name in names if name.startswith("MOCKWARE_")} == set(VARIABLES)
    assert unknown_variables(dict.fromkeys(VARIABLES, "x")) == []


def test_a_name_that_is_called_like_ours_and_that_nobody_reads_is_unknown() -> None:
    environ = dict.fromkeys(
        ("MOCKWARE_KEYS", "MOCKWARE_FIL", "MOCKWARE", "MOCKWAREX", "_MOCKWARE_RUN", "PATH"), "x"
    )
    assert unknown_variables(environ) == ["MOCKWARE_FIL", "MOCKWARE_KEYS"]


@pytest.mark.parametrize("service", ["MOCKWARE", "MOCKWARE_PROXY"])
def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_mistake(service: str) -> None:
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"]
    assert unknown_variables({f"{service}_{name}": "x" for name in names}) == []
