"""OData's asynchronous requests: the monitor gives the very response that was not waited for.

Law: nobody is answered so who did not ask for it, and nobody with a version of the protocol that is higher
than the one which he understands.

Source: https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part1-protocol.html, sections 8.1.5
(OData-Version), 8.3.1 (AsyncResult) and 11.6 (asynchronous requests).
"""

from __future__ import annotations

from .dialect import WORDS, Dialect, Told, View, as_it_is, failed, json_content, status_of
from .replies import JSON, Content
from .statuses import status_for
from .tasks import Phase

_NOTHING = Content(b"", JSON)  # WSGI wants a type even of that
_VERSION = "4.01"


def _versioned(told: Told, view: View | None = None) -> Told:
    if any(name.lower() == "odata-version" for name, _ in told.headers):
        return told  # an app's own
    version = (view.version if view else "") or _VERSION
    return told._replace(headers=(*told.headers, ("OData-Version", version)))


def _accepted(view: View) -> Told:
    # Section 11.6, of the monitor, too: "This response MUST again include a Location header".
    return _versioned(Told(202, (("Location", view.monitor), *view.waiting), _NOTHING), view)


def _monitor(view: View) -> Told:
    if not view.state.has_ended:
        return _accepted(view)
    if view.state.phase is Phase.CANCELED:
        # Section 11.6: after a DELETE there is no monitor any more.
        return _versioned(_error(404, "NotFound", "The request was canceled."), view)
    made = _outcome(view)
    if view.wraps:
        # Section 11.6: the response as a whole, as application/http.
        wrapped = Content(_on_the_wire(made), "application/http")
        return _versioned(Told(200, (("Content-Transfer-Encoding", "binary"),), wrapped), view)
    # Whatever its status is, the request for it has succeeded.
    fields = (*made.headers, ("AsyncResult", str(made.status)))
    return _versioned(Told(200, fields, made.content or _NOTHING), view)


def _on_the_wire(made: Told) -> bytes:
    body = made.content.body if made.content is not None else b""
    fields = list(made.headers)
    if made.content is not None and all(name.lower() != "content-type" for name, _ in fields):
        fields.insert(0, ("Content-Type", made.content.media_type))
    if status_for(made.status).has_body:
        fields.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {made.status} {status_for(made.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _outcome(view: View) -> Told:
    """What the request would have had as its response, with its body and the version."""
    if view.raw and view.outcome is not None:
        return _versioned(as_it_is(view), view)
    if view.state.phase is not Phase.SUCCEEDED or view.outcome is None:
        return _versioned(failed(view, _error), view)
    made = as_it_is(view)
    known = status_for(made.status)
    if made.content is None and known.has_body:
        made = made._replace(content=Content(known.default_body, known.default_media_type or JSON))
    return _versioned(made, view)


def _error(status: int, code: str, detail: str) -> Told:
    return Told(status, (), json_content({"error": {"code": code, "message": detail}}))


def _problem(status: int, code: str, detail: str) -> Told:
    return _versioned(_error(status, code, detail))


def _canceled(view: View) -> Told:
    return _versioned(Told(204), view)


ODATA = Dialect(
    words=WORDS,
    accepted=_accepted,
    monitor=_monitor,
    canceled=_canceled,
    finished=_outcome,
    status=status_of,
    problem=_problem,
    absolute=True,
    prefer_async=True,
)
