"""What is said to a client where its request cannot be handed on, or has no answer.

Law: a failure is the upstream's, the request's, or the way's, and says which, in words for somebody who knows
no client library; RFC 9209 has a word for each, for programs. None of this is a mock: it has no X-Mock-Rule.
"""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple

import aiohttp

from .exceptions import MockwareError
from .replies import PROBLEM_JSON, Content
from .statuses import status_for

# A host that is up answers a SYN at once; the kernel repeats a lost one after 1 and 3 s.
CONNECT_S = 5.0


class LoopError(MockwareError):
    """The request has passed this very proxy before."""


class Failure(NamedTuple):
    """A status, a sentence, and the word of RFC 9209 section 2.3 for what went wrong."""

    status: int
    detail: str
    kind: str

    @property
    def is_upstreams(self) -> bool:
        """Whether the upstream is to blame, and not this one request."""
        return self.status in (502, 504)

    @property
    def body(self) -> bytes:
        """Problem details (RFC 9457)."""
        title = status_for(self.status).phrase
        problem = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return Content.from_json(problem, PROBLEM_JSON).body

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of a response with that body."""
        return [
            (b"content-type", PROBLEM_JSON.encode("ascii")),
            (b"content-length", str(len(self.body)).encode("ascii")),
            # It may be over with the next request.
            (b"cache-control", b"no-store"),
            (b"proxy-status", b"mockware; error=" + self.kind.encode("ascii")),
        ]


def failure_of(error: BaseException, upstream: object, *, timeout_s: float) -> Failure:
    """What an error of the client library, or of what was to be sent, means."""
    at = f"the upstream {upstream}"
    match error:
        case LoopError():
            return Failure(508, f"{at} leads back to this proxy", "proxy_loop_detected")
        case aiohttp.ConnectionTimeoutError():
            return Failure(504, f"{at} accepts no connection within {CONNECT_S:g} s", "connection_timeout")
        case TimeoutError():
            return Failure(504, f"{at} has been silent for {timeout_s:g} s", "http_response_timeout")
        case aiohttp.ClientConnectorDNSError():
            return Failure(502, f"the host of {at} is not known", "dns_error")
        case aiohttp.ClientConnectorCertificateError():
            known = error.certificate_error
            why = known.verify_message if isinstance(known, ssl.SSLCertVerificationError) else str(known)
            return Failure(
                502, f"{at} shows a certificate that is not trusted: {why}", "tls_certificate_error"
            )
        case aiohttp.ClientConnectorSSLError():
            return Failure(502, f"{at} does not speak TLS as it should", "tls_protocol_error")
        case aiohttp.ClientConnectorError():
            # The event loop has words of its own for the same number.
            why = os.strerror(error.os_error.errno) if error.os_error.errno else "no connection"
            refused = isinstance(error.os_error, (ConnectionRefusedError, FileNotFoundError))
            kind = "connection_refused" if refused else "destination_unavailable"
            return Failure(502, f"{at} cannot be reached: {why}", kind)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            return Failure(502, f"{at} has closed the connection without an answer", "connection_terminated")
        case aiohttp.ClientConnectionError():
            return Failure(502, f"{at} has ended the exchange", "connection_terminated")
        case aiohttp.ClientPayloadError():
            return Failure(
                502, f"{at} has broken off in the middle of its answer", "http_response_incomplete"
            )
        case aiohttp.ClientError():
            return Failure(502, f"{at} answers with what is not HTTP", "http_protocol_error")
    return Failure(400, f"this request cannot be handed on: {error}", "http_request_error")
