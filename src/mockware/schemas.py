"""What JSON Schema can say of the values in a rules file, for the editors that complete and check one.

Law: a value that is refused here is refused when the rules load, and the other way round wherever a schema
can tell; one table of good and bad files in the tests holds the two against each other. What it takes to be
right is written beside each value's parser; here is only its outline. Patterns are kept to what Python's and
JavaScript's expressions have in common.
"""

from __future__ import annotations

import json
from typing import Any

from .cors import ANY, MAX_ORIGIN_CHARS, ORIGIN
from .cors import RULE_NAME as CORS_RULE_NAME
from .durations import DURATION_HINT, MAX_DELAY_S, MAX_SIGMA
from .messages import TOKEN
from .replies import RESERVED_HEADERS
from .statuses import CATALOGUE
from .triggers import RULE_NAME as TRIGGER_RULE_NAME
from .triggers import SOURCE_NAME as _SOURCE_NAME

_END = r"(?!\n)$"  # in Python, `$` alone lets a newline slip in
_DECIMALS = r"(\.[0-9]{1,9})?"
_NO_DECIMALS = r"(\.0{1,9})?"


def _any_case(words: str) -> str:
    """An expression for words whose letters have no case; the two languages write a flag differently."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in words)


MATCH = {"type": "string", "pattern": rf"^\s*({TOKEN}(,{TOKEN})*\s*)?/[^?#]*{_END}"}
PATH = {"type": "string", "pattern": f"^/[^?#]*{_END}"}
PREFIX = {"type": "string", "pattern": "^/"}
WORD = {"type": "string", "pattern": f"^(?!({_any_case('on|off')})$)[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}{_END}"}
# What X-Mock-Rule and the metrics say of mocks that are no rule's.
RESERVED_NAMES = (TRIGGER_RULE_NAME, CORS_RULE_NAME)
NAME = {
    "type": "string",
    "pattern": f"^(?!({_any_case('|'.join(('on', 'off', *RESERVED_NAMES)))})$)"
    f"[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}{_END}",
}

SOURCE_NAME = {"type": ["string", "null"], "pattern": f"^{_SOURCE_NAME}{_END}"}
_LISTED_ORIGIN = {
    "type": "string",
    "pattern": f"^(?!http:.*:80$|https:.*:443$){ORIGIN}{_END}",
    "maxLength": MAX_ORIGIN_CHARS,
}
_ANY_ORIGIN = {"const": [ANY]}
ORIGINS = {"anyOf": [{"type": "array", "items": _LISTED_ORIGIN, "minItems": 1}, _ANY_ORIGIN]}
REQUEST_HEADER_NAME = {"type": "string", "pattern": f"^{TOKEN}{_END}"}
REPLY_HEADER_NAME = {
    "type": "string",
    "pattern": f"^(?!({_any_case('|'.join(sorted(RESERVED_HEADERS)))})$){TOKEN}{_END}",
}
_FIELD_VALUE = {
    "type": ["string", "integer"],
    "pattern": f"^([!-~\u0080-\u00ff]+( +[!-~\u0080-\u00ff]+)*)?{_END}",
}
REPLY_HEADERS = {
    "type": "object",
    "propertyNames": REPLY_HEADER_NAME,
    "additionalProperties": {"anyOf": [_FIELD_VALUE, {"type": "array", "items": _FIELD_VALUE}]},
}

HEADER_CHANGES = {
    "type": "object",
    "propertyNames": REPLY_HEADER_NAME,
    "additionalProperties": {
        "anyOf": [_FIELD_VALUE, {"type": "array", "items": _FIELD_VALUE}, {"enum": [False, None]}]
    },
}

# At most `MAX_DELAY_S`, whatever its unit; nine digits before the point.
_DURATION = {
    "type": "string",
    "pattern": (
        r"^(?=[0-9]{1,9}[.ms])0*("
        rf"([0-9]{{1,4}}|[12][0-9]{{4}}){_DECIMALS}ms|30000{_NO_DECIMALS}ms|"
        rf"[12]?[0-9]{_DECIMALS}s|30{_NO_DECIMALS}s|"
        rf"0(\.[0-4][0-9]{{0,8}}|\.50{{0,8}})?m){_END}"
    ),
    "description": f"{DURATION_HINT}; at most {MAX_DELAY_S:g}s",
}


def _spread(duration: dict[str, Any]) -> list[dict[str, Any]]:
    """A duration, or one of many: each as likely, or log-normal."""
    return [
        duration,
        {
            "type": "object",
            "properties": {"min": duration, "max": duration},
            "required": ["min", "max"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "median": duration,
                "sigma": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SIGMA},
                "max": duration,
            },
            "required": ["median", "sigma"],
            "additionalProperties": False,
        },
    ]


DELAY = {"anyOf": [*_spread(_DURATION), {"type": "null"}]}
DRIP = {"anyOf": [_DURATION, {"type": "null"}]}
LONGEST_DELAY = _DURATION
# Longer than anybody waits: the life of a task, which is only ever looked at.
LONG_DURATION = {"type": "string", "pattern": rf"^[0-9]{{1,9}}{_DECIMALS}(ms|s|m|h){_END}"}
# Such a one that is no time at all says nothing.
SOME_TIME = {**LONG_DURATION, "pattern": "^(?!0+([.]0+)?[a-z])" + LONG_DURATION["pattern"].removeprefix("^")}
MAX_AGE = {"anyOf": [LONG_DURATION, {"type": "null"}]}
OPTIONAL_TIME = {"anyOf": [SOME_TIME, {"type": "null"}]}
TASK_TIME = {"anyOf": _spread(LONG_DURATION)}
MONITOR = {"type": "string", "pattern": r"^/[^?#]*\{task_id\}[^?#]*" + _END}
_NAMED_CALLER = f"header:{TOKEN}|cookie:.+|query:.+"
CALLER = {"type": ["string", "null"], "pattern": f"^(rule|path|{_NAMED_CALLER}){_END}"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
PROBABILITY = {
    "anyOf": [
        _SHARE,
        {
            "type": "object",
            "properties": {
                "value": _SHARE,
                "per": {"type": "string", "pattern": f"^(path|{_NAMED_CALLER}){_END}"},
                "seed": {"type": ["string", "integer"]},
            },
            "required": ["value", "per"],
            "additionalProperties": False,
        },
        {"type": "null"},
    ]
}
EXPIRES = {
    "type": ["string", "null"],
    "format": "date-time",
    "pattern": r"^[0-9][0-9W-]{6,9}.[0-9][0-9:.,]+([zZ]|[+-][0-9][0-9:.,]+)" + _END,
}
STATUS = {"type": "integer", "minimum": 200, "maximum": 599}
FILE = {"type": ["string", "null"], "minLength": 1}

# Referred to by its name, since it may hold itself. pydantic knows only definitions of its own making, and
# leaves alone what looks like one on the web; `with_definitions` puts the right reference into its place.
_ELSEWHERE = "https://condition.invalid/"
CONDITION = {"$ref": _ELSEWHERE}
_DEFINITIONS: dict[str, Any] = {
    "Condition": {
        "description": "A string is compared whole; a list means any of; all that a table says must hold.",
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            {
                "type": "object",
                "properties": {
                    "regex": {"type": "string", "format": "regex", "description": "Searched for."},
                    "contains": {"type": "string"},
                    "present": {"type": "boolean"},
                    "not": {**CONDITION, "description": "Another condition, which must not hold."},
                },
                "additionalProperties": False,
                "minProperties": 1,
            },
        ],
    }
}
CONDITIONS = {"type": "object", "additionalProperties": CONDITION}
HEADER_CONDITIONS = {**CONDITIONS, "propertyNames": REQUEST_HEADER_NAME}


def with_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that pydantic made, with what it refers to here."""
    schema = {**schema, "$defs": {**schema["$defs"], **_DEFINITIONS}}
    complete: dict[str, Any] = json.loads(json.dumps(schema).replace(_ELSEWHERE, "#/$defs/Condition"))
    return complete


_WITHOUT_BODY = sorted(code for code, status in CATALOGUE.items() if not status.has_body)
_NULL = {"type": "null"}


def _given(key: str, value: Any) -> dict[str, Any]:
    return {"properties": {key: value}, "required": [key]}


# Which keys of a reply go together: one body, where there may be one.
REPLY_BODY: dict[str, Any] = {
    "allOf": [
        {
            "if": _given("status", {"enum": _WITHOUT_BODY}),
            "then": {"properties": {"json": False, "text": _NULL, "file": _NULL}},
        },
        {
            "if": _given("status", {"enum": [204, 304]}),
            "then": {
                "properties": {
                    "headers": {"propertyNames": {"not": {"pattern": f"^{_any_case('content-type')}{_END}"}}}
                }
            },
        },
        {"if": {"required": ["json"]}, "then": {"properties": {"text": _NULL, "file": _NULL}}},
        {"if": _given("text", {"type": "string"}), "then": {"properties": {"file": _NULL}}},
    ]
}
REPLY: dict[str, Any] = {
    "allOf": [
        *REPLY_BODY["allOf"],
        {"if": _given("fault", {"enum": ["stall", "empty"]}), "then": {"properties": {"drip": _NULL}}},
    ]
}

_NO_REPLY = {
    "status": _NULL,
    "headers": {"maxProperties": 0},
    "json": False,
    "text": _NULL,
    "file": _NULL,
}
_NOT_SENT = {"template": {"const": False}, "drip": _NULL, "fault": _NULL}
_LET_THROUGH = [_given("passthrough", {"const": True}), _given("patch", {"type": "object"})]
_ACCEPTED = _given("task", {"type": "object"})
_IN_TURN = _given("replies", {})

# Which keys of a rule go together: one action, and beside it what says something of that.
RULE: dict[str, Any] = {
    "allOf": [
        *REPLY["allOf"],
        {
            "if": _IN_TURN,
            "then": {
                "properties": {**_NO_REPLY, "patch": _NULL, "task": _NULL, "passthrough": {"const": False}}
            },
        },
        {"if": {"anyOf": [*_LET_THROUGH, _ACCEPTED]}, "then": {"properties": {**_NO_REPLY, **_NOT_SENT}}},
        {"not": {"allOf": _LET_THROUGH}},
        {"if": _ACCEPTED, "then": {"properties": {"patch": _NULL, "passthrough": {"const": False}}}},
        {"if": {"not": {"anyOf": _LET_THROUGH}}, "then": {"properties": {"delay_after": _NULL}}},
        {"if": {"not": _IN_TURN}, "then": {"properties": {"then": _NULL}}},
        {
            "if": {"not": {"anyOf": [_IN_TURN, _ACCEPTED, _given("times", {"type": "integer"})]}},
            "then": {"properties": {"count_per": _NULL}},
        },
    ]
}

# To credentials, neither wildcard is one.
CORS: dict[str, Any] = {
    "if": _given("credentials", {"const": True}),
    "then": {
        "properties": {"origins": {"not": _ANY_ORIGIN}, "exposed_headers": {"items": {"not": {"const": ANY}}}}
    },
}

# With `run`, the app's response is the outcome; where the same URL is asked again there is no monitor.
TASK: dict[str, Any] = {
    "allOf": [
        {
            "if": _given("run", {"type": "string"}),
            "then": {
                "properties": {
                    "result": _NULL,
                    "failure": _NULL,
                    "duration": {"const": "5s"},
                    "queue_time": {"const": "0s"},
                }
            },
            "else": {"properties": {"timeout": _NULL}},
        },
        {
            "if": _given("dialect", {"const": "github"}),
            "then": {"properties": {"monitor": _NULL, "cancel": {"const": False}}},
        },
        {
            "if": {"not": _given("dialect", {"const": "google"})},
            "then": {"properties": {"operation_name": _NULL}},
        },
    ]
}
