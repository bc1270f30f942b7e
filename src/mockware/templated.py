"""A reply that is made of the request: its templates, and the response that they come to.

Law: whatever a template makes is checked as a rule's own words are; what cannot be sent becomes a 500 that
names the rule and says why, and nothing else of what happened inside. In JSON a value is encoded, never
pasted, wherever the JSON stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .exceptions import did_you_mean
from .logs import logger
from .messages import MISSING, Fault, Request, Response
from .replies import JSON, Content, build_problem, build_reply, check_header
from .template_values import MAX_OUTPUT_BYTES, Budget, TemplateError, Variables, variables_for
from .templates import Template, compile_json, compile_text

# Where markup is read, what a request says must not become some.
_MARKUP = ("html", "xml")


class TemplatedReply:
    """The response that a rule makes of each request: its fields and its body may be templates.

    `body` is a JSON value whose strings may be templates, `MISSING` for none, or the content of a text or a
    file; what is JSON by its media type is read as such. `plain` is a content that is no
    template. Raises ValueError for what cannot be compiled.
    """

    def __init__(
        self,
        status: int,
        headers: Sequence[tuple[str, str]],
        body: Any = MISSING,
        *,
        rule: str,
        drip_s: float = 0.0,
        fault: Fault | None = None,
        of_task: bool = False,
        plain: Content | None = None,
    ) -> None:
        self.status = status
        self._rule = rule
        self._plain = plain
        self._drip_s = drip_s
        self._fault = fault
        self._headers = [(name, compile_text(value, of_task=of_task)) for name, value in headers]
        self._media_type = body.media_type if isinstance(body, Content) else JSON
        self._body: Template | None = None
        self._is_json = False
        if body is not MISSING:
            self._body, self._is_json = compile_body(body, headers, of_task=of_task)
        self._templates: list[Template] = [template for _, template in self._headers]
        if self._body is not None:
            self._templates.append(self._body)

    @property
    def reads_body(self) -> bool:
        """Whether the request must have its body before this is rendered."""
        return any(template.reads_body for template in self._templates)

    @property
    def reads_accepted(self) -> frozenset[str]:
        """Which members of the accepted request it speaks of, where it is the outcome of a task."""
        return frozenset().union(*(template.reads_accepted for template in self._templates))

    def check_parameters(self, names: Collection[str], accepted: Collection[str] = ()) -> None:
        """Raises ValueError where a template speaks of a parameter that the path does not have, or that of
        the `accepted` request."""
        for template in self._templates:
            check_parameters("request", template.parameters, names)
            check_parameters("accepted", template.accepted_parameters, accepted)

    def rendered(
        self,
        request: Request,
        parameters: Mapping[str, Any],
        *,
        now: float,
        chance: Callable[[], float],
    ) -> Response:
        """The response to `request`, whose path has these `parameters`, at `now` (s since the epoch)."""
        variables = variables_for(request, parameters, now=now, chance=chance)
        try:
            headers, content = self.made(variables)
        except TemplateError as error:
            return build_problem(500, str(error), rule=self._rule)
        return build_reply(
            self.status,
            rule=self._rule,
            headers=headers,
            content=content,
            drip_s=self._drip_s,
            fault=self._fault,
        )

    def made(self, variables: Variables) -> tuple[list[tuple[str, str]], Content | None]:
        """The fields and the content. Raises TemplateError, having said so in the log."""
        budget = Budget()
        place = ""
        try:
            headers = []
            for name, template in self._headers:
                place = f"headers.{name}"
                value = template.render(variables, budget)
                check_header(name, value)
                headers.append((name, value))
            content = self._plain
            if self._body is not None:
                place = "body"
                made = self._body.render(variables, budget)
                if self._is_json:
                    content = Content.from_json(made, self._media_type)
                else:
                    content = Content(made.encode(), self._media_type)
                if len(content.body) > MAX_OUTPUT_BYTES:
                    raise ValueError(f"it makes more than {MAX_OUTPUT_BYTES} bytes")
        except (TemplateError, ValueError) as error:
            logger.warning("the template in `%s` of rule %a has failed: %.200s", place, self._rule, error)
            raise TemplateError(f"the template in `{place}` of rule {self._rule!a:.100}: {error}") from None
        return headers, content


def check_parameters(of: str, named: Collection[str], known: Collection[str]) -> None:
    """Raises ValueError where one is `named` that the path of `request` or `accepted` does not have."""
    for name in sorted(set(named).difference(known)):
        raise ValueError(
            f"`{of}.path_params.{name}`: the path has no such parameter{did_you_mean(name, known)}"
        )


def compile_body(
    body: Any, headers: Sequence[tuple[str, str]] = (), *, of_task: bool = False
) -> tuple[Template, bool]:
    """The template of a JSON value or of a content, and whether it makes JSON. Raises ValueError."""
    if not isinstance(body, Content):
        return compile_json(body, of_task=of_task), True
    fields = {name.lower(): value for name, value in headers}
    media_type = fields.get("content-type", body.media_type).partition(";")[0].strip().lower()
    try:
        text = body.body.decode()
    except UnicodeDecodeError:
        raise ValueError("a template is text in UTF-8") from None
    if media_type == JSON or media_type.endswith("+json"):
        try:
            return compile_json(json.loads(text), of_task=of_task), True
        except (json.JSONDecodeError, RecursionError) as error:
            hint = (
                "so that values can be encoded and not pasted, write it as JSON whose strings are templates"
            )
            raise ValueError(f"not JSON ({error}); {hint}") from None
    return compile_text(text, autoescape=media_type.endswith(_MARKUP), of_task=of_task), False
