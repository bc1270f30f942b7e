"""A rule: which requests it is about, and what becomes of them.

Law: a rule that exists is valid. `Rule(...)` in Python and `[[rules]]` in a file are this one model;
every value is parsed, compiled and checked when the rule is made, so that a request only compares. A
rule matches a request if there is no difference between the two, and `difference` says which.
"""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, fields
from datetime import datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass

from . import schemas
from .conditions import Condition, Conditions, Difference
from .durations import Delay, parse_rule_delay
from .exceptions import ConfigError
from .match import Match, parse_match
from .messages import MISSING, Request, Response
from .replies import Content, build_reply, check_header, check_header_name
from .statuses import status_for
from .validation import findings

# Every worker holds a mock's body in memory. 16 MiB is far above any API's answer, and whoever wants to
# test large downloads wants a real file server.
MAX_FILE_BYTES = 16 * 1024 * 1024

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MEDIA_TYPES = mimetypes.MimeTypes()  # the built-in table only: the same answer on every machine


_Declared = TypeVar("_Declared")


def checked(parse: Callable[[Any], object]) -> AfterValidator:
    """Keeps a value as it was declared, having seen that `parse` accepts it."""

    def check(declared: _Declared) -> _Declared:
        parse(declared)
        return declared

    return AfterValidator(check)


def _check_word(word: str) -> None:
    if not _WORD.fullmatch(word) or word.lower() in ("on", "off"):
        raise ValueError(
            "expected at most 64 letters, digits, `.`, `_` or `-`, starting with a letter or digit, "
            "and neither `on` nor `off`"
        )


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


def header_pairs(declared: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A list as a value repeats its field."""
    return [
        (name, str(value))
        for name, values in declared.items()
        for value in (values if isinstance(values, (list, tuple)) else (values,))
    ]


def _check_header_value(declared: object, info: ValidationInfo) -> object:
    for value in declared if isinstance(declared, (list, tuple)) else (declared,):
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError("expected a string, or a list of strings where the field is repeated")
        check_header("x", str(value))
    return declared


def _check_spellings(declared: Mapping[str, object]) -> None:
    if len({name.lower() for name in declared}) < len(declared):
        raise ValueError("two spellings of one field; a field's name has no case")


def _no_type_without_content(headers: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
    # On a 304 it would be about the stored response; wsgiref.validate refuses both.
    status = info.data.get("status")
    if status in (204, 304) and any(name.lower() == "content-type" for name in headers):
        raise ValueError(f"a {status} has no content, and so no Content-Type")
    return headers


def _check_header_name(name: str) -> None:
    check_header(name, "")


def _check_json(declared: Any) -> None:
    if declared is not MISSING:
        Content.from_json(declared)


def _as_json(declared: Any) -> Any:
    """What the same value is in a request: a tuple, say, would equal no list."""
    return declared if declared is MISSING else json.loads(Content.from_json(declared).body)


def _one_body(declared: Any, info: ValidationInfo) -> Any:
    if declared is MISSING or (declared is None and info.field_name != "json"):
        return declared
    for other in ("json", "text", "file"):
        given = info.data.get(other, MISSING)
        # Only for JSON is nothing a value.
        if other != info.field_name and given is not MISSING and (given is not None or other == "json"):
            raise ValueError(
                f"a rule has one body, and there is `{other}` already; allowed: json, text or file"
            )
    status = info.data.get("status")
    if status is not None and not status_for(status).has_body:
        raise ValueError(f"a {status} has no body (RFC 9110 section 6.4.1)")
    return declared


def _resolved_file(declared: Any, info: ValidationInfo) -> Path | None:
    """An existing file; one named by a rules file stays inside that file's folder."""
    if declared is None:
        return None
    if not isinstance(declared, (str, Path)):
        raise ValueError("expected a string: the path of a file")
    folder = (info.context or {}).get("folder")
    try:
        path = (folder or Path()).joinpath(declared).resolve()
        size = path.stat().st_size if path.is_file() else None
        if size is not None:
            path.open("rb").close()
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"this file cannot be read: {reason}") from None
    if folder is not None and not path.is_relative_to(folder.resolve()):
        raise ValueError("a `file` stays inside the folder of its rules file")
    if size is None:
        raise ValueError(f"no such file: {path}")
    if size > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes, and every worker would hold it in memory")
    return path


def _sole_action(declared: bool, info: ValidationInfo) -> bool:
    given = [name for name in ("status", "text", "file") if info.data.get(name) is not None]
    given += ["headers"] if info.data.get("headers") else []
    given += ["json"] if info.data.get("json", MISSING) is not MISSING else []
    if declared and given:
        raise ValueError(f"a rule has one action, and `{given[0]}` is a reply")
    return declared


_Word = Annotated[StrictStr, checked(_check_word), WithJsonSchema(schemas.WORD)]
_RequestHeaderName = Annotated[StrictStr, checked(check_header_name)]
_Condition = Annotated[Any, PlainValidator(Condition), WithJsonSchema(schemas.CONDITION)]
StatusCode = Annotated[StrictInt, Field(ge=200, le=599)]
HeaderName = Annotated[StrictStr, checked(_check_header_name), WithJsonSchema(schemas.REPLY_HEADER_NAME)]
STRICT = ConfigDict(extra="forbid")


def _absent() -> Any:
    return MISSING


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
        default_factory=_absent, description="A deep subset of the request's JSON body."
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
# any mapping, and anything at all for a file, whose own validator has the better words.
if TYPE_CHECKING:
    _When = When | Mapping[str, Any]
    _File = str | Path | None
else:
    _When = When
    _File = Any


@dataclass(frozen=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.RULE))
class Rule:
    """Requests that match get a mock response, or are passed through as an exception to a later rule.

    `match` is `[METHOD[,METHOD...]] /path` with Starlette's parameters and converters; without a method
    it means any. `when` has conditions on `host`, `query`, `headers`, `cookies` and `json`. The reply has
    a `status` (202), `headers` (a list repeats its field), and one of `json`, `text` and `file`; alone,
    `match` gives the canonical 202. `passthrough` hands the request to the app instead. `delay` is a
    duration such as "200ms" or a table with `min` and `max`; `probability` runs from 0 to 1; `expires` is
    a time with an offset. Raises ConfigError, with every problem.
    """

    match: Annotated[
        StrictStr,
        checked(parse_match),
        WithJsonSchema(schemas.MATCH),
        Field(description="`[METHOD[,METHOD...]] /path`; no method means any.", examples=["POST /reports"]),
    ]
    _: KW_ONLY
    name: _Word | None = Field(
        default=None, description="Shown in X-Mock-Rule; MOCKWARE and X-Mock-Name select by it."
    )
    tags: Sequence[_Word] = Field(
        default=(), description="Words by which MOCKWARE selects several rules at once."
    )
    when: _When | None = Field(default=None, description="Conditions besides method and path.")
    status: StatusCode | None = Field(default=None, description="202 if absent.")
    headers: Annotated[
        dict[HeaderName, Annotated[Any, AfterValidator(_check_header_value)]],
        AfterValidator(_no_type_without_content),
        WithJsonSchema(schemas.REPLY_HEADERS),
    ] = Field(default_factory=dict, description="Fields of the response; a list repeats its field.")
    json: Annotated[Any, AfterValidator(_one_body), checked(_check_json)] = Field(
        default_factory=_absent, description="The body, written as JSON."
    )
    text: Annotated[StrictStr, AfterValidator(_one_body), checked(Content.from_text)] | None = Field(
        default=None, description="The body, as plain text."
    )
    file: Annotated[
        _File, AfterValidator(_one_body), AfterValidator(_resolved_file), WithJsonSchema(schemas.FILE)
    ] = Field(
        default=None,
        description="A file whose content is the body, in or below the folder of the rules file.",
    )
    passthrough: Annotated[StrictBool, AfterValidator(_sole_action)] = Field(
        default=False, description="The request goes to the app: an exception to a later rule."
    )
    delay: Annotated[Any, checked(parse_rule_delay), WithJsonSchema(schemas.DELAY)] = Field(
        default=None, description="How long to wait first, at most 30s."
    )
    probability: Annotated[float, Field(ge=0, le=1, strict=True)] | None = Field(
        default=None,
        description="The share of the matching requests that the rule answers; always if absent.",
    )
    expires: Annotated[Any, PlainValidator(_check_expires), WithJsonSchema(schemas.EXPIRES)] = Field(
        default=None, description="From this moment on the rule does not match."
    )

    def __post_init__(self) -> None:
        # Right behind the validators, which have parsed the match a moment ago.
        _ = self.matched

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
    def delays(self) -> Delay:
        """`delay`, in seconds."""
        return Delay() if self.delay is None else parse_rule_delay(self.delay)

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

    def reply(self, name: str) -> Response:
        """The response that the rule gives, under the name that it goes by."""
        content: Content | None = None
        if self.json is not MISSING:
            content = Content.from_json(self.json)
        elif self.text is not None:
            content = Content.from_text(self.text)
        elif self.file is not None:
            media_type, encoding = _MEDIA_TYPES.guess_type(str(self.file))
            # A compressed file is sent as the archive that it is, not as an encoding of what is inside.
            unknown = "application/octet-stream"
            content = Content(Path(self.file).read_bytes(), unknown if encoding else media_type or unknown)
        status = 202 if self.status is None else self.status
        return build_reply(status, rule=name, headers=header_pairs(self.headers), content=content)


def _declared_again(keys: dict[str, Any]) -> Rule:
    return Rule(**keys)


RULE_KEYS = tuple(field.name for field in fields(Rule) if field.init)
WHEN_KEYS = tuple(field.name for field in fields(When))

_validate = Rule.__init__


@wraps(_validate)
def _init(self: Rule, *args: Any, **kwargs: Any) -> None:
    if len(args) > 1:
        raise TypeError("Rule takes the match by position and everything else by name")
    try:
        _validate(self, *args, **kwargs)
    except ValidationError as error:
        found = findings(error, lambda place: WHEN_KEYS if place == ("when",) else () if place else RULE_KEYS)
        # `match` is the one that may be given by position.
        raise ConfigError(
            problem._replace(source="Rule", key="match" if problem.key == "0" else problem.key)
            for _, problem in found
        ) from None


Rule.__init__ = _init  # type: ignore[method-assign]
