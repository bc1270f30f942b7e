"""Rules files, variables and arguments become one configuration, or one `ConfigError`.

Law: everything that is wrong is said at once, with its file, rule, key, value and what is allowed; and a
configuration that is returned can be compiled without a further question. The shape of a rules file is
declared here and in `rules.py`, once: validation and the JSON schema both come from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import groupby
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass

from . import schemas
from .addresses import Hosts
from .answers import STRICT, HeaderName, StatusCode, checked
from .cors import ANY, MAX_AGE_S, Cors, check_origin
from .documents import read_document
from .durations import MAX_DELAY_S, parse_delay
from .environment import Environment
from .exceptions import ConfigError, Problem, did_you_mean, quoted
from .paths import PathTemplate
from .replies import check_header_name
from .rules import Rule, known_keys
from .task_table import TaskTable, Webhook
from .triggers import TriggerFields, Triggers, check_source_name
from .validation import findings
from .webhooks import parse_secret

RulesArgument = str | PathLike[str] | Sequence[str | PathLike[str] | Rule] | None

_FIELDS = TriggerFields()


def _own_name(name: str, info: ValidationInfo) -> str:
    for other in TriggerFields._fields:
        field = f"{other}_header"
        taken = info.data.get(field, getattr(_FIELDS, other))
        if field != info.field_name and taken.lower() == name.lower():
            raise ValueError(f"two triggers cannot have one header, and this is `{field}`")
    return name


_FieldName = Annotated[HeaderName, AfterValidator(_own_name)]


def _check_prefix(path: str) -> None:
    if not path.startswith("/"):
        raise ValueError("a path starts with `/`")


_SourceName = Annotated[
    Annotated[StrictStr, checked(check_source_name)] | None, WithJsonSchema(schemas.SOURCE_NAME)
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TriggerTable:
    """`[trigger]`: what triggers may ask for, and what they are called."""

    enabled: StrictBool = Field(default=True, description="False: no request asks for a mock.")
    statuses: list[StatusCode] | None = Field(
        default=None, description="The only statuses that may be asked for."
    )
    paths: list[Annotated[StrictStr, checked(_check_prefix), WithJsonSchema(schemas.PREFIX)]] = Field(
        default_factory=list, description="Prefixes of the paths on which triggers work; all if empty."
    )
    max_delay: Annotated[Any, checked(parse_delay), WithJsonSchema(schemas.LONGEST_DELAY)] = Field(
        default=f"{MAX_DELAY_S:g}s", description="The longest delay that may be asked for."
    )
    status_header: _FieldName = Field(default=_FIELDS.status, description="Instead of X-Mock-Status.")
    name_header: _FieldName = Field(default=_FIELDS.name, description="Instead of X-Mock-Name.")
    delay_header: _FieldName = Field(default=_FIELDS.delay, description="Instead of X-Mock-Delay.")
    key_header: _FieldName = Field(default=_FIELDS.key, description="Instead of X-Mock-Key.")
    query: _SourceName = Field(
        default=None,
        description="A query parameter that asks as X-Mock-Status does; links may be anybody's.",
    )
    cookie: _SourceName = Field(
        default=None, description="A cookie that asks as X-Mock-Status does, for all of a browser's requests."
    )


def _check_origins(declared: list[str]) -> list[str]:
    if not declared:
        raise ValueError("nobody is listed; take out the table, or list an origin")
    for origin in declared:
        try:
            check_origin(origin)
        except ValueError as error:
            raise ValueError(f"{quoted(origin)}: {error}") from None
    if ANY in declared and len(declared) > 1:
        raise ValueError("`*` stands alone: it has every other origin in it")
    return declared


def _check_credentials(declared: bool, info: ValidationInfo) -> bool:
    # https://fetch.spec.whatwg.org/#cors-protocol-and-credentials
    if declared and ANY in info.data.get("origins", ()):
        raise ValueError("browsers refuse `*` as the origin of credentials; list the origins")
    return declared


def _check_exposed(declared: list[str], info: ValidationInfo) -> list[str]:
    if ANY in declared and info.data.get("credentials"):
        raise ValueError("with credentials, `*` is a field of that name; list the fields")
    return declared


def _parse_max_age(declared: object) -> float:
    return parse_delay(declared, longest_s=MAX_AGE_S)


def _check_max_age(declared: object) -> None:
    if declared is not None:
        _parse_max_age(declared)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.CORS))
class CorsTable:
    """`[cors]`: which pages of other origins may read mocks; without it, none but as the app's CORS says."""

    origins: Annotated[list[StrictStr], AfterValidator(_check_origins), WithJsonSchema(schemas.ORIGINS)] = (
        Field(
            strict=True,
            description='The only origins whose pages may read mocks, or ["*"].',
            examples=[["https://app.example.com", "https://*.preview.example.com", "http://localhost:3000"]],
        )
    )
    credentials: Annotated[StrictBool, AfterValidator(_check_credentials)] = Field(
        default=False, description="Whether they may send cookies."
    )
    exposed_headers: Annotated[
        list[Annotated[StrictStr, checked(check_header_name), WithJsonSchema(schemas.REQUEST_HEADER_NAME)]],
        AfterValidator(_check_exposed),
    ] = Field(
        default_factory=list,
        strict=True,
        description="The fields of a mock that they may read, besides X-Mock-Rule and the safelisted ones.",
    )
    max_age: Annotated[Any, checked(_check_max_age), WithJsonSchema(schemas.MAX_AGE)] = Field(
        default=None, description="How long a browser may remember what a preflight was told; 5 s if absent."
    )
    private_network: StrictBool = Field(
        default=False,
        description="Whether pages of the public internet may ask, where we are in a private one.",
    )


def _check_hosts(declared: list[str]) -> list[str]:
    Hosts(declared)
    return declared


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WebhooksTable:
    """`[webhooks]`: without it, none is sent."""

    hosts: Annotated[list[StrictStr], AfterValidator(_check_hosts)] = Field(
        strict=True,
        description="The only hosts to which webhooks go; a private address only if it, or its network, is "
        "listed by number.",
        examples=[["hooks.example.com", "*.example.com:8443", "10.0.0.0/8"]],
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JournalTable:
    """`[journal]`: what the control page's journal keeps of a mocked request."""

    redact: list[HeaderName] = Field(
        default_factory=list,
        strict=True,
        description="Fields that are secrets, beside those whose names say so, as Authorization's does.",
    )
    bodies: StrictBool = Field(
        default=False, description="Whether a body that a rule has looked at is kept, its first 4 KiB."
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RulesFile:
    """A rules file as a whole. The first matching rule in file order wins."""

    never: list[Annotated[StrictStr, checked(PathTemplate), WithJsonSchema(schemas.PATH)]] = Field(
        default_factory=list, strict=True, description="Paths that no rule and no trigger touches."
    )
    trigger: TriggerTable | None = Field(default=None, description="Limits and names of the triggers.")
    cors: CorsTable | None = Field(default=None, description="Who may read mocks in a browser.")
    webhooks: WebhooksTable | None = Field(default=None, description="Where the webhooks of tasks may go.")
    journal: JournalTable | None = Field(default=None, description="What the control page's journal keeps.")
    trust_forwarded: StrictBool = Field(
        default=False,
        description="Whether Forwarded and X-Forwarded-* of a request say by what URL its client knows us.",
    )
    server_timing: StrictBool = Field(
        default=False, description="Whether every mock says its rule in Server-Timing, too."
    )
    rules: list[Rule] = Field(default_factory=list, strict=True, description="The rules, first match first.")


_RULES_FILE = TypeAdapter(RulesFile)
_FILE_KEYS = tuple(field.name for field in fields(RulesFile))
_TRIGGER_KEYS, _CORS_KEYS, _WEBHOOKS_KEYS, _JOURNAL_KEYS = (
    tuple(field.name for field in fields(table))
    for table in (TriggerTable, CorsTable, WebhooksTable, JournalTable)
)


class Budget(NamedTuple):
    """How often a rule may answer before a change of it ends: `uses` in all, counted under `key`.

    `used` is told how often that was, each time.
    """

    key: str
    uses: int
    used: Callable[[int], None]


class Entry(NamedTuple):
    """A rule in its place: the `name` that it goes by, where it is from, and whether it is on.

    `why_off` says who or what turned it off. What was changed at run time ends at `until` (s), or with its
    `budget`.
    """

    name: str
    rule: Rule
    source: str
    on: bool = True
    why_off: str = ""
    until: float | None = None
    budget: Budget | None = None


class Configuration(NamedTuple):
    """All that a snapshot is compiled from.

    `sources` says where the rules are from, in order; `service` is the name that tells the counters and tasks
    of this service from those of others in one store, and `key` signs the ids of tasks. `secrets` are those
    that sign webhooks, by the name of their variable. `redacted` are the fields, in lower case, that the
    journal strikes out.
    """

    entries: tuple[Entry, ...] = ()
    never: tuple[str, ...] = ()
    triggers: Triggers | None = None
    sources: tuple[str, ...] = ()
    service: str = ""
    key: str = ""
    secrets: Mapping[str, str] = MappingProxyType({})
    webhook_hosts: tuple[str, ...] = ()
    trusts_forwarded: bool = False
    redacted: tuple[str, ...] = ()
    keeps_bodies: bool = False
    trigger_table: TriggerTable = TriggerTable()
    cors_table: CorsTable | None = None
    cors: Cors | None = None
    server_timing: bool = False

    @property
    def heeds_more(self) -> bool:
        """Whether more of a request is looked at than its method, path and trigger fields."""
        return self.cors is not None or (self.triggers is not None and self.triggers.heeds_more)

    @property
    def sends_webhooks(self) -> bool:
        """Whether any rule would tell of its tasks."""
        tasks = (entry.rule.task for entry in self.entries if entry.on)
        return any(isinstance(task, TaskTable) and task.webhook is not None for task in tasks)

    def __repr__(self) -> str:
        return f"<Configuration of {len(self.entries)} rules>"  # whatever is logged, the secrets are not


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a rules file."""
    declared = schemas.with_definitions(_RULES_FILE.json_schema())
    # Editors that are told of the schema by this key would otherwise call it an error.
    declared["properties"]["$schema"] = {"description": "Where this schema is."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **declared}


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
    for source, read in _sources(environment, rules, folder or Path(), opening):
        if source in sources and source != "rules=":
            continue  # operations and code may name the same file; no request reaches its second place
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
    cors = None if cors_table is None else _cors(cors_table, timing=server_timing)
    table = next(iter(trigger_tables.values()), TriggerTable())
    return Configuration(
        tuple(entries),
        tuple(never),
        _triggers(table, environment, cors),
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
) -> Iterator[tuple[str, Callable[[], RulesFile]]]:
    """Every source by the name that messages call it, with what reads it; the first overrides the rest."""
    if environment.short_rules:
        yield "MOCKWARE_RULES", lambda: _read_short_rules(environment.short_rules)
    items = [rules] if isinstance(rules, (str, PathLike)) else [] if rules is None else rules
    if not isinstance(items, Sequence):
        raise TypeError(
            f"rules= takes a path, or a list of paths and Rule objects, not one {type(items).__name__}"
        )
    for made, run in groupby((*environment.files, *items), key=lambda item: isinstance(item, Rule)):
        group = list(run)
        if made:
            yield "rules=", lambda rules=group: RulesFile(rules=rules)  # type: ignore[misc]
            continue
        for item in group:
            if not isinstance(item, (str, PathLike)):
                raise TypeError(
                    f"rules= takes paths of rules files and Rule objects, not {type(item).__name__}"
                )
            source = fspath(item)
            yield source, partial(read_rules_file, folder / item, str(Path(source)), opening)


def _read_short_rules(text: str) -> RulesFile:
    """`POST /reports 202; /legacy/{rest:path} 410`: a match, then a status or `passthrough`, or nothing."""
    source, rules, problems = "MOCKWARE_RULES", [], []
    for i, item in enumerate(filter(None, map(str.strip, text.split(";"))), 1):
        *words, action = item.split()
        arguments: dict[str, Any] = {"match": " ".join(words)}
        if action == "passthrough" and words:
            arguments["passthrough"] = True
        elif words and action.isascii() and action.isdigit():
            arguments["status"] = int(action[:9])
        else:
            words.append(action)
            arguments["match"] = " ".join(words)
        if len(words) > 2 or (len(words) == 2 and "/" in words[0]):
            hint = "expected `[METHOD] /path`, then a status or `passthrough`; rules are separated by `;`"
            problems.append(Problem(source, hint, rule=f"rule {i}", value=quoted(item)))
            continue
        try:
            rules.append(Rule(**arguments))
        except ConfigError as error:
            problems += [problem._replace(source=source, rule=f"rule {i}") for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return RulesFile(rules=rules)


def read_rules_file(path: Path, source: str = "", opening: Callable[[Path], None] | None = None) -> RulesFile:
    """One TOML, YAML or JSON file, by its ending. Raises ConfigError with every problem in it."""
    source = source or str(path)
    if opening is not None:
        opening(path)
    try:
        document = read_document(path)
    except OSError as error:
        raise ConfigError([Problem(source, f"cannot be read: {error.strerror or error}")]) from None
    except ConfigError as error:
        raise ConfigError(problem._replace(source=source) for problem in error.problems) from None
    except (ValueError, RecursionError) as error:  # every parser's own error, and bytes that are no UTF-8
        message = " ".join(str(error).split())
        raise ConfigError([Problem(source, f"not {path.suffix[1:].upper()}: {message}")]) from None
    if not isinstance(document, dict):
        raise ConfigError([Problem(source, f"expected a table with {', '.join(_FILE_KEYS)}")])
    document.pop("$schema", None)
    try:
        return _RULES_FILE.validate_python(document, context={"folder": path.parent, "opening": opening})
    except ValidationError as error:
        raise ConfigError([*_placed(source, document, error), *_namesakes(source, document)]) from None


def read_rule(document: Mapping[str, Any]) -> Rule:
    """A rule as it stands in a rules file, from somebody who may not read files. Raises ConfigError."""
    try:
        file = _RULES_FILE.validate_python({"rules": [document]}, context={"no_files": True})
    except ValidationError as error:
        raise ConfigError(
            problem._replace(source="rule", key=".".join(map(str, place[2:])))
            for place, problem in findings(error, _known_keys)
        ) from None
    return file.rules[0]


def rule_schema() -> dict[str, Any]:
    """The JSON Schema of one rule, with what it refers to."""
    declared: dict[str, Any] = schema()["$defs"]
    return declared


def _placed(source: str, document: Mapping[str, Any], error: ValidationError) -> Iterator[Problem]:
    """A file's problems, with the rule's number and name in the place of its index."""
    for place, problem in findings(error, _known_keys):
        if place[0] != "rules" or len(place) < 2:
            yield problem._replace(source=source)
            continue
        declared = list(document["rules"])[int(place[1])]
        label = f"rule {int(place[1]) + 1}"
        name = declared.get("name", declared.get("match")) if isinstance(declared, dict) else None
        label += f" {quoted(name)}" if isinstance(name, str) else ""
        yield problem._replace(source=source, rule=label, key=".".join(map(str, place[2:])))


def _namesakes(source: str, document: Mapping[str, Any]) -> Iterator[Problem]:
    """Rules of one name in a file that is wrong in other ways too, where nobody comes to compare them."""
    first: dict[str, int] = {}
    declared = document.get("rules")
    for number, rule in enumerate(declared if isinstance(declared, list) else (), 1):
        name = rule.get("name") if isinstance(rule, dict) else None
        if isinstance(name, str) and first.setdefault(name, number) != number:
            yield _namesake(source, number, name, f"rule {first[name]}")


def _namesake(source: str, number: int, name: str, other: str) -> Problem:
    return Problem(
        source,
        f"two rules have this name; the other is {other}",
        rule=f"rule {number}",
        key="name",
        value=quoted(name),
    )


def _known_keys(place: tuple[int | str, ...]) -> Sequence[str]:
    match place:
        case ():
            return _FILE_KEYS
        case ("trigger",):
            return _TRIGGER_KEYS
        case ("cors",):
            return _CORS_KEYS
        case ("webhooks",):
            return _WEBHOOKS_KEYS
        case ("journal",):
            return _JOURNAL_KEYS
        case ("rules", int(), *within):
            return known_keys(tuple(within))
    return ()


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
            problems.append(_namesake(source, counts[source], rule.name, other))
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
    problems += [
        Problem(
            "MOCKWARE",
            f"no rule has this name or tag{did_you_mean(word, sorted(known))}; `on` turns all on, `off` none",
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


def _fields_of(table: TriggerTable) -> TriggerFields:
    return TriggerFields(table.status_header, table.name_header, table.delay_header, table.key_header)


def _cors(table: CorsTable, *, timing: bool) -> Cors:
    return Cors(
        table.origins,
        credentials=table.credentials,
        exposed=table.exposed_headers,
        max_age_s=None if table.max_age is None else _parse_max_age(table.max_age),
        private_network=table.private_network,
        timing=timing,
    )


def _triggers(table: TriggerTable, environment: Environment, cors: Cors | None) -> Triggers | None:
    if not table.enabled:
        return None
    return Triggers(
        fields=_fields_of(table),
        statuses=None if table.statuses is None else frozenset(table.statuses),
        paths=tuple(table.paths),
        max_delay_s=parse_delay(table.max_delay),
        key=environment.key,
        service=environment.service,
        query=table.query,
        cookie=table.cookie,
        trusted_origins=() if cors is None else cors.origins,
    )
