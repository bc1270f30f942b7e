"""The tables of a rules file beside its rules: `[trigger]`, `[cors]`, `[webhooks]`, `[journal]`.

Law: each key is declared here, once, with what is allowed and what it says in the schema; and each table that
is read can be turned into what the engine takes without a further question.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationInfo, WithJsonSchema
from pydantic.dataclasses import dataclass

from . import schemas
from .addresses import Hosts
from .answers import STRICT, HeaderName, StatusCode, checked
from .cors import ANY, MAX_AGE_S, Cors, check_origin
from .durations import MAX_DELAY_S, parse_delay
from .environment import Environment
from .exceptions import quoted
from .replies import check_header_name
from .triggers import TriggerFields, Triggers, check_source_name

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


# What they become


def _fields_of(table: TriggerTable) -> TriggerFields:
    return TriggerFields(table.status_header, table.name_header, table.delay_header, table.key_header)


def cors_of(table: CorsTable, *, timing: bool) -> Cors:
    return Cors(
        table.origins,
        credentials=table.credentials,
        exposed=table.exposed_headers,
        max_age_s=None if table.max_age is None else _parse_max_age(table.max_age),
        private_network=table.private_network,
        timing=timing,
    )


def triggers_of(
    table: TriggerTable, environment: Environment, cors: Cors | None, *, trusts_forwarded: bool
) -> Triggers | None:
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
        trusts_forwarded=trusts_forwarded,
    )
