"""What stands in front of an app, whatever its interface: how it comes there, and whose rules it has.

Law: the two adapters differ in how they take a request and give a response, and in nothing that is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from .exceptions import ConfigError
from .installation import Installation, installed
from .nesting import OwnMocks
from .refused_start import RefusedStart, is_made_late
from .telemetry import Telemetry, telemetry

if TYPE_CHECKING:
    from .config import RulesArgument
    from .control_api import ControlAPI
    from .engine import Snapshot
    from .questions import Store


class MockMiddleware(ABC):
    """An app with rules in front of it. While mockware is off, calling the class gives the app itself."""

    __slots__ = ("__weakref__", "_api", "_background", "_generation", "_installation", "_telemetry", "app")

    app: Any
    _api: ControlAPI | None
    _background: Any
    _generation: Any
    _installation: Installation | None
    _telemetry: Telemetry | None

    def __new__(
        cls,
        app: Any,
        *,
        rules: RulesArgument = None,
        enabled: bool | None = None,
        store: Store | str | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> Any:
        try:
            installation = installed(rules, enabled=enabled, store=store, environ=environ, clock=clock)
            if installation is None:
                return app
            self = cls._around(app)
        except (ConfigError, TypeError) as error:
            if is_made_late():
                return RefusedStart(error)
            raise
        installation.announce()
        self._installation = installation
        self._api = installation.control_api()
        installation.adopted_by(self._take_over)
        return self

    @classmethod
    def from_snapshot(cls, app: Any, snapshot: Snapshot) -> Self:
        """`app` with rules in front of it that are compiled already, whatever the environment says."""
        self = cls._around(app)
        self._take_over(snapshot, asleep=False)
        return self

    @classmethod
    def _around(cls, app: Any) -> Self:
        self = super().__new__(cls)
        self.app = cls._checked(app)
        self._background = None
        self._installation = None
        self._api = None
        self._telemetry = telemetry()
        return self

    @staticmethod
    @abstractmethod
    def _checked(app: Any) -> Any:
        """The app as it is called here. Raises TypeError if it is of another interface."""

    @abstractmethod
    def _adopt(self, snapshot: Snapshot, asleep: bool) -> None:
        """Answers by this snapshot from the next request on; the first one wakes it up if it is `asleep`."""

    def _take_over(self, snapshot: Snapshot, asleep: bool) -> None:
        if isinstance(self.app, OwnMocks):
            self.app.adopt(snapshot)
        self._adopt(snapshot, asleep)

    def _wake(self) -> None:
        if self._installation is not None:
            self._installation.wake()

    @property
    def _snapshot(self) -> Snapshot:
        found: Snapshot = self._generation.snapshot
        return found
