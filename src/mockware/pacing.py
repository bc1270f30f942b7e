"""How a body goes onto the wire: whole, in pieces over time, half, or not at all.

Law: values only; each adapter waits and sends in its own way. A plan never holds a copy of the body.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from .durations import MAX_DELAY_S
from .messages import Response

# Ten pieces a second look like a slow line to a client, and cost a worker nothing.
_PIECES_PER_S = 10


def pieces(response: Response) -> Iterator[tuple[float, bytes]]:
    """What to wait in seconds, then what to send, piece by piece, as far as the fault lets it go.

    The first piece comes after one wait and the last one when `drip_s` is over, so that even a single byte
    keeps its client waiting for as long.
    """
    length = len(response.body)
    if response.fault == "cut":
        end = length // 2
    elif response.fault is not None:
        end = 0
    else:
        end = length
    # The delay before it and the drip together stay below what anybody waits here.
    drip_s = min(response.drip_s, MAX_DELAY_S - response.delay_s)
    count = max(1, min(length, ceil(drip_s * _PIECES_PER_S)))
    for i in range(count):
        start, stop = length * i // count, min(end, length * (i + 1) // count)
        if start < stop:
            yield drip_s / count, response.body[start:stop]
