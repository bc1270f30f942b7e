"""What can go wrong, said so that a person can mend it.

Law: an error names the place, the value, what is allowed and the nearest right word. A bad
configuration is reported whole: every problem at once, never the first one only. Nothing here
knows where a configuration comes from; `config.py` fills in the places.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

# Long enough to recognise a value by, short enough for one line of a terminal or a log.
MAX_QUOTED_CHARS = 64
# Ten thousand rules have ten thousand names; a screenful is read, the rest is scrolled past.
MAX_LISTED = 20


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
        found = f"`{self.key}`" if self.key else ""
        if self.value:
            found += f" = {self.value}" if found else self.value
        return ": ".join(part for part in (place, found, self.message) if part)


class ConfigError(MockwareError, ValueError):
    """The configuration cannot be used. `problems` has every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def quoted(value: object) -> str:
    """`value` as one short line of printable ASCII, whatever it is made of."""
    # Cut before and after escaping: a megabyte need not be escaped to be shortened, and one
    # character can become ten.
    text = ascii(value[: MAX_QUOTED_CHARS + 1] if isinstance(value, str) else value)
    if len(text) <= MAX_QUOTED_CHARS + 2:
        return text
    return text[:MAX_QUOTED_CHARS] + "..."


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of a message about a wrong `word`: the nearest known one, and those that are allowed."""
    from difflib import get_close_matches

    # A word longer than any key or name has no near one, and comparing takes quadratic time.
    near = get_close_matches(word.lower(), known, n=1) if len(word) <= 2 * MAX_QUOTED_CHARS else ()
    shown = ", ".join(islice(known, MAX_LISTED))
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return (
        f"; did you mean `{near[0]}`? Allowed: {shown}{more}"
        if near
        else f"; allowed: {shown or 'none'}{more}"
    )
