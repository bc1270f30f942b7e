"""What wrapping an app comes to: nothing, or a snapshot of the rules.

Law: the environment is read here, once, when an app is wrapped; the line that says what came of it is
logged here. While off, neither the rules nor what validates them is imported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .environment import read_environment
from .exceptions import ConfigError, Problem, quoted
from .logs import logger

if TYPE_CHECKING:
    from .config import Configuration, RulesArgument
    from .engine import Snapshot
    from .questions import Store


def snapshot_for(
    rules: RulesArgument = None,
    *,
    enabled: bool | None = None,
    store: Store | str | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Callable[[], float] | None = None,
) -> Snapshot | None:
    """The rules to answer by, or None while mockware is off. Raises ConfigError for a bad configuration."""
    environment = read_environment(environ, enabled=enabled)
    if not environment.enabled:
        level = logging.ERROR if environment.refused else logging.INFO
        logger.log(level, "mockware is off: %s", environment.why)
        return None
    import time

    from .config import load
    from .engine import Snapshot

    problems: list[Problem] = []
    configuration, opened = None, None
    try:
        opened = _opened(environment.store, store)
    except ConfigError as error:
        problems += error.problems
    try:
        configuration = load(environment, rules)
    except ConfigError as error:
        problems[:0] = error.problems
    if problems or configuration is None:
        raise ConfigError(problems)
    snapshot = Snapshot(configuration, store=opened, clock=clock or time.time)
    if configuration.sends_webhooks and configuration.webhook_hosts:
        from .addresses import Hosts
        from .courier import Courier

        hosts = Hosts(configuration.webhook_hosts)
        snapshot.employ(Courier(snapshot.store, snapshot.compose, hosts, clock=clock or time.time))
    # At WARNING, so that a service whose logging nobody set up shows that its answers may be mocks.
    logger.warning(
        "mockware is ON (%s): %s",
        environment.why,
        describe(configuration, keyed=bool(environment.key), store=opened),
    )
    return snapshot


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
    rules = (
        f"{count} rule{'' if count == 1 else 's'} from {', '.join(configuration.sources)}"
        if count
        else "no rules"
    )
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
