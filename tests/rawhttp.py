"""A small HTTP/1.1 client on a raw socket that judges every byte of an answer.

What belongs here: writing requests, among them ones that no polite client would send, and reading
answers by the letter of RFC 9112. Whatever a client library would forgive (two lengths, a body after a
204, a bare LF, a chunk without its CRLF, bytes that nobody asked for) is an error here.
What never does: expectations about mockware or about one server.

It reads with time-outs, and a time-out is always a failure, never a way to wait.
"""

import contextlib
import dataclasses
import re
import select
import socket
import struct
from collections.abc import Iterable
from typing import Self

PATIENCE_S = 20.0  # how long a silent server is waited for before the test fails
Headers = Iterable[tuple[str, str]]

# RFC 9112 §4: status-line = HTTP-version SP status-code SP [ reason-phrase ]; the second SP stays even
# where the phrase is empty.
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
# RFC 9110 §5.1 and §5.5: a token, a colon, a value without control characters; no folding.
_FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[!-~\x80-\xff](?:[ -~\t\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*"
)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)")
# Fields that describe the message or may stand once only (RFC 9110 §5.3, §8.3, §8.6, §6.6.1).
_SINGLE = ("content-length", "transfer-encoding", "content-type", "date", "server", "location", "etag")


class Malformed(AssertionError):
    """The bytes are not HTTP/1.1, or not the answer that the request asked for."""


class Silence(AssertionError):
    """The server says nothing where it must say something."""


@dataclasses.dataclass(frozen=True)
class Response:
    """One final response; `raw` holds its bytes, 1xx responses before it left out."""

    raw: bytes
    version: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]  # names in lower case, values as latin-1
    body: bytes
    interim: tuple[int, ...]  # the statuses of the 1xx responses that came first
    closes: bool  # the server closes the connection after it

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str:
        """The value of a field that must stand exactly once."""
        values = self.all(name)
        if len(values) != 1:
            raise Malformed(f"{name} stands {len(values)} times in {self.raw[:2000]!r}")
        return values[0]


def request(method: str, target: str, headers: Headers = (), body: bytes | None = None) -> bytes:
    """The bytes of a request; a Host is added, and a Content-Length where there is a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: example.test"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(method: str, target: str, headers: Headers = (), pieces: Iterable[bytes] = ()) -> list[bytes]:
    """A request whose body is chunked, as the list of its head, its chunks and the last chunk."""
    head = request(method, target, [*headers, ("Transfer-Encoding", "chunked")])
    return [head, *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece), b"0\r\n\r\n"]


def dateless(raw: bytes) -> bytes:
    """An answer without its Date line, which is all that may differ between two of the same."""
    head, end, rest = raw.partition(b"\r\n\r\n")
    return re.sub(rb"(?i)\r\ndate:[^\r\n]*", b"", head) + end + rest


class Connection:
    """One TCP connection to a server."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE_S)
        if receive_buffer_bytes is not None:  # must be set before the handshake fixes the window scale
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            self._socket.connect(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def leave(self, *, reset: bool = False) -> None:
        """Close at once; `reset` sends RST as a crashed client does, otherwise FIN."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send each piece by a call of its own, so that it may reach the server as a read of its own."""
        for piece in pieces:
            self._socket.sendall(piece)

    def send_until_full(self, data: bytes, *, silent_s: float = 1.0) -> int:
        """Send until the other side has taken nothing for so long; how much was sent."""
        sent = 0
        self._socket.settimeout(silent_s)
        with contextlib.suppress(TimeoutError):
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + (1 << 18)])
        self._socket.settimeout(PATIENCE_S)
        return sent

    def end_sending(self) -> None:
        with contextlib.suppress(OSError):  # the server may have closed already
            self._socket.shutdown(socket.SHUT_WR)

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes | None = None) -> Response:
        self.send(request(method, target, headers, body))
        return self.response(method)

    # ---- reading

    def response(self, method: str = "GET") -> Response:
        """Read exactly one final response to a request of that method."""
        interim: list[int] = []
        while True:
            head = self._take_through(b"\r\n\r\n")
            version, status, reason, headers = _parse_head(head)
            if status >= 200:
                break
            # RFC 9112 §6.3: any 1xx is ended by the empty line.
            interim.append(status)
            if status == 101:
                return Response(head, version, status, reason, headers, b"", tuple(interim[:-1]), False)
        fields = _judge_head(head, status, headers)
        closes = _closes(version, headers)
        framing = b""
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif "transfer-encoding" in fields:
            body, framing = self._chunks()
        elif "content-length" in fields:
            body = self.take(int(fields["content-length"]))
        elif closes:
            body = self.rest()
        else:
            raise Malformed(f"the body has no end: {head!r}")
        raw = head + (framing or body)
        return Response(raw, version, status, reason, headers, body, tuple(interim), closes)

    def continues(self) -> bool:
        """Wait for the next answer to begin; whether it is a 100, which is left to be read."""
        line = b"HTTP/1.1 100 "
        while len(self._buffer) < len(line):
            self._fill("a status line")
        return self._buffer.startswith(line)

    def head(self) -> bytes:
        """Read the bytes of one header section and nothing after it."""
        return self._take_through(b"\r\n\r\n")

    def take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill(f"{count} bytes")
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while data := self._receive():
            self._buffer += data
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def at_end(self) -> None:
        """The server closes now and sends nothing more."""
        if stray := self.rest():
            raise Malformed(f"bytes that nobody asked for: {stray[:2000]!r}")

    def silent(self) -> bool:
        """Nothing is waiting to be read at this moment, not even the end."""
        return not self._buffer and not select.select([self._socket], [], [], 0)[0]

    def _chunks(self) -> tuple[bytes, bytes]:
        """The decoded body, and the bytes as they came (RFC 9112 §7.1)."""
        body, raw = bytearray(), bytearray()
        while True:
            line = self._take_through(b"\r\n")
            raw += line
            size = _CHUNK_SIZE.fullmatch(line[:-2])
            if size is None:
                raise Malformed(f"not the size of a chunk: {line!r} after {bytes(body[-200:])!r}")
            count = int(size[1], 16)
            piece = self.take(count + 2)
            raw += piece
            if not piece.endswith(b"\r\n"):
                raise Malformed(f"a chunk of {count} bytes ends with {piece[-2:]!r}, or a trailer follows it")
            if count == 0:
                return bytes(body), bytes(raw)
            body += piece[:-2]

    def _take_through(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._fill(repr(end))
        return self.take(at + len(end))

    def _fill(self, wanted: str) -> None:
        data = self._receive()
        if not data:
            raise Malformed(f"the server closed while {wanted} was due, after {bytes(self._buffer[:2000])!r}")
        self._buffer += data

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 18)
        except TimeoutError as error:
            raise Silence(f"nothing for {PATIENCE_S} s after {bytes(self._buffer[:2000])!r}") from error
        except ConnectionError as error:
            raise Malformed(f"{error} after {bytes(self._buffer[:2000])!r}") from error


def _parse_head(head: bytes) -> tuple[str, int, str, tuple[tuple[str, str], ...]]:
    first, *lines = head[:-4].split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise Malformed(f"not a status line: {first!r}")
    headers: list[tuple[str, str]] = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Malformed(f"not a header field: {line!r} in {head!r}")
        headers.append((field[1].decode().lower(), field[2].decode("latin-1")))
    return status[1].decode(), int(status[2]), status[3].decode("latin-1"), tuple(headers)


def _judge_head(head: bytes, status: int, headers: Headers) -> dict[str, str]:
    """The fields that frame the message, after a look for what must not stand together."""
    fields: dict[str, str] = {}
    for name, value in headers:
        if name in _SINGLE and name in fields:
            raise Malformed(f"{name} stands twice in {head!r}")
        fields[name] = value
    if "content-length" in fields and not re.fullmatch("[0-9]+", fields["content-length"]):
        raise Malformed(f"not a length: {head!r}")
    if "transfer-encoding" in fields:
        # RFC 9112 §6.2: no Content-Length beside a Transfer-Encoding; §6.1: none on a 204.
        if "content-length" in fields or status == 204:
            raise Malformed(f"Transfer-Encoding where it must not be: {head!r}")
        if fields["transfer-encoding"].lower() != "chunked":
            raise Malformed(f"an unknown transfer coding: {head!r}")
    return fields


def _closes(version: str, headers: Headers) -> bool:
    # RFC 9112 §9.3: "close" wins; HTTP/1.1 persists by default, HTTP/1.0 with "keep-alive" only.
    tokens = {
        token.strip().lower() for name, value in headers if name == "connection" for token in value.split(",")
    }
    return "close" in tokens or (version == "HTTP/1.0" and "keep-alive" not in tokens)
