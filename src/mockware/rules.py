"""A rule: which requests it is about, and what becomes of them.

Law: a rule that exists is valid. `Rule(...)` in Python and `[[rules]]` in a file are this one model;
every value is parsed, compiled and checked when the rule is made, so that a request only compares. A
rule matches a request if there is no difference between the two, and `difference` says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cached_property, wraps
from json import loads
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass

from . import schemas
from .answers import (
    MAX_REPLIES,
    PATCH_KEYS,
    REPLY_KEYS,
    STEP_KEYS,
    STRICT,
    Changes,
    Reply,
    Step,
    Times,
    absent,
    checked,
    key,
)
from .callers import THE_RULE, Caller, Probability, parse_caller, parse_probability
from .conditions import Condition, Conditions, Difference
from .dialects import DIALECTS
from .durations import parse_rule_delay
from .exceptions import ConfigError, did_you_mean
from .match import Match, parse_match
from .messages import MISSING, Request
from .paths import PathTemplate
from .replies import Content, check_header_name
from .sequences import Sequence as ReplySequence
from .sequences import Then
from .task_table import FAILURE_KEYS, ID, RESULT_KEYS, TASK_KEYS, WEBHOOK_KEYS, TaskTable
from .templated import TemplatedReply
from .validation import findings

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# The keys of a reply that say how it is made and sent: all `replies` of a rule may have them in common.
_MANNERS = ("template", "delay", "drip", "fault")


def _check_word(word: str) -> None:
    if not _WORD.fullmatch(word) or word.lower() in ("on", "off"):
        raise ValueError(
            "expected at most 64 letters, digits, `.`, `_` or `-`, starting with a letter or digit, "
            "and neither `on` nor `off`"
        )


def _check_name(name: str) -> None:
    _check_word(name)
    if name.lower() in schemas.RESERVED_NAMES:
        raise ValueError("X-Mock-Rule says so of mocks that are no rule's; take another name")


def _check_expires(declared: object) -> datetime | None:
    """A moment, with its offset from UTC: a staging host's own time zone is nobody's business."""
    if declared is None:
        return None
    if isinstance(declared, str):
        try:
            declared = datetime.fromisoformat(declared.upper())  # RFC 3339 section 5.6: `t` and `z` will do
        except ValueError:
            declared = None
    if not isinstance(declared, datetime):
        raise ValueError("expected a date and time such as 2027-01-31T18:00:00Z")
    if declared.tzinfo is None:
        raise ValueError("a time without an offset; end it with `Z` for UTC, or `+01:00`")
    return declared


def _as_json(declared: Any) -> Any:
    """What the same value is in a request: a tuple, say, would equal no list."""
    return declared if declared is MISSING else loads(Content.from_json(declared).body)


def _check_spellings(declared: Mapping[str, object]) -> None:
    if len({name.lower() for name in declared}) < len(declared):
        raise ValueError("two spellings of one field; a field's name has no case")


def _with_manners(declared: Any, info: ValidationInfo) -> Any:
    """What the rule says of all its replies, each of them says that does not say otherwise."""
    common = {key: info.data[key] for key in _MANNERS if info.data.get(key)}
    if not common or not declared or not isinstance(declared, (list, tuple)):
        return declared
    # A `Step` has been through this, with the rule that it is copied from.
    return [{**common, **step} if isinstance(step, Mapping) else step for step in declared]


def _given(info: ValidationInfo, keys: Sequence[str]) -> list[str]:
    """Which of the `keys` that come before this one the rule has."""
    empty: Sequence[Any] = (None, False, (), {}, [])
    values = {key: info.data.get(key) for key in keys}
    return [
        key
        for key, value in values.items()
        if (key in info.data and value is not MISSING if key == "json" else value not in empty)
    ]


def _sole_action(declared: Any, info: ValidationInfo) -> Any:
    """One action a rule: a reply, `replies`, `task`, `patch` or `passthrough`."""
    if declared == []:
        raise ValueError("expected a list of one or more replies")
    if not declared:
        return declared
    other = [key for key in REPLY_KEYS if key not in _MANNERS]
    found = _given(info, [*other, "replies", "patch", "task"])
    if found and info.field_name == "task" and found[0] in other:
        raise ValueError(
            f"a rule has one action, and `{found[0]}` is a reply; what a task gives is its `result`"
        )
    if found:
        kind = "another" if found[0] in ("replies", "patch", "task") else "a reply"
        raise ValueError(f"a rule has one action, and `{found[0]}` is {kind}")
    if info.field_name != "replies" and (found := _given(info, ("template", "drip", "fault"))):
        raise ValueError(f"a rule has one action, and `{found[0]}` is about a reply")
    return declared


def _only_with(*keys: str) -> AfterValidator:
    """For a key that says nothing without one of the `keys` before it."""

    def check(declared: Any, info: ValidationInfo) -> Any:
        # A key that was refused is not there to be looked at, and its own problem is enough.
        if declared is not None and all(key in info.data for key in keys) and not _given(info, keys):
            raise ValueError(f"says something only beside {' or '.join(f'`{key}`' for key in keys)}")
        return declared

    return AfterValidator(check)


def _check_caller(declared: object) -> None:
    if declared is not None:
        parse_caller(declared)


_Word = Annotated[StrictStr, checked(_check_word), WithJsonSchema(schemas.WORD)]
_Name = Annotated[StrictStr, checked(_check_name), WithJsonSchema(schemas.NAME)]
_RequestHeaderName = Annotated[StrictStr, checked(check_header_name)]
_Condition = Annotated[Any, PlainValidator(Condition), WithJsonSchema(schemas.CONDITION)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class When:
    """What a request must carry besides its method and path. All of it must hold."""

    host: _Condition | None = Field(default=None, description="The Host field, with its port or without.")
    query: Annotated[dict[str, _Condition], WithJsonSchema(schemas.CONDITIONS)] = Field(
        default_factory=dict, description="By parameter; any value of it counts."
    )
    headers: Annotated[
        dict[_RequestHeaderName, _Condition],
        checked(_check_spellings),
        WithJsonSchema(schemas.HEADER_CONDITIONS),
    ] = Field(default_factory=dict, description="By field name.")
    cookies: Annotated[dict[str, _Condition], WithJsonSchema(schemas.CONDITIONS)] = Field(
        default_factory=dict, description="By cookie name."
    )
    json: Annotated[Any, AfterValidator(_as_json)] = Field(
        default_factory=absent, description="A deep subset of the request's JSON body."
    )

    def compiled(self) -> Conditions:
        return Conditions(
            host=self.host,
            query=self.query,
            headers={name.lower(): condition for name, condition in self.headers.items()},
            cookies=self.cookies,
            json=self.json,
        )


# What a type checker lets people write, and what pydantic is to look for: the model alone, for it would take
# any mapping.
if TYPE_CHECKING:
    _When = When | Mapping[str, Any]
    _Step = Step | Mapping[str, Any]
    _Changes = Changes | Mapping[str, Any]
    _Task = TaskTable | Mapping[str, Any]
else:
    _When, _Step, _Changes, _Task = When, Step, Changes, TaskTable


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.RULE))
class Rule(Reply):
    """Requests that match get a mock response, or are passed through as an exception to a later rule.

    `match` is `[METHOD[,METHOD...]] /path` with Starlette's parameters and converters; without a method
    it means any. `when` has conditions on `host`, `query`, `headers`, `cookies` and `json`.

    The reply has a `status` (202), `headers` (a list repeats its field), and one of `json`, `text` and
    `file`, which are Jinja templates with `template`; alone, `match` gives the canonical 202. `replies` has
    several in turn, each given so many `times`, `then` the "last" again, all in a "loop", or "passthrough".
    Instead, `passthrough` hands the request to the app, and `patch` changes what the app answers
    (`status`, `headers`, and `json` as a merge patch, RFC 7396). `task` accepts the request with 202, and
    answers whoever asks what became of it: `duration`, `dialect`, `monitor`, `result`, `failure`, and so on.

    `delay` is a duration such as "200ms", a table with `min` and `max`, or one with `median`, `sigma` and
    `max`; `delay_after` is the same for the app's response; `drip` is how long a body takes on the wire;
    `fault` is "cut", "stall" or "empty". `times` is how often the rule matches at all, counted, as its
    replies are, by `count_per`: "rule", "path", "header:NAME", "cookie:NAME" or "query:NAME". `probability`
    runs from 0 to 1, or is a table with `value`, `per` and `seed`; `expires` is a time with an offset.
    Raises ConfigError, with every problem.
    """

    match: Annotated[StrictStr, checked(parse_match), WithJsonSchema(schemas.MATCH)] = Field(
        kw_only=False,
        description="`[METHOD[,METHOD...]] /path`; no method means any.",
        examples=["POST /reports"],
    )
    name: _Name | None = key(
        default=None, description="Shown in X-Mock-Rule; MOCKWARE and X-Mock-Name select by it."
    )
    tags: Sequence[_Word] = key(
        default=(), description="Words by which MOCKWARE selects several rules at once."
    )
    when: _When | None = key(default=None, description="Conditions besides method and path.")
    replies: Annotated[
        Annotated[Sequence[_Step], Field(max_length=MAX_REPLIES)],
        BeforeValidator(_with_manners),
        AfterValidator(_sole_action),
    ] = key(default=(), description="Several replies, given in turn.", json_schema_extra={"minItems": 1})
    then: Annotated[Then | None, _only_with("replies")] = key(
        default=None,
        description="What comes after the last of the replies: it again (the default), all anew, or the app.",
    )
    patch: Annotated[_Changes | None, AfterValidator(_sole_action)] = key(
        default=None, description="Changes of the response that the app gives."
    )
    task: Annotated[_Task | None, AfterValidator(_sole_action)] = key(
        default=None,
        description="The request is accepted with 202, and what becomes of it can be asked for.",
    )
    passthrough: Annotated[StrictBool, AfterValidator(_sole_action)] = key(
        default=False, description="The request goes to the app: an exception to a later rule."
    )
    delay_after: Annotated[
        Any, checked(parse_rule_delay), _only_with("passthrough", "patch"), WithJsonSchema(schemas.DELAY)
    ] = key(default=None, description="How long the app's response is held back, at most 30s.")
    times: Times | None = key(
        default=None, description="How often the rule matches; afterwards it is as if absent."
    )
    count_per: Annotated[
        Any, checked(_check_caller), _only_with("times", "replies", "task"), WithJsonSchema(schemas.CALLER)
    ] = key(default=None, description="By what requests are counted apart; all together if absent.")
    probability: Annotated[Any, checked(parse_probability), WithJsonSchema(schemas.PROBABILITY)] = key(
        default=None,
        description="The share of the matching requests that the rule answers; always if absent.",
    )
    expires: Annotated[Any, PlainValidator(_check_expires), WithJsonSchema(schemas.EXPIRES)] = key(
        default=None, description="From this moment on the rule does not match."
    )

    def __post_init__(self) -> None:
        # Right behind the validators, which have parsed the match a moment ago.
        names = self.matched.template.names
        for step in self.steps:
            reply = step.compiled("") if step.template else None
            if isinstance(reply, TemplatedReply):
                reply.check_parameters(names)
        if isinstance(self.task, TaskTable):
            if "task_id" in names:
                raise ValueError("`{task_id}` is the name of the task's id, and of no parameter of the path")
            asked = PathTemplate(self.monitor).names
            for name in asked:
                if name not in (*names, "task_id"):
                    hint = f"which is no parameter of the path{did_you_mean(name, names)}"
                    raise ValueError(f"`task.monitor` has `{{{name}}}`, {hint}")
            self.task.check_parameters(names, asked)

    def __reduce__(self) -> tuple[Callable[..., Rule], tuple[dict[str, Any]]]:
        # As it was declared: what is parsed of it holds closures, which cannot be pickled.
        return _declared_again, ({name: getattr(self, name) for name in RULE_KEYS},)

    @cached_property
    def matched(self) -> Match:
        """`match`, parsed."""
        return parse_match(self.match)

    @cached_property
    def conditions(self) -> Conditions | None:
        """`when`, compiled."""
        return self.when.compiled() if isinstance(self.when, When) else None

    @cached_property
    def chances(self) -> Probability | None:
        """`probability`, parsed."""
        return parse_probability(self.probability)

    @property
    def counts(self) -> bool:
        """Whether it matters how often the rule has answered."""
        return self.times is not None or self.sequence.changes

    def difference(self, request: Request) -> Difference | None:
        """The first thing that keeps the rule from matching, or None: then it matches.

        The body is looked at last. Whether the rule is on, expired or drawn by chance is not its business.
        """
        template = self.matched.template
        if not template.matches(request.path):
            slash = request.path[:-1] if request.path.endswith("/") else request.path + "/"
            hint = " (a slash at the end matters)" if template.matches(slash) else ""
            return Difference("path", template.text + hint, request.path)
        if difference := self.matched.method_difference(request):
            return difference
        if self.conditions is None:
            return None
        return self.conditions.difference(request) or self.conditions.body_difference(request)

    @property
    def monitor(self) -> str:
        """The template of the path of a task's status monitor."""
        if not isinstance(self.task, TaskTable):
            return ""
        own = self.matched.template.text.rstrip("/")
        return self.task.monitor or DIALECTS[self.task.dialect].monitor_path or f"{own}/{ID}"

    @property
    def caller(self) -> Caller:
        """`count_per`, parsed."""
        return THE_RULE if self.count_per is None else parse_caller(self.count_per)

    @property
    def steps(self) -> Sequence[Reply]:
        """The replies in turn: those that are declared, or the rule's own; none where the app is asked."""
        if self.passthrough or self.patch or self.task:
            return ()
        return self._replies or (self,)

    @property
    def _replies(self) -> Sequence[Step]:
        return [step for step in self.replies if isinstance(step, Step)]

    @property
    def sequence(self) -> ReplySequence:
        """When which of the `steps` is given."""
        return ReplySequence.of([step.times for step in self._replies] or [1], self.then or "last")


def _declared_again(keys: dict[str, Any]) -> Rule:
    return Rule(**keys)


_FIRST_KEYS = ("match", "name", "tags", "when")
RULE_KEYS = (
    *_FIRST_KEYS,
    *(field.name for field in fields(Rule) if field.init and field.name not in _FIRST_KEYS),
)
WHEN_KEYS = tuple(field.name for field in fields(When))


def known_keys(place: tuple[int | str, ...]) -> Sequence[str]:
    """The keys of the table at a place in a rule, such as `("replies", 3)`."""
    match place:
        case ():
            return RULE_KEYS
        case ("when",):
            return WHEN_KEYS
        case ("patch",):
            return PATCH_KEYS
        case ("task",):
            return TASK_KEYS
        case ("task", "result"):
            return RESULT_KEYS
        case ("task", "failure"):
            return FAILURE_KEYS
        case ("task", "webhook"):
            return WEBHOOK_KEYS
        case ("replies", int()):
            return STEP_KEYS
    return ()


# By these names, others keep a rule from answering.
_SWITCHES = frozenset(("on", "off", "enabled", "disabled", "enable", "disable", "active"))


def advice(place: tuple[int | str, ...], key: str) -> str:
    """What to say of a key that is not allowed at a place in a rule, if more than the nearest one."""
    if not place and key in _SWITCHES:
        return (
            "the variable `MOCKWARE` names the rules that are on; put `#` before the lines of one that is not"
        )
    if place == ("task",) and key in REPLY_KEYS and key not in _MANNERS:
        return "what a task gives is its `result`"
    # In TOML, a key belongs to the last heading before it, however its line is indented.
    for depth in reversed(range(len(place))):
        if key in known_keys(place[:depth]):
            owner = f"`{'.'.join(map(str, place[:depth]))}`" if depth else "the rule"
            table = ".".join(("rules", *map(str, place[: depth + 1])))
            heading = f"[[{table}]]" if isinstance(place[-1], int) else f"[{table}]"
            return f"it belongs to {owner}; in TOML, write it above `{heading}`"
    return ""


_validate = Rule.__init__


@wraps(_validate)
def _init(self: Rule, *args: Any, **kwargs: Any) -> None:
    if len(args) > 1:
        raise TypeError("Rule takes the match by position and everything else by name")
    try:
        _validate(self, *args, **kwargs)
    except ValidationError as error:
        # `match` is the one that may be given by position.
        raise ConfigError(
            problem._replace(source="Rule", key="match" if problem.key == "0" else problem.key)
            for _, problem in findings(error, known_keys, advice)
        ) from None


Rule.__init__ = _init  # type: ignore[method-assign]
