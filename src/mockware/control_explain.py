"""What would become of a request, and why: asked with a table, and answered with one.

Law: asking uses nothing up: neither a turn, nor a count, nor the uses that a change has left.
"""

from __future__ import annotations

from typing import Any

from .configuration import Configuration, Entry
from .control_messages import json_answer, table_of
from .control_views import Desk
from .exceptions import ConfigError, Problem, quoted
from .explanation import THE_APP, explain, read_request
from .messages import Request, Response
from .reference import raw_text

# What a person sees of a body; the raw response has all of it that is shown.
MAX_SHOWN_BYTES = 64 * 1024


def explained(desk: Desk, request: Request) -> Response:
    """The answers, notes and misses for the request that the table describes."""
    given = table_of(request, ("method", "path", "headers", "body"))
    problems: list[Problem] = []
    for key, kinds, expected in (
        ("method", (str, type(None)), "a string"),
        ("path", (str,), "a string"),
        ("headers", (dict, type(None)), "a table of strings"),
        ("body", (str, type(None)), "a string"),
    ):
        if not isinstance(given.get(key), kinds):
            problems.append(Problem("request", f"expected {expected}", key=key, value=quoted(given.get(key))))
    headers = given.get("headers") or {}
    if not problems and not all(isinstance(value, str) for value in headers.values()):
        problems.append(Problem("request", "expected strings", key="headers"))
    if problems:
        raise ConfigError(problems)
    body = given.get("body")
    try:
        asked = read_request(
            f"{given['method']} {given['path']}" if given.get("method") else given["path"],
            [f"{name}: {value}" for name, value in headers.items()],
            None if body is None else body.encode("utf-8", "replace"),
        )
    except ValueError as error:
        raise ConfigError([Problem("request", str(error))]) from None
    found = explain(asked, _unheard(desk), desk.environment, clock=desk.clock)
    notes = list(found.notes)
    if any(answer.who == THE_APP for answer in found.answers):
        said = "this process has {} elsewhere, and they may answer in the app"
        notes += [said.format(rules) for rules in desk.elsewhere]
    return json_answer(
        {
            "answers": [
                {
                    "who": answer.who,
                    "share": answer.share,
                    "delay": str(answer.delay) if answer.delay else "",
                    "turn": answer.turn,
                    "manner": answer.manner,
                    "sentence": answer.sentence,
                    "response": None if answer.response is None else _shown(answer.response),
                }
                for answer in found.answers
            ],
            "notes": notes,
            "misses": [{"label": miss.label, "reason": miss.reason} for miss in found.misses],
            "left_out": found.left_out,
        }
    )


def _unheard(desk: Desk) -> Configuration:
    """The same rules with the uses that are left to them, and nobody is told of one more."""
    applied = desk.applied

    def unheard(entry: Entry) -> Entry:
        change = applied.changes.get(entry.name)
        if entry.budget is None or change is None:
            return entry
        left = desk.runtime.uses_left(change)
        if not left:
            return entry._replace(on=False, budget=None, why_off=f"used up: {entry.budget.uses} uses")
        return entry._replace(budget=entry.budget._replace(uses=left, used=lambda count: None))

    return applied.configuration._replace(entries=tuple(map(unheard, applied.configuration.entries)))


def _shown(response: Response) -> dict[str, Any]:
    raw = raw_text(response)
    return {
        "status": response.status,
        "reason": response.reason,
        "headers": [list(pair) for pair in response.headers],
        "body": response.body[:MAX_SHOWN_BYTES].decode("utf-8", "replace"),
        "raw": raw[:MAX_SHOWN_BYTES],
    }
