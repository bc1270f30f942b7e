"""Where a task is asked about: the paths of its monitor, its result and the rest, each as a candidate.

Law: a path belongs to us only if what stands in the place of the id has the shape of one. Whether it is one,
and of whose task, decides what is said; anything else on that path is the app's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .conditions import Difference
from .decisions import Decision
from .dialect import Kind
from .messages import Request, Response
from .paths import PathTemplate
from .task_answers import Asked, Means
from .task_ids import is_id
from .task_rules import TaskRule


class TaskEndpoint:
    """One path on which a task is asked about, and what each method means there.

    To the engine it is a rule among others, in the place of its own rule.
    """

    # What a compiled rule has, too, for the engine to ask.
    at_once: Mapping[str, Response] = {}
    counters = None
    limit = None
    probability = None
    steps: Sequence[Any] = ()

    def __init__(
        self,
        task_rule: TaskRule,
        template: PathTemplate,
        kinds: Mapping[str, Kind],
        *,
        on: bool,
        expires_at: float | None,
    ) -> None:
        self.name = task_rule.answers.name
        self.template = template
        self.on = on
        self.expires_at = expires_at
        self._rule = task_rule
        self._kinds = dict(kinds)
        self._has_id = "task_id" in template.names
        self.needs_body = task_rule.answers.reads_polls or "wait" in kinds.values()
        self.gives_way = "original" in kinds.values()

    def difference(self, request: Request) -> Difference | None:
        """What keeps the request from being about a task."""
        texts = self.template.texts(request.path)
        if texts is None:
            return Difference("path", self.template.text, request.path)
        if self._has_id:
            if not is_id(texts["task_id"]):
                return Difference("path", f"{self.template.text} with the id of a task", request.path)
            return Difference("method", "any but a CORS preflight", "one") if request.is_preflight else None
        if self._kind(request) is None:
            return Difference("method", ", ".join(sorted(self._kinds)), request.method)
        return None

    def body_difference(self, request: Request) -> None:
        """No body is the wrong one."""

    def knows(self, request: Request) -> bool:
        """Whether the id in the request's path was made by this rule."""
        texts = self.template.texts(request.path) or {}
        return self._rule.answers.ids.read(texts.get("task_id", "")) is not None

    def _kind(self, request: Request) -> Kind | None:
        return self._kinds.get("GET" if request.method == "HEAD" else request.method)

    def answer(self, request: Request, means: Means, delay_s: float = 0.0) -> Decision:
        """What there is to say, after `delay_s`, or who else is to say it."""
        texts = self.template.texts(request.path) or {}
        asked = Asked(request, texts, means, delay_s)
        kind = self._kind(request)
        if kind == "list" and self._rule.list is not None:
            # Other rules may have their operations here, too.
            others = [other._rule.answers for other in means.later if isinstance(other, TaskEndpoint)]
            return self._rule.list.page(asked, others)
        if kind == "original":
            return self._rule.original(asked)
        task = self._rule.answers.ids.read(texts.get("task_id", ""))
        if task is None:
            # Another rule may have made it, for the same path.
            for i, other in enumerate(means.later):
                if isinstance(other, TaskEndpoint) and other.knows(request):
                    return other.answer(request, means._replace(later=means.later[i + 1 :]), delay_s)
            return self._rule.answers.unknown(request)
        if kind is None:
            methods = [*self._kinds, "HEAD"] if "GET" in self._kinds else [*self._kinds]
            return self._rule.answers.not_allowed(sorted(methods), request)
        return self._rule.tell(kind, task, asked)


def endpoints_of(
    task_rule: TaskRule, *, on: bool, expires_at: float | None, methods: frozenset[str] | None
) -> Iterator[TaskEndpoint]:
    """All paths on which the rule's tasks are asked about; `methods` are those of the rule itself."""
    dialect = task_rule.answers.dialect
    kinds: dict[str, dict[str, Kind]] = {}
    for kind, method, suffix in dialect.endpoints:
        path = task_rule.answers.monitor.text + suffix
        if kind == "list":
            path = task_rule.answers.list_path
            # The app's home, or its list of what is made there, is not ours.
            if path in ("", task_rule.answers.template.text):
                continue
        of_path = kinds.setdefault(path, {})
        if kind != "cancel" or task_rule.table.cancel:
            of_path[method] = kind
    if (
        dialect.original is not None
        and methods is not None
        and methods & dialect.originals
        and "GET" not in methods
    ):
        kinds.setdefault(task_rule.answers.template.text, {})["GET"] = "original"
    for path, of_methods in kinds.items():
        yield TaskEndpoint(task_rule, PathTemplate(path), of_methods, on=on, expires_at=expires_at)
