"""The tasks of one rule as a list, page by page, as google's clients ask for it.

Law: the shelf has the ids, and the ids have the order (AIP-132: the oldest first here).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .dialect import Told
from .google_dialect import google_operation
from .messages import Decision
from .questions import Listing, Reading
from .replies import Content
from .task_answers import Asked, Known, TaskAnswers, ended_in_time
from .task_records import moment_from
from .tasks import Task
from .template_values import TemplateError

# A page, and the most that may be asked for; AIP-158 leaves both to the service.
_PAGE, _MAX_PAGE = 50, 200


class TaskList:
    """The list of one rule's tasks; `shelf` is where they stand in the store."""

    def __init__(self, answers: TaskAnswers) -> None:
        self._answers = answers
        self.shelf = answers.key("s")

    def page(self, asked: Asked) -> Decision:
        """A page of the tasks, oldest first (AIP-132, AIP-158)."""
        query = asked.request.query
        size = (query.get("pageSize") or query.get("page_size") or [""])[-1]
        if size and not re.fullmatch("[0-9]{1,6}", size):
            # AIP-158: "If the user specifies a negative value ... the API must send an INVALID_ARGUMENT"
            detail = "the size of a page is a number, 0 or above"
            return self._answers.problem(400, "InvalidPageSize", detail, asked.request)
        limit = min(int(size or 0) or _PAGE, _MAX_PAGE)
        token = (query.get("pageToken") or query.get("page_token") or [""])[-1]
        if token and self._answers.ids.read(token) is None:
            return self._answers.problem(
                400, "InvalidPageToken", "this is the token of no page", asked.request
            )

        def settle(found: Sequence[tuple[str, bytes]]) -> Decision:
            listed = [(self._answers.ids.read(key[2:]), value) for key, value in found[:limit]]
            tasks = [(task, value) for task, value in listed if task is not None]
            after = tasks[-1][0].id if len(found) > limit and tasks else ""

            def settle_canceled(canceled: Sequence[bytes | None]) -> Decision:
                return self._operations(tasks, canceled, after, asked)

            prefix = "r." if self._answers.runs else "c."
            keys = tuple(prefix + task.id for task, _ in tasks)
            return asked.means.ask(Reading(keys), settle_canceled) if keys else settle_canceled(())

        return asked.means.ask(Listing(self.shelf, f"t.{token}", limit + 1), settle)

    def _operations(
        self,
        tasks: Sequence[tuple[Task, bytes]],
        ends: Sequence[bytes | None],
        after: str,
        asked: Asked,
    ) -> Decision:
        operations = []
        for (task, accepted), end in zip(tasks, ends, strict=True):
            known = Known(accepted=accepted)
            if self._answers.runs:
                known = known._replace(ended=ended_in_time(task, end))
            else:
                known = known._replace(canceled_at=moment_from(end))
            try:
                view = self._answers.view(
                    task, self._answers.state(task, asked.means.clock(), known), known, asked
                )
            except TemplateError as error:
                return self._answers.problem(500, "TemplateFailed", str(error), asked.request)
            operations.append(google_operation(view))
        page = {"operations": operations, "nextPageToken": after}
        return self._answers.response(Told(200, (), Content.from_json(page)), asked.request)
