"""The contract of the control API, as an OpenAPI document: what it takes and what it gives.

Law: this is the one place where the API is described; the server's tests and the page are held to it. What
a rule may have is the business of the rules file's own schema, and is not told here again.
"""

from __future__ import annotations

from typing import Any

from .changes import DEFAULT_FOR_S, MAX_FOR_S, MAX_USES, MAX_WORDS_CHARS
from .counters import COUNTER_TTL_S
from .journal import MAX_ENTRIES
from .tokens import MAX_LIFETIME_S
from .trigger_cookies import DEFAULT_FOR_S as DEFAULT_COOKIE_FOR_S
from .trigger_cookies import MAX_PATHS

_TEXT: dict[str, Any] = {"type": "string"}
_WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0}
_YES_OR_NO: dict[str, Any] = {"type": "boolean"}
_MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _table(properties: dict[str, Any], *required: str, closed: bool = False) -> dict[str, Any]:
    table: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        table["required"] = list(required)
    if closed:
        table["additionalProperties"] = False
    return table


def _whole_table(**properties: dict[str, Any]) -> dict[str, Any]:
    """A table that always has all of its keys."""
    return _table(properties, *properties)


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_WORDS = {"type": "string", "minLength": 1, "maxLength": MAX_WORDS_CHARS, "pattern": r"\S"}
_CHANGE_KEYS: dict[str, Any] = {
    "by": {**_WORDS, "description": "Who changes it."},
    "why": {**_WORDS, "description": "What for."},
    "for": {
        "type": ["string", "null"],
        "description": f"A duration such as `30m`, after which the change reverts; {DEFAULT_FOR_S / 3600:g}h "
        f"if absent, at most {MAX_FOR_S / 3600:g}h, and with `uses` {COUNTER_TTL_S / 3600:g}h.",
        "examples": ["30m", "8h"],
    },
    "uses": {
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": MAX_USES,
        "description": "After so many answers the change reverts, or when its time is over.",
    },
}
_RULE_DOCUMENT: dict[str, Any] = {
    "type": "object",
    "description": "A rule as in a rules file (`mockware schema`); it names no `file`.",
    "required": ["match"],
    "properties": {"match": {"type": "string"}},
    "examples": [{"name": "payments-down", "match": "POST /payments", "status": 503}],
}

_SCHEMAS: dict[str, Any] = {
    "Problem": {
        **_table(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "problems": _list(_ref("Finding")),
            },
            "type",
            "title",
            "status",
        ),
        "description": "Problem details (RFC 9457), with everything that is wrong with what was sent.",
    },
    "Finding": _whole_table(source=_TEXT, rule=_TEXT, key=_TEXT, value=_TEXT, message=_TEXT),
    "Change": _whole_table(
        on=_YES_OR_NO,
        by=_TEXT,
        why=_TEXT,
        at=_MOMENT,
        until=_MOMENT,
        uses=_or_null(_WHOLE),
        uses_left=_or_null(_WHOLE),
        beneath=_or_null(
            {**_ref("Change"), "description": "Who added or replaced the rule that this one only switches."}
        ),
    ),
    "Action": _whole_table(
        kind={"enum": ["reply", "replies", "task", "patch", "passthrough"]},
        status=_or_null({"type": "integer"}),
        summary=_TEXT,
    ),
    "Listed": _whole_table(
        name=_TEXT,
        match=_TEXT,
        tags=_list(_TEXT),
        source=_TEXT,
        on=_YES_OR_NO,
        declared_on=_or_null({**_YES_OR_NO, "description": "Null: it is in no file."}),
        runtime={**_YES_OR_NO, "description": "Whether it was added, or replaced, at run time."},
        expires=_or_null(_MOMENT),
        expired=_YES_OR_NO,
        hits={**_WHOLE, "description": "By this process, since it started."},
        last_hit=_or_null(_MOMENT),
        action=_ref("Action"),
        change=_or_null(_ref("Change")),
    ),
    "Rules": _whole_table(
        rules=_list(_ref("Listed")),
        scope={
            "enum": ["process", "store"],
            "description": "`process`: it holds in this worker only. `store`: in all that share it.",
        },
        store=_TEXT,
        store_away={**_YES_OR_NO, "description": "The store does not answer; the last known changes hold."},
        generation={**_WHOLE, "description": "Grows with each swap of the rules, in each process by itself."},
        problems=_list(_ref("Finding")),
        process={"type": "integer"},
    ),
    "RuleAlone": {
        "allOf": [_ref("Listed"), _table({"rule": {"type": "object"}}, "rule")],
    },
    "Changed": _whole_table(rules=_list(_ref("Listed"))),
    "Switch": _table({"on": _YES_OR_NO, **_CHANGE_KEYS}, "on", "by", "why", closed=True),
    "NewRule": _table({"rule": _RULE_DOCUMENT, **_CHANGE_KEYS}, "rule", "by", "why", closed=True),
    "Reason": _table({key: _CHANGE_KEYS[key] for key in ("by", "why")}, "by", "why", closed=True),
    "CookieWish": _table(
        {
            "status": {**_TEXT, "description": "As X-Mock-Status has it.", "examples": ["503"]},
            "paths": {
                "anyOf": [{"type": "array", "items": _TEXT, "maxItems": MAX_PATHS}, {"type": "null"}],
                "description": "The only paths where it is heeded; `*` stands for any characters.",
            },
            "for": {
                "type": ["string", "null"],
                "description": f"A duration, such as `15m`; {DEFAULT_COOKIE_FOR_S / 3600:g}h if absent, "
                f"at most {MAX_LIFETIME_S / 3600:g}h.",
            },
            "by": _CHANGE_KEYS["by"],
        },
        *("status", "by"),
        closed=True,
    ),
    "Cookie": _whole_table(
        name=_TEXT,
        value={**_TEXT, "description": "Encoded, with a token in it."},
        asks=_TEXT,
        allows=_TEXT,
        expires=_MOMENT,
        max_age_s=_WHOLE,
    ),
    "CookieName": _whole_table(
        name=_or_null(_TEXT), unavailable={**_TEXT, "description": "Why there is no such cookie."}
    ),
    "Draft": _table(
        {"rule": {"type": "object", "description": "A rule as in a rules file, right or wrong."}},
        "rule",
        closed=True,
    ),
    "Verdict": _whole_table(valid=_YES_OR_NO, problems=_list(_ref("Finding"))),
    "Question": _table(
        {
            "method": {"type": ["string", "null"], "examples": ["POST"]},
            "path": {
                "type": "string",
                "description": "Percent-encoded, with its query, without what stands before the app's paths.",
                "examples": ["/reports?draft=1"],
            },
            "headers": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
            "body": _or_null({"type": "string"}),
        },
        "path",
        closed=True,
    ),
    "Explanation": _whole_table(
        answers=_list(
            _whole_table(
                who=_TEXT,
                share={"type": "number"},
                delay=_TEXT,
                turn=_TEXT,
                manner=_TEXT,
                sentence=_TEXT,
                response=_or_null(
                    _whole_table(
                        status={"type": "integer"},
                        reason=_TEXT,
                        headers=_list(_list(_TEXT)),
                        body=_TEXT,
                        raw=_TEXT,
                    )
                ),
            )
        ),
        notes=_list(_TEXT),
        misses=_list(_whole_table(label=_TEXT, reason=_TEXT)),
        left_out=_WHOLE,
    ),
    "Entry": _table(
        {
            "id": _WHOLE,
            "at": _MOMENT,
            "rule": _TEXT,
            "method": _TEXT,
            "path": _TEXT,
            "status": _or_null({"type": "integer"}),
            "delay_s": {"type": "number"},
            "headers": {"type": "object", "additionalProperties": _TEXT},
            "body": _TEXT,
        },
        *("id", "at", "rule", "method", "path", "status", "delay_s", "headers"),
    ),
    "NearMiss": _whole_table(
        id=_WHOLE,
        at=_MOMENT,
        rule=_TEXT,
        method=_TEXT,
        path=_TEXT,
        field=_TEXT,
        expected=_TEXT,
        found=_TEXT,
    ),
    "Journal": _table(
        {
            "entries": _list(_ref("Entry")),
            "misses": _list(_ref("NearMiss")),
            "last_id": _WHOLE,
            "process": {"type": "integer"},
        },
        "last_id",
        "process",
    ),
}

_STATUS_KEYS: dict[str, Any] = {
    "code": {"type": "integer"},
    "phrase": _TEXT,
    "meaning": _TEXT,
    "section": _TEXT,
    "link": _TEXT,
    "reference": _TEXT,
}
_SCHEMAS |= {
    "Statuses": _whole_table(statuses=_list(_whole_table(**_STATUS_KEYS))),
    "Reference": _whole_table(
        **_STATUS_KEYS,
        response=_whole_table(status={"type": "integer"}, headers=_list(_list(_TEXT)), body=_TEXT, raw=_TEXT),
        curl={**_TEXT, "description": "Gets it here; empty where nothing does."},
        unavailable={**_TEXT, "description": "Why nothing gets it here."},
        trigger=_TEXT,
        snippets=_list(
            _whole_table(
                framework=_TEXT,
                title=_TEXT,
                language=_TEXT,
                files=_list(_whole_table(path=_TEXT, text=_TEXT)),
            )
        ),
    ),
}

_CODE = {
    "name": "code",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[2-5][0-9]{2}$"},
}
_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
}
_ERRORS = {
    "400": "What was sent is not JSON, or a parameter is wrong.",
    "401": "`Authorization: Bearer KEY` is missing or wrong.",
    "403": "The request was sent by a page of another origin.",
    "404": "There is nothing of this name.",
    "405": "Another method is needed here.",
    "413": "The body is too long.",
    "415": "The body is not `application/json`.",
    "422": "What was sent cannot be done; `problems` says why.",
    "429": "Too many wrong keys from this address; `Retry-After` says when to try again.",
    "501": "A WSGI server has no events; poll the journal.",
    "503": "The store does not answer, and nothing was changed; or there are too many streams.",
}
_COMMON = ("401", "403", "413", "429")
_CHANGING = (*_COMMON, "400", "415", "422", "503")


def _problem(status: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {"description": _ERRORS[status], "content": content}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


def _operation(
    summary: str,
    gives: str | dict[str, Any],
    *errors: str,
    takes: str = "",
    parameters: tuple[dict[str, Any], ...] = (),
    created: bool = False,
) -> dict[str, Any]:
    content = _json(gives) if isinstance(gives, str) else gives
    good = {"description": "Done.", "content": content}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": good,
            **({"201": good} if created else {}),
            **{status: _problem(status) for status in sorted({*_COMMON, *errors})},
        },
    }
    if takes:
        operation["requestBody"] = {"required": True, "content": _json(takes)}
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _query(name: str, description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    place = {"name": name, "in": "query", "required": required, "description": description}
    return {**place, "schema": schema}


def document(prefix: str, version: str) -> dict[str, Any]:
    """The OpenAPI document of an API that is mounted at `prefix`, a URL's path."""
    by_and_why = (
        _query("by", "Who takes it away.", _WORDS, required=True),
        _query("why", "What for.", _WORDS, required=True),
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mockware control",
            "version": version,
            "description": "See and switch the mocks of a running app. Every change says who made it and "
            "why, and reverts by itself.",
        },
        "servers": [{"url": f"{prefix}/api"}],
        "security": [{"key": []}],
        "paths": {
            "/rules": {
                "get": _operation("All rules, in the order in which they are asked.", "Rules"),
                "post": _operation(
                    "Add a rule under its own name, or its match, or replace the one of that name.",
                    "RuleAlone",
                    *_CHANGING,
                    takes="NewRule",
                    created=True,
                ),
            },
            "/rules/{name}": {
                "parameters": [_NAME],
                "get": _operation("One rule, with all that it declares.", "RuleAlone", "404"),
                "put": _operation(
                    "Add a rule of this name, or replace it.",
                    "RuleAlone",
                    *_CHANGING,
                    takes="NewRule",
                    created=True,
                ),
                "patch": _operation(
                    "Switch a rule on or off.", "RuleAlone", "404", *_CHANGING, takes="Switch"
                ),
                "delete": _operation(
                    "Take a run-time rule away, or revert the change of a declared one.",
                    "Changed",
                    *("400", "404", "422", "503"),
                    parameters=by_and_why,
                ),
            },
            "/tags/{name}": {
                "parameters": [_NAME],
                "patch": _operation(
                    "Switch all rules that have a tag.", "Changed", "404", *_CHANGING, takes="Switch"
                ),
            },
            "/reset": {
                "post": _operation("Revert every change.", "Changed", *_CHANGING, takes="Reason"),
            },
            "/validate": {
                "post": _operation(
                    "What is wrong with a rule, if anything.", "Verdict", "400", "415", "422", takes="Draft"
                ),
            },
            "/explain": {
                "post": _operation(
                    "What would become of a request, and why no other rule answers it.",
                    "Explanation",
                    *("400", "415", "422"),
                    takes="Question",
                ),
            },
            "/cookie": {
                "get": _operation("The cookie that asks for mocks, if there is one.", "CookieName"),
                "post": _operation(
                    "A cookie for one browser, with a token that allows what it asks for.",
                    "Cookie",
                    *("400", "415", "422"),
                    takes="CookieWish",
                ),
            },
            "/journal": {
                "get": _operation(
                    "The mocked requests of this process, newest first.",
                    "Journal",
                    "400",
                    parameters=(
                        _query("rule", "Of this rule only.", _TEXT),
                        _query(
                            "limit",
                            "How many.",
                            {"type": "integer", "minimum": 1, "maximum": MAX_ENTRIES, "default": 100},
                        ),
                        _query("after", "Only what came after this id.", _WHOLE),
                        _query(
                            "misses",
                            "1: the requests that matched a rule's path and nothing more.",
                            {"enum": ["0", "1"]},
                        ),
                    ),
                ),
            },
            "/statuses": {
                "get": _operation("The statuses that have a name, and what each means.", "Statuses"),
            },
            "/statuses/{code}": {
                "parameters": [_CODE],
                "get": _operation(
                    "A status as a mock, the line that asks for it, and the code that gives it.",
                    "Reference",
                    "404",
                ),
            },
            "/events": {
                "get": _operation(
                    "Server-sent events: `mock` (an entry of the journal), `rules` (the generation).",
                    {"text/event-stream": {"schema": _TEXT}},
                    *("501", "503"),
                ),
            },
            "/export": {
                "get": _operation(
                    "The rules that are on, as a rules file.",
                    {
                        "application/json": {"schema": {"type": "object"}},
                        "application/toml": {"schema": _TEXT},
                    },
                    *("400", "422"),
                    parameters=(
                        _query("format", "Of the file.", {"enum": ["json", "toml"], "default": "toml"}),
                    ),
                ),
            },
            "/openapi.json": {
                "get": _operation("This document.", {"application/json": {"schema": {"type": "object"}}}),
            },
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
