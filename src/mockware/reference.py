"""The reference of a status: the raw response that a mock of it is, and the line that asks for one.

Law: nothing is written down here that is known elsewhere. The response is the one that a trigger gets
(`build_reply`), the facts are the catalogue's, so that the reference cannot differ from what is served.
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from .exceptions import did_you_mean, quoted
from .messages import Response
from .origins import UNKNOWN_ORIGIN
from .replies import build_reply
from .statuses import CATALOGUE, Status, status_for
from .triggers import RULE_NAME, TriggerFields

# Enough of a body to know it by; more would push the headers off the screen.
MAX_SHOWN_CHARS = 2000

_CODE = re.compile("[0-9]+")
# What everybody calls it but the registry, which calls it unused.
_BY_OTHER_NAMES = {"teapot": "418", "im-a-teapot": "418", "i-am-a-teapot": "418"}
_MISTAKEN_FOR_DIGITS = str.maketrans("oil", "011")


class Reference(NamedTuple):
    """All that there is to say of a status: the catalogue's entry, a mock of it, and how to see one."""

    status: Status
    response: Response
    curl: str


def reference_for(
    code: int, *, url: str = f"{UNKNOWN_ORIGIN}/", field: str = TriggerFields().status, vary: str = ""
) -> Reference:
    """The reference of `code`. Raises ValueError unless it is from 200 to 599.

    `field` asks for it; `vary` are the fields that the response depends on, where there are others.
    """
    response = build_reply(code, rule=RULE_NAME, vary=vary or field)
    # A field's name is a token, which may have quotes in it (RFC 9110 section 5.6.2).
    return Reference(status_for(code), response, f"curl -i -H {shlex.quote(f'{field}: {code}')} {url}")


def find_status(text: str) -> int:
    """The code that `text` means: a code, or a phrase in any spelling of its blanks and letters.

    Raises ValueError, with the nearest right word, for what is neither.
    """
    word = re.sub(r"[\s_-]+", "-", text.strip().lower())
    word = _BY_OTHER_NAMES.get(word.replace("'", ""), word)
    if len(several := text.split()) > 1 and all(_CODE.fullmatch(each) for each in several):
        raise ValueError(f"{quoted(text)}: one status at a time")
    if _CODE.fullmatch(word):
        if len(word) == 3 and "200" <= word <= "599":
            return int(word)
        raise ValueError(
            f"{quoted(text)} cannot be the status of a mock: allowed are 200 to 599 (1xx are interim, and "
            "codes from 600 are not HTTP)"
        )
    codes = [status.code for status in CATALOGUE.values() if status.slug == word]
    if len(codes) > 1:
        listed = " and ".join(map(str, codes))
        raise ValueError(f"{quoted(text)} is the phrase of {listed}; give the code")
    if codes:
        return codes[0]
    known = [name for status in CATALOGUE.values() for name in (str(status.code), status.slug)]
    digits = word.translate(_MISTAKEN_FOR_DIGITS)
    nearest = did_you_mean(digits if _CODE.fullmatch(digits) else word, known)
    raise ValueError(f"{quoted(text)} is no status{nearest}")


def raw_text(response: Response) -> str:
    """A response as it stands on the wire, with plain line ends, and without what the server adds."""
    head = [f"HTTP/1.1 {response.status_line}", *(f"{name}: {value}" for name, value in response.headers)]
    body = _body_text(response)
    return "\n".join([*head, "", body] if body else head)


def _body_text(response: Response) -> str:
    try:
        text = response.body.decode()
    except UnicodeDecodeError:
        return f"({len(response.body)} bytes that are not UTF-8)"
    if len(text) > MAX_SHOWN_CHARS:
        return f"{text[:MAX_SHOWN_CHARS]}\n(and so on, {len(response.body)} bytes in all)"
    return text.removesuffix("\n")
