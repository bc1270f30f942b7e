"""What wrapping an app comes to: nothing, or a snapshot of the rules.

Law: the environment is read here, once, when an app is wrapped; the line that says what came of it is
logged here. While off, neither the rules nor what validates them is imported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .environment import read_environment
from .logs import logger

if TYPE_CHECKING:
    from .config import Configuration, RulesArgument
    from .engine import Snapshot


def snapshot_for(
    rules: RulesArgument = None,
    *,
    enabled: bool | None = None,
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

    configuration = load(environment, rules)
    snapshot = Snapshot(configuration, clock=clock or time.time)
    # At WARNING, so that a service whose logging nobody set up shows that its answers may be mocks.
    logger.warning(
        "mockware is ON (%s): %s", environment.why, describe(configuration, keyed=bool(environment.key))
    )
    return snapshot


def describe(configuration: Configuration, *, keyed: bool) -> str:
    """`3 rules from mocks.toml, 1 of them off; triggers need X-Mock-Key`."""
    count = len(configuration.entries)
    rules = (
        f"{count} rule{'' if count == 1 else 's'} from {', '.join(configuration.sources)}"
        if count
        else "no rules"
    )
    off = sum(not entry.on for entry in configuration.entries)
    if off:
        rules += f", {off} of them off"
    if configuration.triggers is None:
        return f"{rules}; triggers are off"
    if not count:
        rules += ", triggers only"
    fields = configuration.triggers.fields
    return f"{rules}; {fields.status} is heeded {'with ' + fields.key if keyed else 'from anybody'}"
