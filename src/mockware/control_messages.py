"""What the control API takes and gives, as HTTP: tables of JSON and values of a query, and its answers.

Law: nothing of rules, changes or the journal is known here. What a request lacks is said by an exception,
which the API answers with problem details.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from .control_guard import RefusedError
from .exceptions import ConfigError, Problem, did_you_mean, quoted
from .messages import Request, Response
from .replies import PROBLEM_JSON
from .statuses import status_for

# The longest document of a rule, and the words around it; an explained request's body may be as long.
MAX_BODY_BYTES = 256 * 1024

# RFC 9111 section 5.2.2.5, and https://fetch.spec.whatwg.org/#x-content-type-options-header.
NOT_FOR_CACHES = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class BadRequestError(Exception):
    """What is wrong with a request, and the status that says so."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def table_of(request: Request, allowed: Sequence[str], inner: Collection[str] = ()) -> dict[str, Any]:
    """The JSON table that was sent. What is `inner` belongs to the table at its first key."""
    media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadRequestError(
            f"send a table of JSON with {', '.join(allowed)}, and `Content-Type: application/json`", 415
        )
    if request.body is None or len(request.body) > MAX_BODY_BYTES:
        raise BadRequestError(f"at most {MAX_BODY_BYTES} bytes", 413)
    try:
        given = json.loads(request.body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # none of which repeats what was sent
        raise BadRequestError(f"not JSON: {error}") from None
    if not isinstance(given, dict):
        raise ConfigError([Problem("request", f"expected a table with {', '.join(allowed)}")])
    if unknown := [key for key in given if key not in allowed]:
        raise ConfigError(
            Problem(
                "request",
                f"no such key here; put it into `{allowed[0]}`"
                if key in inner
                else f"no such key{did_you_mean(key, allowed)}",
                key=key[:64],
            )
            for key in unknown[:20]
        )
    return given


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON (RFC 8259 section 6)")


def value_of(request: Request, name: str) -> str | None:
    """The last value of a query parameter."""
    values = request.query.get(name)
    return values[-1] if values else None


def number_of(request: Request, name: str, least: int, most: int | None, otherwise: int) -> int:
    """A query parameter that is a whole number within bounds."""
    text = value_of(request, name)
    if text is None:
        return otherwise
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
    if number < least or (most is not None and number > most):
        upwards = "on" if most is None else f"to {most}"
        raise BadRequestError(f"`{name}` is a whole number from {least} {upwards}, not {quoted(text)}")
    return number


def text_answer(
    text: str,
    media_type: str,
    *,
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
    filename: str = "",
) -> Response:
    body = text.encode("utf-8", "replace")
    named = [("Content-Disposition", f'attachment; filename="{filename}"')] if filename else []
    fields = [
        ("Content-Type", media_type),
        ("Content-Length", str(len(body))),
        *NOT_FOR_CACHES,
        *named,
        *headers,
    ]
    return Response(status, status_for(status).phrase, fields, body, rule="")


def json_answer(found: Any, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
    return text_answer(json.dumps(found), "application/json", status=status, headers=headers)


def problem_answer(
    status: int,
    detail: str,
    *,
    problems: Sequence[Problem] = (),
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """Problem details (RFC 9457)."""
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": status_for(status).phrase,
        "status": status,
        "detail": detail,
    }
    if problems:
        found["problems"] = [finding(problem) for problem in problems]
    return text_answer(json.dumps(found), PROBLEM_JSON, status=status, headers=headers)


def refusal_answer(refused: RefusedError) -> Response:
    headers = []
    if refused.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))  # RFC 9110 section 15.5.2: "MUST"
    if refused.retry_after_s:
        headers.append(("Retry-After", str(int(refused.retry_after_s) + 1)))
    return problem_answer(refused.status, refused.detail, headers=headers)


def finding(problem: Problem) -> dict[str, str]:
    """A problem as the API tells it."""
    return {
        "source": problem.source,
        "rule": problem.rule,
        "key": problem.key,
        "value": problem.value,
        "message": problem.message,
    }


def moment(seconds: float) -> str:
    """`2027-01-31T18:00:00.000Z`."""
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a test's clock, or a store's nonsense
        at = datetime.fromtimestamp(0, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
