"""What is kept of a task besides its id, as bytes for a store.

Law: what is written here is read here, and what cannot be read is as if it were lost. Of an accepted request
no more is kept than the rule's templates speak of.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from .captured import Captured
from .messages import Request

# What stands for a response in the record of a run that was canceled: the first such record decides.
CANCELED = Captured(reason="canceled")


class Ended(NamedTuple):
    """How and when an app's work in the background has ended."""

    at: float
    captured: Captured

    @property
    def is_canceled(self) -> bool:
        return self.captured == CANCELED

    def to_bytes(self) -> bytes:
        return repr(self.at).encode() + b"\n" + self.captured.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes | None) -> Ended | None:
        if data is None:
            return None
        head, _, rest = data.partition(b"\n")
        at = moment_from(head)
        return None if at is None else cls(at, Captured.from_bytes(rest))


def moment_bytes(at: float) -> bytes:
    return repr(at).encode()


def moment_from(data: bytes | None) -> float | None:
    """A time in seconds since the epoch, or None for what is none."""
    try:
        return None if data is None else float(data)
    except ValueError:
        return None


def accepted_bytes(request: Request, members: Collection[str]) -> bytes:
    """One line of JSON, then the body, as far as templates speak of these `members` of a request."""
    headers = {}
    if "headers" in members:
        headers = request.fields()
    elif "cookies" in members and (cookie := request.header("cookie")) is not None:
        headers = {"cookie": cookie}
    query = request.query_string if "query" in members else ""
    head = json.dumps([request.method, request.path, query, headers])
    return head.encode() + b"\n" + ((request.body or b"") if "json" in members else b"")


def accepted_from(data: bytes | None) -> Request | None:
    """The request that `accepted_bytes` made this of."""
    if data is None:
        return None
    head, _, body = data.partition(b"\n")
    try:
        method, path, query, headers = json.loads(head)
    except (ValueError, TypeError):
        return None
    return Request(method, path, query, headers, body)


class Hook(NamedTuple):
    """What a webhook has to know when its time comes: whose task it is of, what has happened, and where."""

    rule: str
    task_id: str
    event: str
    url: str
    monitor: str
    target: str

    def to_bytes(self) -> bytes:
        return json.dumps(self).encode()

    @classmethod
    def from_bytes(cls, data: bytes | None) -> Hook | None:
        try:
            values: Any = json.loads(data or b"")
            return cls(*map(str, values)) if len(values) == len(cls._fields) else None
        except (ValueError, TypeError):
            return None
