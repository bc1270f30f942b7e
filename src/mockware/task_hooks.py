"""The webhook of one rule's tasks: what is told of their end, and when.

Law: what a message says is made when it is sent, of what the store has then; what is kept until then is no
more than whose task it is about, and where the message goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from .addresses import MAX_URL_CHARS
from .deliveries import Delivery
from .dialect import Made
from .messages import Request
from .task_answers import Asked, Known, Means, TaskAnswers, ended_in_time
from .task_records import Hook, moment_from
from .task_table import Webhook
from .tasks import Phase, State, Task
from .template_values import Budget, variables_for
from .templates import compile_text
from .webhooks import Message

# The event that is told too late comes so long after the end.
_AFTER_THE_END_S = 1.0


class TaskHooks:
    """Tells of the tasks of one rule."""

    def __init__(self, answers: TaskAnswers, webhook: Webhook, *, secret: str) -> None:
        self._answers = answers
        self._webhook = webhook
        self._secret = secret
        self._url = compile_text(webhook.url)

    def hook(self, task: Task, asked: Asked) -> Hook:
        """What is told of the task, and where. Raises TemplateError."""
        request, means = asked.request, asked.means
        parameters = self._answers.template.parameters(request.path)
        variables = variables_for(request, parameters, now=means.clock(), chance=means.chance)
        # Refused for its length when it is sent; until then, all that is kept of it is what tells that.
        url = str(self._url.render(variables, Budget()))[: MAX_URL_CHARS + 1]
        return Hook(
            self._answers.name,
            task.id,
            "ended",
            url,
            self._answers.monitor_url(task, asked),
            self._answers.target(request),
        )

    def deliveries(self, hook: Hook, at: float) -> list[Delivery]:
        """The messages that an event at `at` comes to: one, again, or too late."""
        due_at = at + self._webhook.late_s
        events = [(hook, due_at + copy, copy) for copy in range(1 + self._webhook.duplicates)]
        if self._webhook.out_of_order:
            events.append((hook._replace(event="running"), due_at + _AFTER_THE_END_S, 0))
        return [
            Delivery.at(due_at, self._answers.key("w", hook.task_id, hook.event, str(copy)), hook.to_bytes())
            for hook, due_at, copy in events
        ]

    def message(self, hook: Hook, values: Sequence[bytes | None], means: Means) -> Message | None:
        """What is sent, now that the store has said what is under `keys`; None: nothing any more."""
        task = self._answers.ids.read(hook.task_id)
        if task is None:
            return None
        ended = ended_in_time(task, values[0]) if self._answers.runs else None
        known = Known(None if self._answers.runs else moment_from(values[0]), ended, values[1])
        state = self._answers.state(task, means.clock(), known)
        if hook.event == "running":
            state = State(Phase.RUNNING, 0, task.accepted_at, task.accepted_at)
        elif not state.has_ended or (state.phase is Phase.CANCELED) != (hook.event == "canceled"):
            return None  # what was canceled is told of by whoever did it
        request = Request("GET", hook.target)
        view = self._answers.view(task, state, known, Asked(request, {}, means))._replace(
            monitor=hook.monitor, target=hook.target
        )
        content = self._answers.dialect.status(view).content
        at = state.ended_at if state.ended_at is not None else task.accepted_at
        kind = "running" if hook.event == "running" else "ended"
        return Message(
            id=f"msg_{self._answers.key('m', task.id, kind)[2:]}",
            url=hook.url,
            type=f"task.{state.phase.value}",
            data=Made(200, (), content).json,
            at=at,
            source=hook.monitor or hook.target,
            subject=task.id,
            form=self._webhook.form,
            secret=self._secret,
        )

    def keys(self, hook: Hook) -> tuple[str, str]:
        return ("r." if self._answers.runs else "c.") + hook.task_id, "t." + hook.task_id
