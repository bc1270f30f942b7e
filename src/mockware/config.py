"""Rules files, variables and arguments become one configuration, or one `ConfigError`.

Law: everything that is wrong is said at once, with its file, rule, key, value and what is allowed; and a
configuration that is returned can be compiled without a further question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from os import PathLike, fspath
from os.path import realpath
from pathlib import Path

from .configuration import Configuration, Entry
from .environment import Environment
from .exceptions import ConfigError, Problem, did_you_mean, quoted
from .rules import Rule
from .rules_files import RulesFile, namesake, read_rules_file, read_short_rules
from .settings import CorsTable, TriggerTable, cors_of, triggers_of
from .task_table import TaskTable, Webhook
from .webhooks import parse_secret

# What other programs call `on` and `off`.
_SWITCHES = {
    **dict.fromkeys(("true", "1", "yes", "y", "enabled", "all"), "on"),
    **dict.fromkeys(("false", "0", "no", "n", "disabled", "none", "of"), "off"),
}

RulesArgument = str | PathLike[str] | Sequence[str | PathLike[str] | Rule] | None


def load(
    environment: Environment,
    rules: RulesArgument = None,
    *,
    folder: Path | None = None,
    opening: Callable[[Path], None] | None = None,
) -> Configuration:
    """Everything that the environment and `rules=` name, in that order. Raises ConfigError.

    `folder` stands in for the working directory; `opening` is called with the path of each file before it
    is opened.
    """
    problems: list[Problem] = []
    found: list[tuple[str, Rule]] = []
    never: list[str] = []
    trigger_tables: dict[str, TriggerTable] = {}
    cors_tables: dict[str, CorsTable] = {}
    hosts: list[str] = []
    redacted: list[str] = []
    keeps_bodies = False
    trusts_forwarded = False
    server_timing = False
    sources: list[str] = []
    files: set[str] = set()
    for source, path, read in _sources(environment, rules, folder or Path(), opening):
        if path is not None:
            if (file_path := _resolved(path)) in files:
                continue  # operations and code may name the same file; no request reaches its second place
            files.add(file_path)
        sources.append(source)
        try:
            file = read()
        except ConfigError as error:
            problems += error.problems
            continue
        found += ((source, rule) for rule in file.rules)
        never += file.never
        if file.trigger is not None:
            trigger_tables[source] = file.trigger
        if file.cors is not None:
            cors_tables[source] = file.cors
        hosts += file.webhooks.hosts if file.webhooks is not None else ()
        if file.journal is not None:
            redacted += map(str.lower, file.journal.redact)
            keeps_bodies = keeps_bodies or file.journal.bodies
        trusts_forwarded = trusts_forwarded or file.trust_forwarded
        server_timing = server_timing or file.server_timing
    for key, tables in (("trigger", trigger_tables), ("cors", cors_tables)):
        if len(tables) > 1:
            problems.append(Problem(" and ".join(tables), "each has a table of this name; keep one", key=key))
    entries = _named(found, problems)
    # A rule that could not be read may be the one that is named.
    if environment.selected and not problems:
        entries = _selected(entries, environment.selected, problems)
    secrets = _secrets(entries, environment, problems)
    if problems:
        raise ConfigError(problems)
    cors_table = next(iter(cors_tables.values()), None)
    cors = None if cors_table is None else cors_of(cors_table, timing=server_timing)
    table = next(iter(trigger_tables.values()), TriggerTable())
    return Configuration(
        tuple(entries),
        tuple(never),
        triggers_of(table, environment, cors, trusts_forwarded=trusts_forwarded),
        tuple(sources),
        environment.service,
        environment.key,
        secrets,
        tuple(hosts),
        trusts_forwarded,
        tuple(redacted),
        keeps_bodies,
        table,
        cors_table,
        cors,
        server_timing,
    )


def _secrets(
    entries: Sequence[Entry], environment: Environment, problems: list[Problem]
) -> Mapping[str, str]:
    """The secrets that the webhooks of rules name. One that is missing would be found when it is too late."""
    secrets: dict[str, str] = {}
    for entry in entries:
        webhook = entry.rule.task.webhook if isinstance(entry.rule.task, TaskTable) else None
        if not isinstance(webhook, Webhook) or webhook.secret_env is None:
            continue
        if environment.variables is None:  # whoever only checks the rules need not have their secrets
            continue
        secret = environment.variables.get(webhook.secret_env, "")
        try:
            if not secret:
                raise ValueError("this variable is not set, and nothing could be signed")
            parse_secret(secret)
        except ValueError as error:
            label = f"rule {quoted(entry.name)}"
            place = "task.webhook.secret_env"
            problems.append(Problem(entry.source, str(error), label, place, quoted(webhook.secret_env)))
        secrets[webhook.secret_env] = secret
    return secrets


def _sources(
    environment: Environment,
    rules: RulesArgument,
    folder: Path,
    opening: Callable[[Path], None] | None,
) -> Iterator[tuple[str, Path | None, Callable[[], RulesFile]]]:
    """Every source by the name that messages call it, with its path and what reads it.

    The first overrides the rest.
    """
    if environment.short_rules:
        yield "MOCKWARE_RULES", None, lambda: read_short_rules(environment.short_rules)
    items = [rules] if isinstance(rules, (str, PathLike)) else [] if rules is None else rules
    if not isinstance(items, Sequence):
        raise TypeError(
            f"rules= takes a path, or a list of paths and Rule objects, not one {type(items).__name__}"
        )
    for made, run in groupby((*environment.files, *items), key=lambda item: isinstance(item, Rule)):
        group = list(run)
        if made:
            yield "rules=", None, lambda rules=group: RulesFile(rules=rules)  # type: ignore[misc]
            continue
        for item in group:
            if not isinstance(item, (str, PathLike)):
                raise TypeError(
                    f"rules= takes paths of rules files and Rule objects, not {type(item).__name__}"
                )
            source, path = fspath(item), folder / item
            yield source, path, partial(read_rules_file, path, str(Path(source)), opening)


def _resolved(path: Path) -> str:
    """What is the same for two spellings of one file."""
    try:
        return realpath(path)
    except (OSError, ValueError):  # no working directory, or no path at all: reading it will say so
        return str(path)


def _named(found: Iterable[tuple[str, Rule]], problems: list[Problem]) -> list[Entry]:
    """Every rule under a name of its own: the declared one, or else its match, numbered if repeated."""
    entries: dict[str, Entry] = {}
    found = list(found)
    places: dict[str, tuple[str, int]] = {}
    counts: Counter[str] = Counter()
    for source, rule in found:
        counts[source] += 1
        if rule.name is None:
            continue
        if rule.name in places:
            file, number = places[rule.name]
            other = f"rule {number}" if file == source else f"rule {number} of {file}"
            problems.append(namesake(source, counts[source], rule.name, other))
        places.setdefault(rule.name, (source, counts[source]))
        entries[rule.name] = Entry(rule.name, rule, source)
    names = []
    numbers: dict[str, int] = {}
    for source, rule in found:
        name = rule.name
        if name is None:
            name, number = rule.match, numbers.get(rule.match, 1)
            while name in entries:
                number += 1
                name = f"{rule.match} #{number}"
            numbers[rule.match] = number
            entries[name] = Entry(name, rule, source)
        names.append(name)
    return [entries[name] for name in names]


def _selected(entries: list[Entry], words: Sequence[str], problems: list[Problem]) -> list[Entry]:
    """The same entries, on only if one of `words` is their name or one of their tags."""
    known = {word for entry in entries for word in (entry.name, *entry.rule.tags)}
    # In a list, neither could stand.
    meant = [_SWITCHES[word] for word in map(str.lower, words) if len(words) == 1 and word in _SWITCHES]
    problems += [
        Problem(
            "MOCKWARE",
            f"no rule has this name or tag{did_you_mean(word, sorted(known), meant)}; "
            "`on` turns all on, `off` none",
            value=quoted(word),
        )
        for word in words
        if word not in known
    ]
    why_off = f"because MOCKWARE={','.join(words)} names other rules"
    return [
        entry
        if not {entry.name, *entry.rule.tags}.isdisjoint(words)
        else entry._replace(on=False, why_off=why_off)
        for entry in entries
    ]
