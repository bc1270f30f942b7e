"""What the code for the three frameworks in Python has in common.

Law: the language only, and nothing of a framework.
"""

from __future__ import annotations

import keyword

from .handlers import Handler
from .literals import python_bytes, python_string

# What a view calls something else by, besides the language's own words.
TAKEN = frozenset(
    (*keyword.kwlist, "request", "response", "Response", "HttpResponse", "StreamingHttpResponse", "Repeating")
)


def arguments(handler: Handler, *own: str, optional: bool = False) -> str:
    """The arguments of a view: its `own`, and the path's, which if `optional` not every request has."""
    if optional:
        return ", ".join((*own, "**parameters: object"))
    types = {"int": "int", "float": "float", "uuid": "UUID"}
    typed = (f"{p.name}: {types.get(p.kind, 'str')}" for p in handler.parameters)
    return ", ".join((*own, *typed))


def text_or_bytes(handler: Handler) -> str:
    """The body, as text where it is some."""
    text = handler.text
    return python_bytes(handler.body) if text is None else python_string(text)


def imports_of_types(handler: Handler, *own: str, optional: bool = False) -> str:
    """What such arguments need, before all other imports."""
    return "from uuid import UUID\n\n" if ": UUID" in arguments(handler, *own, optional=optional) else ""
