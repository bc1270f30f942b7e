"""What can be served: an app of the user, a proxy, or the reference alone.

Law: each is a value that travels from the command to the workers as text, and is made into an app there.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from .exceptions import MockwareError, quoted
from .targets import Target, TargetError, check_app, load_target
from .triggers import TriggerFields
from .upstream import parse_upstream
from .wsgi import WSGIMockMiddleware

if TYPE_CHECKING:
    import ssl

    from .configuration import Configuration
    from .terminal import Terminal

# How long an upstream is waited for before the start: somebody sits in front of it.
_PROBING_S = 1.0


class RunError(MockwareError):
    """It cannot be served. Has a line for each reason, and what the app's own code raised, if it did."""

    def __init__(self, reasons: Sequence[str], raised: str = "") -> None:
        self.reasons = tuple(reasons)
        self.raised = raised
        super().__init__("\n".join(reasons))

    def tell(self, terminal: Terminal) -> None:
        """Writes down why."""
        if self.raised:
            terminal.block(self.raised)
        for reason in self.reasons:
            terminal.line(("red", "error:"), " ", reason)


@dataclass(frozen=True, kw_only=True)
class Served:
    """`interface` is granian's word for how it speaks, empty where that is to be found out.

    `log_level` is the least level that is shown; each mock is a line at INFO. `workers` is how many processes
    serve it.
    """

    interface: str = "asgi"
    log_level: int = logging.INFO
    workers: int = 1

    def load(self) -> Any:
        """The app, without mocks. Raises MockwareError."""
        raise TypeError(f"nothing is served by {type(self).__name__}")

    def looked_at(self, app: Any) -> Self:
        """The same with what the app tells of itself. Raises MockwareError where it contradicts."""
        return self

    def heeding(self, configuration: Configuration) -> Self:
        """The same with what the rules files say of it."""
        return self

    def notices(self) -> Iterator[str]:
        """What somebody who starts it should know, and what is no reason not to."""
        return iter(())

    def to_text(self) -> str:
        return json.dumps([type(self).__name__, asdict(self)])

    @staticmethod
    def from_text(text: str) -> Served:
        name, fields = json.loads(text)
        (kind,) = (kind for kind in Served.__subclasses__() if kind.__name__ == name)
        return kind(**fields)


@dataclass(frozen=True, kw_only=True)
class ServedApp(Served):
    """An app of the user, as it is named on the command line."""

    module: str
    name: str
    factory: bool
    folder: str

    def __str__(self) -> str:
        return str(self._target)

    @property
    def _target(self) -> Target:
        return Target(self.module, self.name, self.factory)

    def load(self) -> Any:
        return load_target(self._target, self.folder)

    def looked_at(self, app: Any) -> Self:
        if isinstance(app, WSGIMockMiddleware):
            found = "wsgi"
        else:
            try:
                found = "wsgi" if check_app(self._target, app) == "WSGI" else "asgi"
            except TargetError:
                if self.interface and callable(app):
                    return self  # who names it knows better
                raise
        if self.interface and not self.interface.startswith(found):
            raise TargetError(f"--interface {self.interface}: {self} speaks {found.upper()}")
        return replace(self, interface=self.interface or found)


@dataclass(frozen=True, kw_only=True)
class ServedProxy(Served):
    """A proxy; the fields are those of `Proxy`, but for `ca`, a file, and `insecure`."""

    upstream: str
    host: str | None
    timeout_s: float
    server_timing: bool
    ca: str
    insecure: bool
    name: str
    trusts_forwarded: bool = False
    key_field: str = TriggerFields().key

    def __str__(self) -> str:
        return f"the upstream {self.upstream}"

    def load(self) -> Any:
        from .proxy import Proxy

        return Proxy(
            self.upstream,
            host=self.host,
            timeout_s=self.timeout_s,
            server_timing=self.server_timing,
            trusts_forwarded=self.trusts_forwarded,
            without=(self.key_field.lower(),),
            tls=self._tls(),
            name=self.name,
        )

    def _tls(self) -> ssl.SSLContext | None:
        if not (self.ca or self.insecure):
            return None
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.ca or None)
        except OSError as error:
            reason = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
            raise RunError([f"--upstream-ca {quoted(self.ca)}: {reason}"]) from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def heeding(self, configuration: Configuration) -> Self:
        fields = configuration.triggers.fields if configuration.triggers else TriggerFields()
        return replace(self, trusts_forwarded=configuration.trusts_forwarded, key_field=fields.key)

    def notices(self) -> Iterator[str]:
        upstream = parse_upstream(self.upstream)
        try:
            if upstream.socket:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.settimeout(_PROBING_S)
                    probe.connect(upstream.socket)
            else:
                address = upstream.host.strip("[]"), upstream.port
                socket.create_connection(address, timeout=_PROBING_S).close()
        except OSError as error:
            reason = error.strerror or str(error)
            yield f"warning: {self} cannot be reached now: {reason}; it is tried again for each request"


@dataclass(frozen=True, kw_only=True)
class ServedReference(Served):
    """No app at all: statuses and their reference."""

    def __str__(self) -> str:
        return "the reference"

    def load(self) -> Any:
        from .standalone import standalone_app

        return standalone_app()
