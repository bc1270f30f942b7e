"""The two conventions that need no document: the plain one, and GitHub's statistics.

Law: plain is what most home-made services do, and what a 202 asks for: a description of the request's status,
and a pointer to a status monitor. GitHub has no pointer: the same URL is asked again until it is ready.

Sources: RFC 9110 section 15.3.3; https://learn.microsoft.com/azure/architecture/patterns/async-request-reply;
https://docs.github.com/rest/metrics/statistics.
"""

from __future__ import annotations

from .dialect import WORDS, Dialect, Told, View, as_it_is, json_content, problem_details, status_of
from .messages import MISSING
from .tasks import Phase


def _accepted(view: View) -> Told:
    body = {"status": "accepted", "task_id": view.task.id}
    return Told(202, (("Location", view.monitor), *view.waiting), json_content(body))


def _monitor(view: View) -> Told:
    if not view.state.has_ended:
        return Told(200, view.waiting, status_of(view).content)
    if view.outcome is not None and (view.raw or view.state.phase is Phase.SUCCEEDED):
        of_another_kind = view.outcome.content is not None and view.outcome.json is MISSING
        if view.raw or view.outcome.status != 200 or of_another_kind:
            return as_it_is(view)  # a real response, a 303 to the result, or a result that is no JSON
    fields = view.outcome.headers if view.outcome and view.state.phase is Phase.SUCCEEDED else ()
    return Told(200, fields, status_of(view).content)


PLAIN = Dialect(
    words=WORDS,
    accepted=_accepted,
    monitor=_monitor,
    canceled=_monitor,
    finished=as_it_is,
    status=status_of,
    problem=problem_details,
)


def _told(view: View) -> Told:
    return as_it_is(view) if view.state.has_ended else Told(202, (), json_content({}))


GITHUB = Dialect(
    words=WORDS,
    accepted=_told,
    monitor=_told,
    canceled=_told,
    finished=as_it_is,
    status=status_of,
    problem=problem_details,
    endpoints=(),
    same_url=True,
)
