"""What OpenTelemetry is told of mocks: the span of the request, a counter, and a histogram of their time.

Law: the API is looked for when an app is wrapped, and where it is absent nothing of this stands in the path
of a request. Attributes are what the rules say and nothing that a request says, so that there are no more of
them than rules and statuses. Whatever fails is logged, once, and the request goes on.

A mock is told of where the log tells of it: when it is given, and not when it is decided. What the app gives
is no mock; where a patch changes it, its span says so, as its X-Mock-Rule does, and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING

from .logs import logger
from .messages import Response

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.trace import Span

RULE = "mockware.rule"
# https://opentelemetry.io/docs/specs/semconv/registry/attributes/http/
STATUS = "http.response.status_code"
DELAY = "mockware.delay_s"
DRIP = "mockware.drip_s"
FAULT = "mockware.fault"

MOCK_EVENT = "mockware.mock"
PATCH_EVENT = "mockware.patch"
COUNTER = "mockware.mocks"
HISTOGRAM = "mockware.mock.duration"

# The SDK's own bounds are for milliseconds. These are the ones of `http.server.request.duration`
# (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/), so that both can stand in one picture; and
# the longest that anybody waits here.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0)


@cache
def telemetry() -> Telemetry | None:
    """What this process tells OpenTelemetry by; None where its API is not installed.

    It may come before the SDK is set up: until then, what the API gives does nothing.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    except Exception:  # noqa: BLE001 - whatever an extension of it does, it is no reason not to start
        _fail("OpenTelemetry cannot be imported, and is told nothing")
        return None
    try:
        meter = metrics.get_meter("mockware", version("mockware"))
        return Telemetry(
            trace.get_current_span,
            meter.create_counter(COUNTER, unit="{request}", description="Requests that a mock was given to."),
            meter.create_histogram(
                HISTOGRAM,
                unit="s",
                description="Time from a request's arrival until its mock was given, delays included.",
                explicit_bucket_boundaries_advisory=BOUNDS_S,
            ),
        )
    except Exception:  # noqa: BLE001 - as above; versions before 1.30 know no bounds
        _fail("OpenTelemetry's API is none that can be used (it needs 1.30), and is told nothing")
        return None


class Telemetry:
    """Tells OpenTelemetry of mocks. `current_span` gives the span of the request that is being served."""

    def __init__(self, current_span: Callable[[], Span], counter: Counter, histogram: Histogram) -> None:
        self._current_span = current_span
        self._counter = counter
        self._histogram = histogram
        self._has_failed = False

    def begin(self) -> Measurement:
        """Begins to measure what a request is given."""
        return Measurement(self)

    def tell(self, response: Response) -> None:
        """Has the span of the request say which mock it gets; before that is sent, since it may end then."""
        try:
            span = self._current_span()
            if not span.is_recording():
                return
            said: dict[str, str | int | float] = {
                RULE: response.rule,
                STATUS: response.status,
                DELAY: response.delay_s,
            }
            if response.drip_s:
                said[DRIP] = response.drip_s
            if response.fault is not None:
                said[FAULT] = response.fault
            self._mark(span, MOCK_EVENT, said)
        except Exception:  # noqa: BLE001 - an exporter's failure is no reason to fail a request
            self._fail()

    def tell_patch(self, rule: str, delay_s: float) -> None:
        """Has the span say by which rule the app's response is changed."""
        try:
            span = self._current_span()
            if span.is_recording():
                self._mark(span, PATCH_EVENT, {RULE: rule, DELAY: delay_s})
        except Exception:  # noqa: BLE001 - as above
            self._fail()

    def measure(self, response: Response, duration_s: float) -> None:
        """Counts a mock that was given within so many seconds."""
        try:
            by: dict[str, str | int] = {RULE: response.rule, STATUS: response.status}
            self._counter.add(1, by)
            self._histogram.record(duration_s, by)
        except Exception:  # noqa: BLE001 - as above
            self._fail()

    @staticmethod
    def _mark(span: Span, event: str, said: Mapping[str, str | int | float]) -> None:
        span.set_attribute(RULE, said[RULE])
        span.add_event(event, said)

    def _fail(self) -> None:
        if not self._has_failed:
            self._has_failed = True
            _fail("OpenTelemetry failed, which is not said again; the requests are answered all the same")


class Measurement:
    """One request, from its arrival until its mock is over. A response of no rule is none."""

    __slots__ = ("_began", "_given", "_telemetry")

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._given: Response | None = None
        self._began = perf_counter()

    def given(self, response: Response) -> None:
        """To be called when a mock is about to be sent."""
        if response.rule:
            self._given = response
            self._telemetry.tell(response)

    def over(self) -> None:
        """To be called when it was sent, or as much of it as there will be; once more does no harm."""
        response, self._given = self._given, None
        if response is not None:
            self._telemetry.measure(response, perf_counter() - self._began)


def _fail(reason: str) -> None:
    logger.warning(reason, exc_info=True)
