"""A response that an app gave to nobody in particular: taken down, to be told of later.

Law: a value, which goes into a store and comes out again as it was.
"""

from __future__ import annotations

import json
from typing import NamedTuple

# What is kept of a response that an app gives in the background, and of the request that it is given: as
# much as is buffered of a body anywhere here (`bodies.py`).
MAX_CAPTURED_BYTES = 1024 * 1024


class Captured(NamedTuple):
    """The response of an app: its `status`, fields and body; or, where it has none, the `reason`."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    reason: str = ""

    def to_bytes(self) -> bytes:
        """One line of JSON, then the body."""
        return json.dumps([self.status, self.headers, self.reason]).encode() + b"\n" + self.body

    @classmethod
    def from_bytes(cls, data: bytes) -> Captured:
        """What `to_bytes` made; anything else is a response that was lost."""
        head, _, body = data.partition(b"\n")
        try:
            status, headers, reason = json.loads(head)
            fields = tuple((str(name), str(value)) for name, value in headers)
            # RFC 9110 section 15: others are no final response, or none of HTTP's. Some servers send them.
            if not reason and not 200 <= int(status) <= 599:
                return cls(reason=f"its status, {status}, is none that can be told")
            return cls(int(status), fields, body, str(reason))
        except (ValueError, TypeError, RecursionError):
            return cls(reason="its record cannot be read")
