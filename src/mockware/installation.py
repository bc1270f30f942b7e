"""What wrapping an app comes to: nothing, or a snapshot of the rules, and another when the rules change.

Law: the environment is read here, once, when an app is wrapped; the line that says what came of it is
logged here. While off, neither the rules nor what validates them is imported. What is on reads its files
again when they change: a snapshot is compiled aside and handed over whole, or else the problems are logged,
once, and the last good snapshot stays. The store and the courier are the same for all of them, so that
counts, tasks and webhooks go on as they would after a restart. What is changed at run time goes the same way.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import ReferenceType, WeakMethod, ref

from .environment import VARIABLES, Environment, read_environment, unknown_variables
from .exceptions import ConfigError, Problem, did_you_mean, quoted
from .logs import logger

if TYPE_CHECKING:
    from .changes import Applied, Change
    from .config import RulesArgument
    from .configuration import Configuration
    from .control_api import ControlAPI
    from .courier import Courier
    from .engine import Snapshot
    from .journal import Journal
    from .lookout import Files
    from .questions import Store
    from .runtime_rules import RuntimeRules

# What takes over a snapshot. `asleep`: nobody looks after the files yet, and `wake` is to be called first.
Adopt = Callable[["Snapshot", bool], None]


def installed(
    rules: RulesArgument = None,
    *,
    enabled: bool | None = None,
    store: Store | str | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Callable[[], float] | None = None,
) -> Installation | None:
    """What has the rules to answer by, or None while off. Raises ConfigError for a bad configuration."""
    environment = read_environment(environ, enabled=enabled)
    if not environment.enabled:
        level = logging.ERROR if environment.refused else logging.INFO
        logger.log(level, "mockware is off: %s", environment.why)
        return None
    problems: list[Problem] = []
    opened, installation = None, None
    try:
        opened = _opened(environment.store, store)
    except ConfigError as error:
        problems += error.problems
    try:
        of_process = environ is None and clock is None
        installation = Installation(environment, rules, opened, clock or time.time, of_process=of_process)
    except ConfigError as error:
        problems[:0] = error.problems
    if problems or installation is None:
        raise ConfigError(problems)
    return installation


class Installation:
    """Where the rules of one middleware are from, and the snapshot that they come to at present.

    The first snapshot is there at once; `adopt` is given it, and each that follows. Where there is a control
    API, `applied` are the rules with what was changed at run time, `generation` counts the swaps, and
    `problems` has what is wrong with files that changed. `of_process`: it goes by the environment and clock
    of the process, as all do that come to be around one app. Raises ConfigError.
    """

    snapshot: Snapshot
    applied: Applied
    journal: Journal
    runtime: RuntimeRules

    def __init__(
        self,
        environment: Environment,
        rules: RulesArgument,
        store: Store | None,
        clock: Callable[[], float],
        *,
        of_process: bool = False,
    ) -> None:
        from .lookout import Files

        self.environment = environment
        self._rules = rules if rules is None or isinstance(rules, (str, os.PathLike)) else list(rules)
        self._named_store = store
        self.clock = clock
        # Whoever changes it later, as a daemon may, means other files.
        self._folder = _working_directory()
        self._adopter: WeakMethod[Adopt] | None = None
        self._courier: Courier | None = None
        self.problems: Sequence[Problem] = ()
        self.generation = 0
        self._lock = Lock()
        self._files = Files()
        self._api: ControlAPI | None = None
        if environment.control:
            self._prepare_control(store, of_process=of_process)
        self._declared = self._loaded(self._files)
        self._configuration, self.snapshot = self._compiled(self._declared, store)
        self._asleep = bool(self._files or environment.control)
        if environment.control:
            self.runtime.followed_by(self)
        self._of_process = of_process
        if of_process:
            _join(self)

    def __str__(self) -> str:
        keyed = bool(self.environment.key)
        line = describe(self._configuration, keyed=keyed, store=self._named_store)
        if not self.environment.control:
            return line
        from .tokens import MIN_KEY_CHARS

        line = f"{line}; control at {self.environment.control}/"
        if len(self.environment.key) >= MIN_KEY_CHARS:
            return line
        # Ten tries a minute of an address and a worker add up, where somebody has many of both.
        return f"{line}; MOCKWARE_KEY has fewer than {MIN_KEY_CHARS} characters, and can be guessed"

    def announce(self) -> None:
        """Says that it is on, once there is an app that it is in front of."""
        # At WARNING, so that a service whose logging nobody set up shows that its answers may be mocks.
        logger.warning("mockware is ON (%s): %s", self.environment.why, str(self))
        from .stores import missing_folder

        for name in unknown_variables(self.environment.variables or {}):
            if name not in self._configuration.secrets:  # rules name these themselves
                near = did_you_mean(name, VARIABLES)
                logger.warning("the variable %s is set, which mockware does not know%s", quoted(name), near)
        store = self._named_store
        if store is not None and (folder := missing_folder(store)):
            told = "%s: there is no folder %.512a; until there is, each process counts in its memory alone"
            logger.warning(told, store.name, str(folder))

    @property
    def store_name(self) -> str:
        """Where counts and changes are kept."""
        return "memory:" if self._named_store is None else self._named_store.name

    @property
    def elsewhere(self) -> Sequence[str]:
        """The rules of others in this process: of a layer within this one, or around another app."""
        others = [found() for found in _of_process] if self._of_process else []
        return [
            told
            for other in others
            if other is not None and other is not self and (told := _told(other._configuration))
        ]

    def control_api(self) -> ControlAPI | None:
        """What answers under the control prefix, if there is one."""
        if self._api is None and self.environment.control:
            from .control_api import ControlAPI

            self._api = ControlAPI(self)
        return self._api

    def change(self, changes: Sequence[Change], removed: Sequence[str] = ()) -> None:
        """Changes rules at run time, all or none, and swaps them. Raises StoreError."""
        with self._lock:
            self.runtime.set(changes, removed)
            self._swap()
        self._lead()

    def follow(self) -> None:
        """Swaps the rules if they were changed by another that shares the changes."""
        with self._lock:
            self._follow()

    def _lead(self) -> None:
        # Without the lock, or two who lead would wait for each other.
        for other in self.runtime.others(self):
            other.follow()

    def _follow(self) -> None:
        if self.runtime.changes != self._followed:
            self._swap()

    def adopted_by(self, adopt: Adopt) -> None:
        """Has a bound method take over the present snapshot, and each new one for as long as it lives."""
        self._adopter = WeakMethod(adopt)
        self._publish()

    def wake(self) -> None:
        """Looks after the files from now on, beginning with what has changed since they were read.

        The store is left to the thread, which looks at once: whoever wakes this up may have no use for it.
        """
        from .lookout import watch

        with self._lock:
            if not self._asleep:
                return
            self._asleep = False
            try:
                self._look_at_files(lambda _: None)
            finally:
                self._publish()
                watch(self)

    def look(self, pause: Callable[[float], object]) -> None:
        """Reads the rules again if a file has changed, and what was changed at run time.

        `pause` waits so many seconds. May wait for the store.
        """
        with self._lock:
            self._look_at_files(pause)
            changed = bool(self.environment.control) and self.runtime.look()
            if self.environment.control:
                self._follow()
        if changed:
            self._lead()

    def _swap(self) -> None:
        """Compiles what the files declared last, and what was changed since."""
        before = self.snapshot
        self._configuration, self.snapshot = self._compiled(self._declared, before.store, before=before)
        self._publish()

    def fall_asleep(self) -> None:
        """As after the start: in a child of a fork, there is no thread that would look."""
        self._lock = Lock()
        self._asleep = True
        if self.environment.control:
            self.journal.forked()
            self.runtime.forked()
        if self._api is not None:
            self._api.forked()
        self._publish()

    def _look_at_files(self, pause: Callable[[float], object]) -> None:
        from .lookout import Files

        if not self._files.changed():
            return
        self._files.settle(pause)
        if not (paths := self._files.changed()):
            return
        changed = ", ".join(map(str, paths))
        files = Files()
        try:
            declared = self._loaded(files)
            self._configuration, self.snapshot = self._compiled(declared, self.snapshot.store)
        except (ConfigError, OSError) as error:  # a file may go between the look at it and the reading
            self._refuse(changed, error)
            logger.error(
                "%s changed; the rules stay as they were, since there are problems:\n%s", changed, error
            )
            return
        except Exception:  # noqa: BLE001 - whatever it is, there are rules to go on with
            self._refuse(changed, "reading the files failed; the log says how")
            logger.exception("%s changed; the rules stay as they were, since reading them failed", changed)
            return
        finally:
            self._files = files  # last: a child that is forked before reads them once more
        good = "and is good again" if self.problems else "and the rules with it"
        self.problems = ()
        self._declared = declared
        self._publish()
        logger.warning("%s changed, %s: %s", changed, good, str(self))

    def _refuse(self, changed: str, error: Exception | str) -> None:
        found = error.problems if isinstance(error, ConfigError) else ()
        self.problems = found or (Problem(changed, str(error)),)

    def _publish(self) -> None:
        self.generation += 1
        if self._adopter is not None and (adopt := self._adopter()) is not None:
            adopt(self.snapshot, self._asleep)

    def _loaded(self, files: Files) -> Configuration:
        from .config import load

        opening = files.opening if self.environment.watches else None
        return load(self.environment, self._rules, folder=self._folder, opening=opening)

    def _compiled(
        self, declared: Configuration, store: Store | None, *, before: Snapshot | None = None
    ) -> tuple[Configuration, Snapshot]:
        from .engine import Snapshot

        configuration, journal = declared, None
        if prefix := self.environment.control:
            self._followed = self.runtime.changes
            self.applied = self.runtime.apply(declared)
            configuration, journal = self.applied.configuration, self.journal
            # Whether triggers are on or off: clients go on sending it.
            key_header = declared.trigger_table.key_header.lower()
            journal.obey(
                redacted=[*declared.redacted, key_header],
                bodies=declared.keeps_bodies,
                key=self.environment.key,
            )
        snapshot = Snapshot(
            configuration, store=store, clock=self.clock, control=prefix, journal=journal, before=before
        )
        hosts = configuration.webhook_hosts if configuration.sends_webhooks else ()
        if hosts or self._courier is not None:
            self._employ(snapshot, hosts)
        return configuration, snapshot

    def _prepare_control(self, store: Store | None, *, of_process: bool) -> None:
        from .fallback import FallbackStore
        from .journal import Journal
        from .runtime_rules import RuntimeRules, rules_of_process

        # A change that only this process would know is refused while the store is away, so that it is asked
        # itself. One that never has to be waited for is this process's memory.
        shared = store.primary if isinstance(store, FallbackStore) else store
        if shared is not None and not shared.threads:
            shared = None
        self.journal = Journal(clock=self.clock)
        service = self.environment.service
        if shared is None and of_process:
            self.runtime = rules_of_process(service=service, clock=self.clock)
        else:
            self.runtime = RuntimeRules(shared, service=service, clock=self.clock)

    def _employ(self, snapshot: Snapshot, entries: tuple[str, ...]) -> None:
        """Has the one courier send what this snapshot composes; nothing any more without hosts."""
        from .addresses import Hosts
        from .courier import Courier

        hosts = Hosts(entries)
        if self._courier is None:
            self._courier = Courier(snapshot.store, snapshot.compose, hosts, clock=self.clock)
        else:
            self._courier.obey(snapshot.compose, hosts)
        if entries:
            snapshot.employ(self._courier)
        else:
            self._courier.close()


# Those who go by the environment of this process. Replaced whole, so that nobody needs a lock.
_of_process: tuple[ReferenceType[Installation], ...] = ()


def _join(installation: Installation) -> None:
    global _of_process
    _of_process = (*(found for found in _of_process if found() is not None), ref(installation))


def _told(configuration: Configuration) -> str:
    """`2 rules from mocks.toml`; nothing where there are none."""
    count = len(configuration.entries)
    return f"{count} rule{'' if count == 1 else 's'} from {', '.join(configuration.sources)}" if count else ""


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it is gone, and absolute paths are all that can be read
        return None


def check_store(named: str) -> None:
    """Raises ConfigError for what MOCKWARE_STORE cannot name; nothing is connected to."""
    store = _opened(named, None)
    if store is not None:
        store.close()


def _opened(named: str, given: Store | str | None) -> Store | None:
    """The store that the environment names, or else the one that the code gives; None for memory."""
    from .stores import open_store, with_fallback, without_secrets

    if not named and given is not None and not isinstance(given, str):
        return with_fallback(given)
    source, url = ("MOCKWARE_STORE", named) if named else ("store=", given or "memory:")
    try:
        return open_store(str(url))
    except ValueError as error:
        # A URL may hold a password, of which not even its wrong half is shown.
        raise ConfigError([Problem(source, str(error), value=quoted(without_secrets(str(url))))]) from None


def describe(configuration: Configuration, *, keyed: bool, store: Store | None = None) -> str:
    """`3 rules from mocks.toml, 1 of them off, counted in sqlite:/tmp/m.db; triggers need X-Mock-Key`."""
    count = len(configuration.entries)
    rules = _told(configuration) or "no rules"
    off = sum(not entry.on for entry in configuration.entries)
    if off:
        rules += f", {off} of them off"
    on = [entry.rule for entry in configuration.entries if entry.on]
    kept = ["counted"] if any(rule.counts for rule in on) else []
    kept += ["tasks remembered"] if any(rule.task for rule in on) else []
    if kept:
        where = "the memory of each process alone" if store is None else getattr(store, "name", repr(store))
        rules += f", {' and '.join(kept)} in {where}"
    if configuration.sends_webhooks:
        hosts = ", ".join(configuration.webhook_hosts)
        rules += (
            f", webhooks go to {hosts}" if hosts else ", webhooks are off, since `[webhooks]` lists no hosts"
        )
    if configuration.triggers is None:
        return f"{rules}; triggers are off"
    if not count:
        rules += ", triggers only"
    fields = configuration.triggers.fields
    sources = [fields.status]
    sources += [f"the query parameter {name}"] if (name := configuration.triggers.query) else []
    sources += [f"the cookie {name}"] if (name := configuration.triggers.cookie) else []
    verb = "is" if len(sources) == 1 else "are"
    heeded = "with " + fields.key if keyed else "from anybody"
    return f"{rules}; {' and '.join(sources)} {verb} heeded {heeded}"
