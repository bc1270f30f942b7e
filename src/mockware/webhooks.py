"""A webhook as it is sent: the fields and the body of one attempt, signed.

Law: values in, values out, no clock and no socket. An attempt has the time and the signature of its own;
the id is the message's and stays, since it is what a receiver knows duplicates by.

Doubt: the signature covers id, timestamp and body, as the specification has it. Of a CloudEvent, the type,
source and subject are fields, and so nobody's signature covers them.
"""

from __future__ import annotations

import binascii
import hmac
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

_PREFIX = "whsec_"
# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md 3.1.3.2: what
# has to be percent-encoded is "Space (U+0020)", "Double-quote (U+0022)", "Percent (U+0025)" and "Any
# characters outside the printable ASCII range of U+0021-U+007E inclusive".
_PLAIN = "".join(map(chr, range(0x21, 0x7F))).translate({ord('"'): None, ord("%"): None})


class Message(NamedTuple):
    """What is told, and to whom. `id` is the same for every attempt and duplicate; it happened `at` (s).

    `data` is JSON. A `secret` is `whsec_` and base64, or any text, which is taken as its bytes; with "",
    nothing is signed.
    """

    id: str
    url: str
    type: str
    data: Any
    at: float
    source: str
    subject: str
    form: Literal["standard", "cloudevents"]
    secret: str


def request_of(message: Message, now_s: float) -> tuple[list[tuple[str, str]], bytes]:
    """The fields and the body of an attempt at `now_s`.

    Standard Webhooks (https://www.standardwebhooks.com) or CloudEvents 1.0 in HTTP's binary mode, which is
    signed in the same way. Raises ValueError for an id that is no field's value, or a secret that is none.
    """
    if not message.id or not message.id.isascii() or not message.id.isprintable() or " " in message.id:
        raise ValueError("the id of a webhook is printable ASCII without blanks")
    happened = datetime.fromtimestamp(message.at, UTC).isoformat(timespec="milliseconds")
    happened = happened.removesuffix("+00:00") + "Z"
    fields = [("content-type", "application/json")]
    if message.form == "cloudevents":
        body = json.dumps(message.data).encode()
        attributes = {
            "specversion": "1.0",
            "id": message.id,
            "source": message.source,
            "type": message.type,
            "subject": message.subject,
            "time": happened,
        }
        # Optional attributes are there with a value or not at all: an empty subject is against the rules.
        fields += [
            (f"ce-{name}", quote(value, safe=_PLAIN, errors="replace"))
            for name, value in attributes.items()
            if value
        ]
    else:
        body = json.dumps({"type": message.type, "timestamp": happened, "data": message.data}).encode()
    if message.secret or message.form == "standard":
        timestamp = str(int(now_s))
        fields += [("webhook-id", message.id), ("webhook-timestamp", timestamp)]
        if message.secret:
            signed = b".".join((message.id.encode(), timestamp.encode(), body))
            digest = hmac.digest(parse_secret(message.secret), signed, "sha256")
            fields.append(("webhook-signature", f"v1,{b64encode(digest).decode()}"))
    return fields, body


def parse_secret(secret: str) -> bytes:
    """The key that `secret` stands for. Raises ValueError, which does not quote it."""
    if not secret.startswith(_PREFIX):
        key = secret.encode(errors="surrogateescape")
    else:
        text = secret.removeprefix(_PREFIX)
        try:
            # Receivers' libraries take it without its padding, too.
            key = b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(
                f"the secret begins with `{_PREFIX}`, and what follows is no base64; allowed: `{_PREFIX}` and"
                " the base64 of 24 to 64 random bytes, or a text of any other kind"
            ) from None
    if not key:
        raise ValueError("the secret is empty; leave it out to send webhooks without a signature")
    return key
