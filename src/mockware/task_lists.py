"""The tasks of the rules that have one place for them as a list, page by page, as google's clients ask.

Law: the shelf has the ids, and the ids have the order (AIP-132: the oldest first here). Whose id it is says
what is told of it, and the path that was accepted, whether it stands here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from .decisions import Decision
from .dialect import Told
from .google_dialect import google_operation
from .questions import Listing, Reading
from .replies import Content
from .task_answers import Asked, Known, TaskAnswers, ended_in_time
from .task_records import accepted_from, moment_from
from .tasks import Task
from .template_values import TemplateError

# A page, and the most that may be asked for; AIP-158 leaves both to the service.
_PAGE, _MAX_PAGE = 50, 200


class TaskList:
    """The list that one rule's tasks are in; `shelf` is where they stand in the store."""

    def __init__(self, answers: TaskAnswers, *, service: str) -> None:
        self._answers = answers
        place = f"{service}\0{answers.list_path}".encode("utf-8", "surrogatepass")
        self.shelf = f"s.{blake2b(place, digest_size=16).hexdigest()}"

    def page(self, asked: Asked, others: Sequence[TaskAnswers] = ()) -> Decision:
        """A page of the tasks, oldest first (AIP-132, AIP-158), those of `others` among them."""
        query = asked.request.query
        size = (query.get("pageSize") or query.get("page_size") or [""])[-1]
        if size and not re.fullmatch("[0-9]{1,6}", size):
            # AIP-158: "If the user specifies a negative value ... the API must send an INVALID_ARGUMENT"
            detail = "the size of a page is a number, 0 or above"
            return self._answers.problem(400, "InvalidPageSize", detail, asked.request)
        limit = min(int(size or 0) or _PAGE, _MAX_PAGE)
        token = (query.get("pageToken") or query.get("page_token") or [""])[-1]
        owners = (self._answers, *others)
        if token and _listed(token, b"", owners) is None:
            return self._answers.problem(
                400, "InvalidPageToken", "this is the token of no page", asked.request
            )

        def settle(found: Sequence[tuple[str, bytes]]) -> Decision:
            listed = [one for key, value in found[:limit] if (one := _listed(key[2:], value, owners))]
            after = listed[-1].task.id if len(found) > limit and listed else ""
            # AIP-158: "The API may return fewer results than the number requested"
            here = [one for one in listed if _is_at(one, asked)]

            def settle_ends(ends: Sequence[bytes | None]) -> Decision:
                return self._operations(here, ends, after, asked)

            keys = tuple(("r." if one.owner.runs else "c.") + one.task.id for one in here)
            return asked.means.ask(Reading(keys), settle_ends) if keys else settle_ends(())

        return asked.means.ask(Listing(self.shelf, f"t.{token}", limit + 1), settle)

    def _operations(
        self, listed: Sequence[_Listed], ends: Sequence[bytes | None], after: str, asked: Asked
    ) -> Decision:
        operations = []
        for (owner, task, accepted), end in zip(listed, ends, strict=True):
            known = Known(accepted=accepted)
            if owner.runs:
                known = known._replace(ended=ended_in_time(task, end))
            else:
                known = known._replace(canceled_at=moment_from(end))
            try:
                view = owner.view(task, owner.state(task, asked.means.clock(), known), known, asked)
            except TemplateError as error:
                return self._answers.problem(500, "TemplateFailed", str(error), asked.request)
            operations.append(google_operation(view))
        page = {"operations": operations, "nextPageToken": after}
        return self._answers.response(Told(200, (), Content.from_json(page)), asked.request)


class _Listed(NamedTuple):
    owner: TaskAnswers
    task: Task
    accepted: bytes


def _listed(text: str, accepted: bytes, owners: Sequence[TaskAnswers]) -> _Listed | None:
    """The task with this id, and by whose rule it is."""
    for owner in owners:
        if (task := owner.ids.read(text)) is not None:
            return _Listed(owner, task, accepted)
    return None


def _is_at(listed: _Listed, asked: Asked) -> bool:
    """Whether its monitor is below the path that is asked."""
    request = accepted_from(listed.accepted)
    texts = listed.owner.template.texts(request.path) if request else None
    return asked.texts.items() <= (texts or {}).items()
