"""The code that gives a mock's response without mockware, in each of eight frameworks.

Law: the response is the one that the mock gives: the engine is asked for it, and only what marks it as a
mock is taken off (`X-Mock-Rule`, the `Cache-Control` that mockware adds). What a rule says beyond one
response cannot be in the code, and the code says so. How a framework is written is in its own file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from . import (
    aspnet_code,
    django_code,
    express_code,
    fastapi_code,
    flask_code,
    go_code,
    rails_code,
    spring_code,
)
from .configuration import Configuration, Entry
from .decisions import BodyNeeded, Run
from .engine import Snapshot
from .exceptions import did_you_mean, quoted
from .handlers import EXPRESSIONS, MAX_BODY_BYTES, Framework, Handler
from .messages import Request, Response
from .paths import Parameter
from .reference_page import Panel
from .replies import build_reply
from .rules import Rule

FRAMEWORKS: Mapping[str, Framework] = MappingProxyType(
    {
        module.FRAMEWORK.slug: module.FRAMEWORK
        for module in (
            django_code,
            flask_code,
            fastapi_code,
            express_code,
            spring_code,
            go_code,
            rails_code,
            aspnet_code,
        )
    }
)
"""The frameworks that code can be written in, by what they are called in commands."""

# Values for parameters of a path, for a request that stands for all of them.
_SAMPLES = {
    "str": "example",
    "path": "example",
    "int": "1",
    "float": "1.5",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

# Keys of a rule that no code for one response can express, and what each is, in the order of the schema.
_LEFT_OUT = {
    "when": "its conditions (when)",
    "template": "its templates, of which this is what one request got",
    "delay": "its delay",
    "drip": "its drip",
    "fault": "its fault",
    "task": "what becomes of its task",
    "times": "how often it answers (times)",
    "count_per": "by what it counts (count_per)",
    "probability": "its probability",
    "expires": "its end (expires)",
}
# Those of them that each of several replies may have.
_MANNERS = ("template", "delay", "drip", "fault")


# What people say who mean one of them.
_BY_OTHER_NAMES = {
    "golang": "go",
    "net/http": "go",
    "node": "express",
    "nodejs": "express",
    "javascript": "express",
    "spring": "spring-boot",
    "springboot": "spring-boot",
    "java": "spring-boot",
    "ruby": "rails",
    "ruby-on-rails": "rails",
    "aspnet": "aspnet-core",
    "dotnet": "aspnet-core",
    "net": "aspnet-core",
    "csharp": "aspnet-core",
    "starlette": "fastapi",
    "python": "flask",
}


def framework_named(slug: str) -> Framework:
    """Raises ValueError, with the nearest right word, where there is none."""
    if slug not in FRAMEWORKS:
        if other := _BY_OTHER_NAMES.get(slug.lower().replace(".", "").replace(" ", "-")):
            raise ValueError(f"{quoted(slug)} is no framework; did you mean `{other}`?")
        raise ValueError(f"{quoted(slug)} is no framework{did_you_mean(slug, FRAMEWORKS)}")
    return FRAMEWORKS[slug]


def as_values(slug: str, files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A framework and its files, for programs that read JSON."""
    framework = FRAMEWORKS[slug]
    told: dict[str, Any] = {"framework": slug, "title": framework.title, "language": framework.language}
    if files is not None:
        told["files"] = [{"path": path, "text": text} for path, text in files.items()]
    return told


@lru_cache(maxsize=64)  # of 400 codes, those that are looked at
def status_values(code: int) -> Sequence[Mapping[str, Any]]:
    """`status_files` in all frameworks, for programs that read JSON. Raises ValueError as that."""
    return tuple(as_values(slug, status_files(code, slug)) for slug in FRAMEWORKS)


def status_files(code: int, framework: str) -> Mapping[str, str]:
    """The code that answers GET /status/CODE as a mock of `code` does: files by their names.

    Raises ValueError for a status that is none, and for an unknown framework.
    """
    written_in = framework_named(framework)
    response = build_reply(code, rule="")
    about = f"What a mock of status {code} answers, without mockware."
    return written_in.write(_handler(("GET", "HEAD"), (f"/status/{code}",), response, (about,)))


def status_snippet(code: int, framework: str) -> str:
    """`status_files` as one text; each file's first line says where it goes. Raises ValueError as that."""
    return "\n".join(status_files(code, framework).values())


@lru_cache(maxsize=64)  # of 400 codes, those that are looked at
def status_panels(code: int) -> tuple[Panel, ...]:
    """`status_snippet` in all frameworks, for a page. Raises ValueError for a status that is none."""
    return tuple(
        Panel(framework.slug, framework.title, framework.language, status_snippet(code, framework.slug))
        for framework in FRAMEWORKS.values()
    )


def rule_files(rule: Rule, framework: str) -> Mapping[str, str]:
    """The code that answers as `rule` does: files by their names.

    Raises ValueError where there is no response (`passthrough` and `patch`), where the framework cannot do
    it, and for an unknown framework.
    """
    written_in = framework_named(framework)
    if rule.passthrough or rule.patch:
        kind = "a passthrough" if rule.passthrough else "a patch"
        raise ValueError(
            f"{kind} has no response of its own: the app gives it, and there is no code to print"
        )
    tokens = rule.matched.template.tokens
    for token in tokens:
        if not isinstance(token, str) and token.kind not in EXPRESSIONS:
            raise ValueError(f"`{token.kind}` is a path converter of your own, which no framework knows")
    methods = tuple(sorted(rule.matched.methods or ()))
    return written_in.write(_handler(methods, tokens, _response_of(rule), tuple(_about(rule)), rule))


def rule_snippet(rule: Rule, framework: str) -> str:
    """`rule_files` as one text; each file's first line says where it goes. Raises ValueError as that."""
    return "\n".join(rule_files(rule, framework).values())


def _about(rule: Rule) -> Iterator[str]:
    yield "What this rule of mockware answers, without mockware:"
    yield f"  {rule.match}" + (f" ({rule.name})" if rule.name else "")
    left_out = [
        words
        for key, words in _LEFT_OUT.items()
        if getattr(rule, key) or (key in _MANNERS and any(getattr(step, key) for step in rule.steps))
    ]
    if len(rule.steps) > 1:
        left_out.append("the replies after its first")
    if left_out:
        yield f"Not in this code: {'; '.join(left_out)}."
    if rule.matched.methods is None:
        yield "A CORS preflight is answered, too, which the rule leaves to the app."


def _response_of(rule: Rule) -> Response:
    """What the engine answers to a request that stands for all of them."""
    template = rule.matched.template
    # Of any method: to a HEAD it would give no body, and the code has to know its length.
    plain = replace(
        rule, match=template.text, when=None, probability=None, expires=None, times=None, count_per=None
    )
    path = "".join(token if isinstance(token, str) else _SAMPLES[token.kind] for token in template.tokens)
    methods = (rule.matched.methods or {"POST"}) - {"HEAD"}
    method = "POST" if "POST" in methods else min(methods, default="GET")
    request = Request(method, path, headers={"host": "localhost:8000"}, body=b"")
    snapshot = Snapshot(Configuration((Entry(rule.name or rule.match, plain, ""),)))
    candidates = snapshot.find(path) or ()
    decision = snapshot.decide(request, candidates)
    if isinstance(decision, BodyNeeded):
        decision = snapshot.decide(request, candidates, resume=decision)
    if isinstance(decision, Run):
        decision = decision.response
    if not isinstance(decision, Response):
        raise ValueError("this rule has no response of its own")
    return decision


def _handler(
    methods: tuple[str, ...],
    tokens: tuple[str | Parameter, ...],
    response: Response,
    about: tuple[str, ...],
    rule: Rule | None = None,
) -> Handler:
    """The marks that a mock bears are taken off, but for what the rule itself declares."""
    if len(response.body) > MAX_BODY_BYTES:
        raise ValueError(
            f"a body of {len(response.body)} bytes is too long for code; at most {MAX_BODY_BYTES} are printed"
        )
    left_out = {"x-mock-rule", "content-length"}
    declared = rule.steps[0].headers if rule is not None and rule.steps else {}
    if not any(name.lower() == "cache-control" for name in declared):
        left_out.add("cache-control")
    fields = tuple((name, value) for name, value in response.headers if name.lower() not in left_out)
    has_length = any(name.lower() == "content-length" for name, _ in response.headers)
    if sum(name.lower() == "content-type" for name, _ in fields) > 1:
        raise ValueError("a response with several Content-Type fields is none that a framework would send")
    return Handler(methods, tokens, response.status, fields, response.body, has_length, about)
