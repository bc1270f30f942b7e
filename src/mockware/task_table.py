"""What a rule may say of a task: the keys of `task`, of its `result` and `failure`, and of its `webhook`.

Law: as in `answers.py`, what exists is valid, and every key is declared once, here. What becomes of a task is
elsewhere: nothing here knows a request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema
from pydantic.dataclasses import dataclass

from . import schemas
from .answers import (
    STRICT,
    HeaderName,
    StatusCode,
    absent,
    check_header_values,
    checked,
    content_of,
    header_pairs,
    key,
    no_type_without_content,
    one_body,
    resolved_file,
)
from .dialect import Dialect
from .dialects import DIALECTS
from .durations import Delay, parse_delay, parse_rule_delay
from .messages import MISSING
from .paths import PathTemplate
from .replies import Content
from .task_ids import MAX_DURATION_S
from .templated import TemplatedReply, check_parameters
from .templates import compile_text, is_template

# What an id can say; a rehearsal that takes longer has other problems.
MAX_TASK_S = float(MAX_DURATION_S)
# Google keeps operations for 30 days, Azure for one; whatever is said of a task is kept in a store as long.
MAX_RETENTION_S = 30 * 24 * 3600.0
# A day's work, after which nobody believes that a client still waits for the app.
MAX_RUN_S = 24 * 3600.0
# Senders are known to repeat a message a few times, not a hundred.
MAX_DUPLICATES = 10

ID = "{task_id}"
DURATION, QUEUE_TIME = "5s", "0s"  # where nothing is said; beside `run`, nothing may be


def _check_task_time(declared: object) -> None:
    # Without a value there would be no task at all; with the key left out it takes a while.
    parse_rule_delay("" if declared is None else declared, longest_s=MAX_TASK_S)


def _check_long(declared: object) -> None:
    parse_delay(declared, longest_s=MAX_TASK_S)


def _check_retention(declared: object) -> None:
    if not parse_delay(declared, longest_s=MAX_RETENTION_S):
        raise ValueError("no time at all; nobody could ask for the task's end")


def _check_run_time(declared: object) -> None:
    if declared is not None and not parse_delay(declared, longest_s=MAX_RUN_S):
        raise ValueError("no time at all; the app could do nothing")


def _check_retry_after(declared: object) -> None:
    # Azure's SDK takes 0 for absent and waits for 30 s; a client that heeds it asks without a pause.
    if declared is not None and not parse_delay(declared, longest_s=MAX_TASK_S):
        raise ValueError("a client is never told to ask again at once; leave the key out to tell it nothing")


def _check_monitor(declared: str) -> None:
    template = PathTemplate(declared)
    if template.names.count("task_id") != 1 or ID not in declared:
        raise ValueError(f"the path of a monitor has `{ID}` in it")


_TaskTime = Annotated[Any, checked(_check_task_time), WithJsonSchema(schemas.TASK_TIME)]
_Long = Annotated[Any, checked(_check_long), WithJsonSchema(schemas.LONG_DURATION)]

if TYPE_CHECKING:
    _File = str | Path | None
else:
    _File = Any


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.REPLY_BODY))
class Result:
    """What a task has made, as a synchronous request would have had it. Its strings may be templates."""

    status: StatusCode | None = key(default=None, description="200 if absent.")
    headers: Annotated[
        dict[HeaderName, Annotated[Any, AfterValidator(check_header_values)]],
        AfterValidator(no_type_without_content),
        WithJsonSchema(schemas.REPLY_HEADERS),
    ] = key(default_factory=dict, description="Fields of the response; a list repeats its field.")
    json: Annotated[Any, AfterValidator(one_body)] = key(
        default_factory=absent, description="The body, written as JSON."
    )
    text: Annotated[StrictStr, AfterValidator(one_body)] | None = key(
        default=None, description="The body, as plain text."
    )
    file: Annotated[
        _File, AfterValidator(one_body), AfterValidator(resolved_file), WithJsonSchema(schemas.FILE)
    ] = key(default=None, description="A file whose content is the body.")

    def __post_init__(self) -> None:
        self.compiled("")

    default_status = 200

    def compiled(self, name: str) -> TemplatedReply:
        """What makes it, of the request that asks and of the one that was accepted. Raises ValueError."""
        body: Any = self.json
        if self.text is not None:
            body = Content.from_text(self.text)
        elif self.file is not None:
            body = content_of(self.file)
        status = self.default_status if self.status is None else self.status
        # What is no template is sent as it stands: a file need not even be text.
        is_plain = isinstance(body, Content) and not is_template(body.body.decode("latin-1"))
        return TemplatedReply(
            status,
            header_pairs(self.headers),
            MISSING if is_plain else body,
            rule=name,
            of_task=True,
            plain=body if is_plain else None,
        )


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.REPLY_BODY))
class Failure(Result):
    """How a task fails, and how often. `json` has a `code` and a `message`, as far as dialects show them."""

    probability: Annotated[float, Field(ge=0, le=1, strict=True)] = key(
        default=0.0, description="The share of the tasks that fail; none if absent."
    )

    default_status = 500


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Webhook:
    """Where the end of a task is told of. Its host must be listed in `[webhooks]`."""

    url: Annotated[StrictStr, Field(min_length=1)] = key(
        description="http:// or https://; may be a template of the accepting request.",
        examples=["{{ request.json.callback_url }}"],
    )
    secret_env: Annotated[StrictStr, Field(min_length=1)] | None = key(
        default=None, description="The environment variable with the secret that signs; unsigned if absent."
    )
    form: Literal["standard", "cloudevents"] = key(
        default="standard",
        description="Standard Webhooks, or CloudEvents in HTTP's binary mode.",
    )
    late: _Long = key(default="0s", description="How long after the event it is sent first.")
    duplicates: Annotated[StrictInt, Field(ge=0, le=MAX_DUPLICATES)] = key(
        default=0, description="How often it is sent again although it was received."
    )
    out_of_order: StrictBool = key(
        default=False, description="Tell that the task is running, too, but only after it has ended."
    )

    def __post_init__(self) -> None:
        compile_text(self.url)
        if not is_template(self.url) and not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("`url` is a URL that begins with http:// or https://, or a template of one")

    @property
    def late_s(self) -> float:
        """`late`, in seconds."""
        return parse_delay(self.late, longest_s=MAX_TASK_S)


if TYPE_CHECKING:
    _Result = Result | Mapping[str, Any]
    _Failure = Failure | Mapping[str, Any]
    _Webhook = Webhook | Mapping[str, Any]
else:
    _Result, _Failure, _Webhook = Result, Failure, Webhook


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=schemas.TASK))
class TaskTable:
    """The keys of `task`: a request is accepted, and this is what becomes of it."""

    duration: _TaskTime = key(default=DURATION, description="How long the task takes.")
    queue_time: _Long = key(default=QUEUE_TIME, description="The part of it that is spent as not started.")
    monitor: Annotated[StrictStr, checked(_check_monitor), WithJsonSchema(schemas.MONITOR)] | None = key(
        default=None,
        description="The path of the status monitor; the request's path and `/{task_id}` if absent.",
    )
    retry_after: Annotated[Any, checked(_check_retry_after), WithJsonSchema(schemas.OPTIONAL_TIME)] = key(
        default="1s", description="When to ask again; below one second it is told in milliseconds."
    )
    dialect: Literal["plain", "azure", "google", "jsonapi", "odata", "github", "ogc"] = key(
        default="plain", description="The convention by which the task is told of."
    )
    result: _Result | None = key(default=None, description="What the task makes.")
    failure: _Failure | None = key(default=None, description="How it fails, and how often.")
    cancel: StrictBool = key(default=False, description="Whether clients may cancel the task.")
    retention: Annotated[Any, checked(_check_retention), WithJsonSchema(schemas.SOME_TIME)] = key(
        default="24h", description="How long after its end the task is known; then 404."
    )
    prefer_async: StrictBool | None = key(
        default=None,
        description="True: only requests with `Prefer: respond-async` are accepted so; odata's default.",
    )
    run: Literal["app"] | None = key(
        default=None, description="`app`: the wrapped app does the work, and its response is the result."
    )
    timeout: Annotated[Any, checked(_check_run_time), WithJsonSchema(schemas.OPTIONAL_TIME)] = key(
        default=None, description="How long the app may take, with `run`; 10m if absent."
    )
    operation_name: StrictStr | None = key(
        default=None,
        description="What google's operations are called, with `{task_id}`; the id alone if absent, as "
        "google-api-core wants it.",
    )
    webhook: _Webhook | None = key(default=None, description="Where the end of the task is told of.")

    def __post_init__(self) -> None:
        _check_together(self)

    def check_parameters(self, accepted: Collection[str], asked: Collection[str]) -> None:
        """Raises ValueError where a template speaks of a parameter that no path has: that of the request that
        is accepted, or of those that ask."""
        for name, outcome in (("result", self.result), ("failure", self.failure)):
            if isinstance(outcome, Result):
                try:
                    outcome.compiled("").check_parameters(asked, accepted)
                except ValueError as error:
                    raise ValueError(f"`task.{name}`: {error}") from None
        if isinstance(self.webhook, Webhook):
            try:
                check_parameters("request", compile_text(self.webhook.url).parameters, accepted)
            except ValueError as error:
                raise ValueError(f"`task.webhook.url`: {error}") from None

    @property
    def durations(self) -> Delay:
        """`duration`, in seconds."""
        return parse_rule_delay(self.duration, longest_s=MAX_TASK_S)

    @property
    def queue_time_s(self) -> float:
        return parse_delay(self.queue_time, longest_s=MAX_TASK_S)

    @property
    def retry_after_s(self) -> float | None:
        return None if self.retry_after is None else parse_delay(self.retry_after, longest_s=MAX_TASK_S)

    @property
    def retention_s(self) -> float:
        return parse_delay(self.retention, longest_s=MAX_RETENTION_S)

    @property
    def timeout_s(self) -> float:
        return parse_delay("10m" if self.timeout is None else self.timeout, longest_s=MAX_RUN_S)

    @property
    def asks_for_async(self) -> bool:
        """Whether only requests that prefer it are accepted."""
        return DIALECTS[self.dialect].prefer_async if self.prefer_async is None else self.prefer_async


def _check_together(task: TaskTable) -> None:
    """Raises ValueError with all that one key rules out for another."""
    if wrong := list(_contradictions(task, DIALECTS[task.dialect])):
        raise ValueError("; ".join(wrong))


def _contradictions(task: TaskTable, dialect: Dialect) -> Iterator[str]:
    if task.run is not None:
        for name in ("result", "failure"):
            if getattr(task, name) is not None:
                yield f"with `run` the app's response is the outcome, and there is no `{name}`"
        for name, default in (("duration", DURATION), ("queue_time", QUEUE_TIME)):
            if getattr(task, name) != default:
                yield f"with `run` the app takes as long as it takes, and there is no `{name}`"
    else:
        if task.timeout is not None:
            yield "`timeout` says something only beside `run`; a task takes as long as its `duration`"
        if task.queue_time_s > task.durations.max_s:
            yield f"`queue_time` is a part of the `duration`, which is {task.durations}"
    if dialect.same_url:
        for name in ("monitor", "cancel"):
            if getattr(task, name):
                yield f"in the dialect {task.dialect} the same URL is asked again: no `{name}`"
    if task.operation_name is not None:
        if task.dialect != "google":
            yield "`operation_name` says something only in the dialect google"
        elif task.operation_name.count(ID) != 1:
            yield f"`operation_name` has `{ID}` in it"


TASK_KEYS, RESULT_KEYS, FAILURE_KEYS, WEBHOOK_KEYS = (
    tuple(field.name for field in fields(table)) for table in (TaskTable, Result, Failure, Webhook)
)
