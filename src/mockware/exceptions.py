"""What can go wrong, said so that a person can mend it.

Law: an error names the place, the value, what is allowed and the nearest right word. A bad
configuration is reported whole: every problem at once, never the first one only. Nothing here
knows where a configuration comes from; `config.py` fills in the places.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from reprlib import Repr
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import date, time

# Long enough to recognise a value by, short enough for one line of a terminal or a log.
MAX_QUOTED_CHARS = 64
# Ten thousand rules have ten thousand names; a screenful is read, the rest is scrolled past.
# A rule has 23 keys, and all of them are shown.
MAX_LISTED = 30
# Comparing takes up to 50 microseconds a name of this length, and a request with a wrong name waits for it.
MAX_COMPARED = 100
MAX_COMPARED_CHARS = 64


class _Short(Repr):
    """Never writes out the whole of a large value, and leaves a table's keys in their order.

    What TOML, YAML and JSON write otherwise than Python, it writes as they do.
    """

    def repr_bool(self, x: bool, level: int) -> str:
        return "true" if x else "false"

    def repr_NoneType(self, x: None, level: int) -> str:  # noqa: N802 - Repr finds it by this name
        return "null"

    def repr_date(self, x: date, level: int) -> str:
        return x.isoformat()

    repr_datetime = repr_date

    def repr_time(self, x: time, level: int) -> str:
        return x.isoformat()

    def repr_dict(self, x: dict[object, object], level: int) -> str:
        if level <= 0:
            return "{...}" if x else "{}"
        pairs = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in islice(x.items(), self.maxdict)
        ]
        return f"{{{', '.join(pairs)}{', ...' if len(x) > self.maxdict else ''}}}"


_short = _Short()
_short.maxdict = _short.maxlist = 4
_short.maxlevel = 4
_short.maxstring = _short.maxother = MAX_QUOTED_CHARS


class MockwareError(Exception):
    """Any error that mockware raises by itself."""


class Problem(NamedTuple):
    """One thing wrong with the configuration.

    `source` is a file name, the name of a variable, or `rules=`; `rule` is the rule's name or
    number; `key` is a dotted path such as `when.headers.x-tenant`; `value` is what was found there,
    already quoted; `message` says what is wrong and what is allowed.
    """

    source: str
    message: str
    rule: str = ""
    key: str = ""
    value: str = ""

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.source, self.rule) if part)
        found = f"`{self.key.encode('unicode_escape').decode()}`" if self.key else ""
        if self.value:
            found += f" = {self.value}" if found else self.value
        return _one_line(": ".join(part for part in (place, found, self.message) if part))


class ConfigError(MockwareError, ValueError):
    """The configuration cannot be used. `problems` has every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class StoreError(MockwareError):
    """The store cannot count just now. What it says names no secret."""


def quoted(value: object) -> str:
    """`value` as one short line of printable ASCII, whatever it is made of."""
    # Cut before and after escaping: a megabyte need not be escaped to be shortened, and one
    # character can become ten.
    if isinstance(value, str):
        text = ascii(value[: MAX_QUOTED_CHARS + 1])
    else:
        try:
            text = _short.repr(value).encode("ascii", "backslashreplace").decode()
        except ValueError:  # an integer with more digits than Python prints
            text = f"a very long {type(value).__name__}"
    if len(text) <= MAX_QUOTED_CHARS + 2:
        return text
    return text[:MAX_QUOTED_CHARS] + "..."


def _one_line(text: str) -> str:
    """The text with every character escaped that could end a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is written much like `word`; nothing where none is."""
    from difflib import get_close_matches

    # A word longer than any key or name has no near one, and comparing takes quadratic time.
    if len(word) > MAX_COMPARED_CHARS:
        return ""
    # By difflib's own measure, others are too unlike whatever letters they have.
    alike = (name for name in known if 2 * min(len(name), len(word)) >= 0.6 * (len(name) + len(word)))
    by_letters = {name.lower(): name for name in islice(alike, MAX_COMPARED)}
    return by_letters[found[0]] if (found := get_close_matches(word.lower(), by_letters, n=1)) else ""


def did_you_mean(word: str, known: Collection[str], meant: Sequence[str] = ()) -> str:
    """The end of a message about a wrong `word`: the nearest known one, and those that are allowed.

    What is `meant` is nearer than what has the same letters.
    """
    near = "` or `".join(meant) or nearest(word, known)
    shown = ", ".join(_one_line(name) for name in islice(known, MAX_LISTED))
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return (
        f"; did you mean `{_one_line(near)}`? Allowed: {shown}{more}"
        if near
        else f"; allowed: {shown or 'none'}{more}"
    )
