"""What a handler has to do, in whatever framework: which requests it answers, with what.

Law: a value, and what every framework's writer has to know of it; nothing here knows one of them. A
framework that cannot do what a handler asks for refuses with a `ValueError` that says why; none answers with
something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from .messages import HOP_BY_HOP
from .paths import Parameter

# Those that every framework has a word for, in the order in which people list them.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# RFC 9562 section 4, and the dashes may be left out: what Starlette's converters accept.
EXPRESSIONS: Mapping[str, str] = {
    "str": "[^/]+",
    "path": ".*",
    "int": "[0-9]+",
    "float": r"[0-9]+(?:\.[0-9]+)?",
    "uuid": "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
}

# What is printed is to be read. 32,767 bytes become at most 65,534 of the 65,535 that a constant of a Java
# class may have (JVMS section 4.4.7): the only language with such a limit.
MAX_BODY_BYTES = 32_767


class Handler(NamedTuple):
    """The requests with one of `methods` (none: any) on a path made of `tokens` get this response.

    `fields` are those of the response in order, repeated where a field is; `Content-Length` is not among
    them, and `has_length` says whether the response has one. `about` has the sentences that stand above the
    code.
    """

    methods: tuple[str, ...]
    tokens: tuple[str | Parameter, ...]
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    has_length: bool
    about: tuple[str, ...] = ()

    @property
    def content_type(self) -> str | None:
        return next((value for name, value in self.fields if name.lower() == "content-type"), None)

    @property
    def other_fields(self) -> tuple[tuple[str, str], ...]:
        """All but the Content-Type."""
        return tuple((name, value) for name, value in self.fields if name.lower() != "content-type")

    @property
    def text(self) -> str | None:
        """The body where it is text in UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    @property
    def has_content(self) -> bool:
        """Whether the status allows of any (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5)."""
        return self.status not in (204, 205, 304)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(token for token in self.tokens if isinstance(token, Parameter))

    @property
    def template(self) -> str:
        """The path as it is written in a rule."""
        return "".join(
            token if isinstance(token, str) else f"{{{token.name}:{token.kind}}}" for token in self.tokens
        ).replace(":str}", "}")

    def listed_methods(self, *, get_has_head: bool) -> list[str]:
        """The methods by name. `get_has_head`: the framework answers HEAD wherever it answers GET."""
        methods = [
            *(name for name in METHODS if name in self.methods or not self.methods),
            *sorted(name for name in self.methods if name not in METHODS),
        ]
        return [name for name in methods if not (get_has_head and name == "HEAD" and "GET" in methods)]

    def with_other_names(self, taken: Collection[str]) -> Handler:
        """The same, but that a parameter whose name is `taken` gets another: one that ends in `_`."""
        names = {parameter.name for parameter in self.parameters}
        tokens: list[str | Parameter] = []
        for token in self.tokens:
            if isinstance(token, Parameter):
                name = token.name
                while name in taken or (name != token.name and name in names):
                    name += "_"
                token = token._replace(name=name)
            tokens.append(token)
        return self._replace(tokens=tuple(tokens))

    def for_wsgi(self) -> Handler:
        """PEP 3333, "Other HTTP Features": an application may not send "hop-by-hop" fields, and servers
        answer 500 to them."""
        hop_by_hop = [name for name, _ in self.fields if name.lower() in HOP_BY_HOP]
        if not hop_by_hop:
            return self
        left_out = f"Left out, since WSGI has no room for it: {', '.join(dict.fromkeys(hop_by_hop))}."
        return self._replace(
            fields=tuple(field for field in self.fields if field[0] not in hop_by_hop),
            about=(*self.about, left_out),
        )


class Framework(NamedTuple):
    """A framework that code can be written in.

    `slug` is what it goes by in commands, `title` its name; `language` is what highlighters call that of the
    code; `file` is where the code goes, or where the handler goes if there are several. `write` gives what to
    write into which files of a fresh project, by their names.
    """

    slug: str
    title: str
    language: str
    file: str
    write: Callable[[Handler], Mapping[str, str]]


def expression(
    handler: Handler, *, group: str = "?:", literal: Callable[[str], str] = lambda text: text
) -> str:
    """A regular expression for the whole path, in the syntax that all languages share.

    `group` is how a group begins, with `{}` for its name; `literal` is what becomes of a literal text before
    it is compared.
    """
    return "".join(
        _quoted(literal(token))
        if isinstance(token, str)
        else f"({group.format(token.name)}{EXPRESSIONS[token.kind]})"
        for token in handler.tokens
    )


def _quoted(text: str) -> str:
    # No more than what has a meaning: RE2 and JavaScript refuse escapes of other characters.
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def segments(handler: Handler) -> Iterator[list[str | Parameter]]:
    """The tokens between two slashes of the path."""
    segment: list[str | Parameter] = []
    for token in handler.tokens:
        if isinstance(token, Parameter):
            segment.append(token)
            continue
        first, *others = token.split("/")
        segment += [first] if first else []
        for other in others:
            yield segment
            segment = [other] if other else []
    yield segment
