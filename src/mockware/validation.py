"""What pydantic found wrong, in the words of this house.

Law: no message of pydantic's about its own machinery reaches a user. Each finding becomes a `Problem`
with its key, its value, what is allowed, and the nearest right word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .exceptions import Problem, did_you_mean, quoted

# The keys that are allowed in the table at a place, such as ("rules", 3, "when").
KnownKeys = Callable[[tuple[int | str, ...]], Collection[str]]
# What to say of a key that is not allowed there, if more than the nearest one; else nothing.
Advice = Callable[[tuple[int | str, ...], str], str]

# What a rule calls by another name than others do; heeded in tables that have that name.
_SYNONYMS = {
    **dict.fromkeys(("path", "method", "methods", "url", "route"), ("match",)),
    "body": ("json", "text", "file"),
}

_EXPECTED = {
    **dict.fromkeys(("dataclass_type", "dict_type", "mapping_type"), "expected a table"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "expected an integer"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "expected a number"),
    **dict.fromkeys(("list_type", "tuple_type", "sequence_str", "is_instance_of"), "expected a list"),
    "bool_type": "expected a boolean: true or false",
    "string_type": "expected a string",
    "string_too_short": "expected a string that is not empty",
}
_UNKNOWN = frozenset(("unexpected_keyword_argument", "unexpected_positional_argument", "extra_forbidden"))
_ABSENT = frozenset(("missing", "missing_argument", "missing_positional_only_argument"))


def findings(
    error: ValidationError, known_keys: KnownKeys, advice: Advice
) -> Iterator[tuple[tuple[int | str, ...], Problem]]:
    """Every finding with its place; the `Problem` still lacks its source and rule."""
    for details in error.errors(include_url=False):
        # Pydantic marks a finding about a key itself by a last part of its own.
        place = tuple(part for part in details["loc"] if part != "[key]")
        key = ".".join(map(str, place))
        value = "" if details["type"] in _ABSENT else quoted(details["input"])
        yield place, Problem("", _message(details, known_keys, advice), key=key, value=value)


def _message(details: ErrorDetails, known_keys: KnownKeys, advice: Advice) -> str:
    if details["type"] in _ABSENT:
        return "required, but absent"
    if details["type"] in _UNKNOWN:
        *outer, key = details["loc"]
        known = known_keys(tuple(outer))
        if found := advice(tuple(outer), str(key)):
            return f"no such key here; {found}{did_you_mean('', known)}"
        meant = [word for word in _SYNONYMS.get(str(key), ()) if word in known]
        return f"no such key{did_you_mean(str(key), known, meant)}"
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    if details["type"] == "literal_error" and isinstance(details["input"], str):
        words = re.findall("'([^']*)'", details["ctx"]["expected"])
        return f"no such word{did_you_mean(details['input'], words)}"
    return _EXPECTED.get(details["type"]) or details["msg"].replace("Input should be", "expected")
