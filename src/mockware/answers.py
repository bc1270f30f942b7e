"""What a rule may answer with: the keys of a reply, of one in a sequence, and of a patch.

Law: an answer that exists is valid. Every key is declared once, here, with its check, its words for people
and its outline for the schema; `rules.py` puts them into a rule. What HTTP asks of the response is not
looked at here but in `replies.py`.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass

from . import schemas
from .durations import Delay, parse_delay, parse_rule_delay
from .messages import MISSING, Fault, Response
from .patches import Fields, Patch
from .replies import Content, build_reply, check_header
from .statuses import status_for
from .templated import TemplatedReply, compile_body
from .templates import compile_text, is_template

# Every worker holds a mock's body in memory. 16 MiB is far above any API's answer, and whoever wants to
# test large downloads wants a real file server.
MAX_FILE_BYTES = 16 * 1024 * 1024
# Nobody counts further by hand; a store's 64 bits hold the sum of any sequence of these.
MAX_TIMES = 1_000_000_000
MAX_REPLIES = 1000

_MEDIA_TYPES = mimetypes.MimeTypes()  # the built-in table only: the same answer on every machine
STRICT = ConfigDict(extra="forbid")

_Declared = TypeVar("_Declared")


def checked(parse: Callable[[Any], object]) -> AfterValidator:
    """Keeps a value as it was declared, having seen that `parse` accepts it."""

    def check(declared: _Declared) -> _Declared:
        parse(declared)
        return declared

    return AfterValidator(check)


def _check_status(code: int) -> None:
    if not 200 <= code <= 599:
        raise ValueError("expected a status from 200 to 599")


def absent() -> Any:
    return MISSING


# Headers


def header_pairs(declared: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A list as a value repeats its field."""
    return [
        (name, str(value))
        for name, values in declared.items()
        for value in (values if isinstance(values, (list, tuple)) else (values,))
    ]


def _check_values(declared: object, *, expected: str, template: bool = False) -> None:
    for value in declared if isinstance(declared, (list, tuple)) else (declared,):
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(f"expected {expected}")
        # What a template makes is checked when it has made it.
        if not (template and is_template(str(value))):
            check_header("x", str(value))


def check_header_values(declared: object, info: ValidationInfo) -> object:
    expected = "a string, or a list of strings where the field is repeated"
    _check_values(declared, expected=expected, template=info.data.get("template", False))
    return declared


def no_type_without_content(headers: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
    # On a 304 it would be about the stored response; wsgiref.validate refuses both.
    status = info.data.get("status")
    if status in (204, 304) and any(name.lower() == "content-type" for name in headers):
        raise ValueError(f"a {status} has no content, and so no Content-Type")
    return headers


def _check_header_name(name: str) -> None:
    check_header(name, "")


HeaderName = Annotated[StrictStr, checked(_check_header_name), WithJsonSchema(schemas.REPLY_HEADER_NAME)]


# Bodies


def _check_json(declared: Any) -> None:
    if declared is not MISSING:
        Content.from_json(declared)


def one_body(declared: Any, info: ValidationInfo) -> Any:
    if declared is MISSING or (declared is None and info.field_name != "json"):
        return declared
    for other in ("json", "text", "file"):
        given = info.data.get(other, MISSING)
        # Only for JSON is nothing a value.
        if other != info.field_name and given is not MISSING and (given is not None or other == "json"):
            raise ValueError(
                f"a rule has one body, and there is `{other}` already; allowed: json, text or file"
            )
    status = info.data.get("status")
    if status is not None and not status_for(status).has_body:
        raise ValueError(f"a {status} has no body (RFC 9110 section 6.4.1)")
    return declared


def resolved_file(declared: Any, info: ValidationInfo) -> Path | None:
    """An existing file; one named by a rules file stays inside that file's folder."""
    if declared is None:
        return None
    if not isinstance(declared, (str, Path)):
        raise ValueError("expected a string: the path of a file")
    context = info.context or {}
    if context.get("no_files"):
        raise ValueError("a rule that comes in a request names no file of the server; give `json` or `text`")
    folder, opening = context.get("folder"), context.get("opening")
    try:
        path = (folder or Path()).joinpath(declared)
        if opening is not None:
            opening(path)
        path = path.resolve()
        size = path.stat().st_size if path.is_file() else None
        if size is not None:
            path.open("rb").close()
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"this file cannot be read: {reason}") from None
    if folder is not None and not path.is_relative_to(folder.resolve()):
        raise ValueError("a `file` stays inside the folder of its rules file")
    if size is None:
        raise ValueError(f"no such file: {path}")
    if size > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes, and every worker would hold it in memory")
    return path


# Keys


def _compiles(declared: Any, info: ValidationInfo) -> Any:
    """A template says what is wrong with it when the rules load; what it says of the path is asked later."""
    if info.data.get("template") and declared is not None and declared is not MISSING:
        headers = header_pairs(info.data.get("headers") or {})
        match info.field_name:
            case "headers":
                for _, value in header_pairs(declared):
                    compile_text(value)
            case "json":
                compile_body(declared)
            case "text":
                compile_body(Content.from_text(declared), headers)
            case "file":
                compile_body(content_of(declared), headers)
    return declared


def _check_drip(declared: object) -> None:
    if declared is not None and not parse_delay(declared):
        raise ValueError("no time at all; leave the key out, and the body is sent at once")


def _no_drip_of_nothing(fault: Fault | None, info: ValidationInfo) -> Fault | None:
    if fault in ("stall", "empty") and info.data.get("drip") is not None:
        raise ValueError(f"`{fault}` sends no body, and so there is nothing to `drip`")
    return fault


def content_of(file: str | Path) -> Content:
    media_type, encoding = _MEDIA_TYPES.guess_type(str(file))
    # A compressed file is sent as the archive that it is, not as an encoding of what is inside.
    unknown = "application/octet-stream"
    return Content(Path(file).read_bytes(), unknown if encoding else media_type or unknown)


# Said of every key: pydantic would take those of a table that others build upon by position, and check them
# after those of the other.
key = partial(Field, kw_only=True)

StatusCode = Annotated[StrictInt, checked(_check_status), WithJsonSchema(schemas.STATUS)]
Times = Annotated[StrictInt, Field(ge=1, le=MAX_TIMES)]
_HeaderValue = Annotated[Any, AfterValidator(check_header_values)]
_compiled = AfterValidator(_compiles)

# What a type checker lets people write, and what pydantic is to look for: anything at all for a file, whose
# own validator has the better words.
if TYPE_CHECKING:
    _File = str | Path | None
else:
    _File = Any


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.REPLY))
class Reply:
    """The keys of a mock response."""

    # First: what a header and a body may be depends on it.
    template: StrictBool = key(
        default=False, description="Whether `headers`, `json`, `text` and `file` are Jinja templates."
    )
    status: StatusCode | None = key(default=None, description="202 if absent.")
    headers: Annotated[
        dict[HeaderName, _HeaderValue],
        AfterValidator(no_type_without_content),
        _compiled,
        WithJsonSchema(schemas.REPLY_HEADERS),
    ] = key(default_factory=dict, description="Fields of the response; a list repeats its field.")
    json: Annotated[Any, AfterValidator(one_body), checked(_check_json), _compiled] = key(
        default_factory=absent, description="The body, written as JSON."
    )
    text: Annotated[StrictStr, AfterValidator(one_body), checked(Content.from_text), _compiled] | None = key(
        default=None, description="The body, as plain text."
    )
    file: Annotated[
        _File,
        AfterValidator(one_body),
        AfterValidator(resolved_file),
        _compiled,
        WithJsonSchema(schemas.FILE),
    ] = key(
        default=None,
        description="A file whose content is the body, in or below the folder of the rules file.",
    )
    delay: Annotated[Any, checked(parse_rule_delay), WithJsonSchema(schemas.DELAY)] = key(
        default=None, description="How long to wait first, at most 30s."
    )
    drip: Annotated[Any, checked(_check_drip), WithJsonSchema(schemas.DRIP)] = key(
        default=None, description="How long the body takes on the wire, in pieces, at most 30s."
    )
    fault: Annotated[Fault | None, AfterValidator(_no_drip_of_nothing)] = key(
        default=None,
        description="What goes wrong on the wire: `cut` ends the connection after half the body, `stall` "
        "falls silent after the headers, `empty` ends it before them (on some servers).",
    )

    @property
    def delays(self) -> Delay:
        """`delay`, in seconds."""
        return parse_rule_delay(self.delay)

    def compiled(self, name: str) -> Response | TemplatedReply:
        """What is sent, or what makes it of the request, under the name of its rule."""
        content: Content | None = None
        if self.text is not None:
            content = Content.from_text(self.text)
        elif self.file is not None:
            content = content_of(self.file)
        status = 202 if self.status is None else self.status
        headers = header_pairs(self.headers)
        drip_s = 0.0 if self.drip is None else parse_delay(self.drip)
        if self.template:
            body = self.json if content is None else content
            return TemplatedReply(status, headers, body, rule=name, drip_s=drip_s, fault=self.fault)
        if self.json is not MISSING:
            content = Content.from_json(self.json)
        return build_reply(
            status, rule=name, headers=headers, content=content, drip_s=drip_s, fault=self.fault
        )


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.REPLY))
class Step(Reply):
    """One of the `replies` that a rule gives in turn."""

    times: Times = key(default=1, description="How often it is given before the next one's turn.")


def _header_changes(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, value in declared.items():
        if value is not None and value is not False:
            try:
                _check_values(value, expected="a string, a list of strings, or false to take the field away")
            except ValueError as error:
                raise ValueError(f"`{name}`: {error}") from None
    return declared


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Changes:
    """The keys of `patch`: what becomes of the response that the app gave."""

    status: StatusCode | None = key(default=None, description="Instead of the app's status.")
    headers: Annotated[
        dict[HeaderName, Any], AfterValidator(_header_changes), WithJsonSchema(schemas.HEADER_CHANGES)
    ] = key(default_factory=dict, description="Fields in the place of the app's; false takes one away.")
    json: Annotated[Any, checked(_check_json)] = key(
        default_factory=absent,
        description="Merged into a JSON body of at most 1 MiB (RFC 7396); null takes a member away.",
    )

    def __post_init__(self) -> None:
        self.compiled("checked")

    def compiled(self, name: str, beside: Fields = ()) -> Patch:
        """What is done to a response, under the name of its rule; `beside` are further fields of it."""
        headers: list[tuple[str, str | None]] = []
        for name_of_field, value in self.headers.items():
            removed = value is None or value is False
            headers += [(name_of_field, None)] if removed else header_pairs({name_of_field: value})
        return Patch(rule=name, status=self.status, headers=headers, json=self.json, beside=beside)


REPLY_KEYS, STEP_KEYS, PATCH_KEYS = (
    tuple(field.name for field in fields(table)) for table in (Reply, Step, Changes)
)
