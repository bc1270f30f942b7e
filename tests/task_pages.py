"""What a task looks like on the wire: `python -m tests.task_pages` writes examples/tasks/README.md.

Every message on that page was said by the example it stands under, through both adapters alike. Only the
clock is ours, and the die; an id is shown as TASK-ID, since chance is in it.
"""

import asyncio
import io
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import mockware
from mockware.courier import Courier
from mockware.deliveries import Delivery
from mockware.webhooks import request_of

FOLDER = Path(__file__).parent.parent / "examples" / "tasks"
PAGE = FOLDER / "README.md"
BEGIN = 1_767_225_600.0  # 2026-01-01T00:00:00Z
SECRET = "whsec_bW9ja3dhcmUgc2lnbnMgaXRzIGhvb2tz"
ID = re.compile(r"(?<![0-9a-z])[0-9a-v]{42}(?![0-9a-z])")
SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/=]{44}|msg_[0-9a-f]{32}")

HEAD = """# Tasks on the wire

202 Accepted says that a request "might or might not eventually be acted upon" (RFC 9110 section 15.3.3). What
clients do next depends on the convention that the service follows, and `task` mocks seven of them. Each
section shows one example of this folder, message by message; `python -m tests.task_pages` writes this page
from what mockware says, and the tests hold it to that. An id says itself when its task was accepted and what
was drawn for it, so that any worker answers any poll; here it is shown as `TASK-ID`.

To try one, install mockware with the extras `[server,templates]` and run it in front of the small service in
this folder:

```sh
MOCKWARE_FILE=examples/tasks/plain.toml mockware run examples.tasks.service:app --port 8000
curl -i http://127.0.0.1:8000/exports -H 'Content-Type: application/json' -d '{"rows": 3}'
```

The second line gives a `Location`; ask it again and again. `X-Mock-Rule` and `Cache-Control: no-store`, which
every mock has, are left out below. To see one task fail, give a second rule the same monitor and
`failure.probability = 1`, and ask for it by `X-Mock-Name`.
"""


@dataclass(frozen=True)
class Say:
    """A request, sent `after_s` seconds later; `{monitor}` in its path is where the last pointer led."""

    method: str
    path: str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    after_s: float = 0.0
    note: str = ""
    until_ended: bool = False


ASYNC = (("Prefer", "respond-async"),)
ROWS = '{"rows": 3}'

DIALOGUES: dict[str, tuple[str, str, tuple[Say, ...]]] = {
    "plain": (
        "plain",
        (
            "A `Location`, a monitor that says 200 while the task runs, and then 200 with the result in "
            "it. A result that is no JSON, or has another status (a 303 with a `location`, for "
            "instance), is given as it is."
        ),
        (
            Say("POST", "/exports", ROWS, note="The request is accepted:"),
            Say("GET", "{monitor}", after_s=3, note="Three seconds later it runs:"),
            Say("GET", "{monitor}", after_s=10, note="Then it has ended:"),
            Say("DELETE", "{monitor}", note="Too late to cancel it:"),
            Say("POST", "/exports", ROWS, (("Prefer", "wait=20"),), note="Whoever would wait need not ask:"),
        ),
    ),
    "azure": (
        "azure",
        (
            "The same absolute URL in three fields, for azure-core, azure-mgmt-core and whoever follows "
            "only `Location`; the monitor says 202 until the end. (Who follows only `Location` takes any "
            "200 for success, a failure too.) A PUT or PATCH also tells of itself at its own URL."
        ),
        (
            Say("POST", "/exports", "{}", note="The request is accepted:"),
            Say("GET", "{monitor}", after_s=2, note="It runs:"),
            Say("GET", "{monitor}", after_s=3, note="It has succeeded:"),
            Say("POST", "/exports", "{}", note="Another one:"),
            Say("POST", "{monitor}:cancel", after_s=1, note="It is canceled:"),
            Say("PUT", "/machines/box", "{}", note="A PUT has the resource in its body:"),
            Say("GET", "/machines/box", after_s=1, note="So has its URL meanwhile:"),
            Say("GET", "/machines/box", after_s=4, note="And when it is there:"),
        ),
    ),
    "google": (
        "google",
        (
            "An operation (AIP-151) with 200, `done` or not; `:cancel`, `:wait`, DELETE and the "
            "list are there, too. It is called by its id alone, since google-api-core puts "
            "`operations/` before it; `operation_name` calls it otherwise. A `result` without `@type` is a "
            "`google.protobuf.Struct`, which the client has to import to understand."
        ),
        (
            Say("POST", "/v1/books:import", "{}", note="The operation begins:"),
            Say("GET", "/v1/operations/{id}", after_s=2, note="It runs:"),
            Say(
                "POST",
                "/v1/operations/{id}:wait",
                '{"timeout": "10s"}',
                note="Whoever waits is told when it is done, which takes as long:",
            ),
            Say("GET", "/v1/operations?pageSize=1", after_s=5, note="The list of operations:"),
            Say("DELETE", "/v1/operations/{id}", note="It is forgotten:"),
            Say("GET", "/v1/operations/{id}", note="And not there any more:"),
        ),
    ),
    "jsonapi": (
        "jsonapi",
        "`Content-Location`, a job resource with 200 while it runs, and 303 to what was made.",
        (
            Say("POST", "/photos", "{}", note="The request is accepted:"),
            Say("GET", "{monitor}", after_s=2, note="It runs:"),
            Say("GET", "{monitor}", after_s=3, note="It is done:"),
        ),
    ),
    "odata": (
        "odata",
        (
            "Only for `Prefer: respond-async`. The monitor says 202, and then 200 with the response of "
            "the request and its status in `AsyncResult`; clients of OData 4.0 that send no "
            "Accept (curl does), and whoever accepts `application/http`, get it wrapped as that."
        ),
        (
            Say("GET", "/Products", headers=ASYNC, note="The request is accepted:"),
            Say("GET", "{monitor}", after_s=2, note="It runs:"),
            Say("GET", "{monitor}", after_s=3, note="It is done:"),
            Say(
                "GET",
                "{monitor}",
                headers=(("OData-MaxVersion", "4.0"),),
                note="The same for a client of OData 4.0:",
            ),
        ),
    ),
    "github": (
        "github",
        (
            "No pointer at all: the same URL says 202 until it is ready. `count_per` keeps testers apart. "
            "(PyGithub asks any GET that says 202 again every 2 s, without end: with it, give no other "
            "mock of 202 to a GET.)"
        ),
        (
            Say("GET", "/repos/octo/cat/stats/contributors", note="Nothing is computed yet:"),
            Say("GET", "/repos/octo/cat/stats/contributors", after_s=2, note="Nor is it now:"),
            Say("GET", "/repos/octo/cat/stats/contributors", after_s=3, note="Now it is:"),
        ),
    ),
    "ogc": (
        "ogc",
        "A job of OGC API - Processes: 201, its status, and `/results` when it was successful.",
        (
            Say("POST", "/processes/buffer/execution", '{"inputs": {}}', ASYNC, note="The job is created:"),
            Say("GET", "{monitor}", after_s=2, note="It runs:"),
            Say("GET", "{monitor}/results", note="Its results are not there yet:"),
            Say("GET", "{monitor}", after_s=3, note="It was successful:"),
            Say("GET", "{monitor}/results", note="These are its results:"),
        ),
    ),
    "run_app": (
        "The app itself, in the background",
        (
            '`run = "app"` makes any synchronous endpoint an asynchronous one: the app gets the request, '
            "its client the 202, and the monitor tells of the app's real response."
        ),
        (
            Say("POST", "/reports", "third quarter", note="The request is accepted:"),
            Say("GET", "{monitor}", until_ended=True, note="When the app has answered, its answer is here:"),
        ),
    ),
}


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


class Transcript:
    """One dialogue with an example, as text; its ids and signatures are replaced by words."""

    def __init__(self, name: str, *, over_asgi: bool) -> None:
        self.clock = Clock()
        self.deliveries: list[Delivery] = []
        environ = {"HOOK_SECRET": SECRET}
        wrap: Any = mockware.wrap
        self._app = wrap(
            asgi_app if over_asgi else wsgi_app,
            rules=FOLDER / f"{name}.toml",
            enabled=True,
            environ=environ,
            clock=self.clock,
        )
        self.snapshot = self._app._snapshot
        self.snapshot._chance = lambda: 0.75
        if self.snapshot.courier is not None:
            self.snapshot.courier.close()
            self.snapshot.courier = _Collecting(self.deliveries)
        self._over_asgi = over_asgi
        self._loop = asyncio.new_event_loop() if over_asgi else None
        self._monitor = self._id = ""

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()

    def lines(self, say: Say) -> Iterator[str]:
        self.clock.now += say.after_s
        path = say.path.replace("{monitor}", self._monitor).replace("{id}", self._id)
        status, headers, body = self.send(say, path)
        while say.until_ended and '"running"' in body:
            status, headers, body = self.send(say, path)
        fields = {name.lower(): value for name, value in headers}
        pointer = fields.get("location") or fields.get("content-location")
        if pointer is not None and status.startswith(("202", "201")):
            self._monitor = pointer.removeprefix("http://localhost:8000")
        if (found := ID.search(body)) is not None:
            self._id = found[0]
        yield f"{say.method} {path} HTTP/1.1"
        yield from (f"{name}: {value}" for name, value in say.headers)
        if say.body:
            yield from ("", say.body)
        yield "\n"
        yield f"HTTP/1.1 {status}"
        hidden = ("cache-control", "x-mock-rule", "date")
        yield from (f"{name}: {value}" for name, value in headers if name.lower() not in hidden)
        if body:
            yield from ("", body.replace("\r\n", "\n"))

    def send(self, say: Say, path: str) -> tuple[str, list[tuple[str, str]], str]:
        target, _, query = path.partition("?")
        # Nobody waits on the page: the clock is moved instead.
        if self._loop is None:
            with patch("mockware.wsgi_replies.time", SimpleNamespace(sleep=lambda seconds: None)):
                return self._over_wsgi(say, target, query)
        with patch("mockware.waiting.sleep", lambda seconds: asyncio.sleep(0)):
            return self._loop.run_until_complete(self._asgi(say, target, query))

    def _over_wsgi(self, say: Say, path: str, query: str) -> tuple[str, list[tuple[str, str]], str]:
        said: list[Any] = []
        body = say.body.encode()
        environ = {
            "REQUEST_METHOD": say.method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost:8000",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)) if body else "",
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in say.headers},
        }
        pieces = self._app(environ, lambda status, headers, exc_info=None: said.extend((status, headers)))
        return said[0], said[1], b"".join(pieces).decode()

    async def _asgi(self, say: Say, path: str, query: str) -> tuple[str, list[tuple[str, str]], str]:
        sent: list[Any] = []
        fields = [("Host", "localhost:8000"), *say.headers]
        if say.body:
            fields.append(("Content-Length", str(len(say.body))))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": say.method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in fields],
        }
        events = [{"type": "http.request", "body": say.body.encode(), "more_body": False}]

        async def receive() -> Any:
            return events.pop() if events else await asyncio.Event().wait()

        async def send(event: Any) -> None:
            sent.append(event)

        await self._app(scope, receive, send)
        start = sent[0]
        headers = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
        body = b"".join(event.get("body", b"") for event in sent[1:])
        phrase = HTTPStatus(start["status"]).phrase.replace("Unprocessable Entity", "Unprocessable Content")
        return f"{start['status']} {phrase}", headers, body.decode()


class _Collecting(Courier):
    """A courier that goes nowhere."""

    def __init__(self, taken: list[Delivery]) -> None:
        self._taken = taken

    def schedule(self, deliveries: Any) -> None:
        self._taken.extend(deliveries)

    def wake(self) -> None:
        pass


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("201 Created", [("Content-Type", "application/json"), ("Location", "/reports/7")])
    return [json.dumps({"created": len(body)}).encode()]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    headers = [(b"content-type", b"application/json"), (b"location", b"/reports/7")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"created": len(body)}).encode()})


def section(name: str, *, over_asgi: bool = False) -> str:
    """One example's part of the page."""
    title, what, says = DIALOGUES[name]
    transcript = Transcript(name, over_asgi=over_asgi)
    parts = [f"## {title}", textwrap.fill(what, 110), f"The rules: [`{name}.toml`]({name}.toml)."]
    for say in says:
        text = "\n".join(transcript.lines(say))
        parts.append(f"{say.note}\n\n```http\n{masked(text)}\n```")
    transcript.close()
    return "\n\n".join(parts)


def webhooks() -> str:
    """What is delivered when the task of the example has ended; nothing is sent anywhere here."""
    transcript = Transcript("webhook", over_asgi=False)
    url = "http://127.0.0.1:9000/hooks"
    list(transcript.lines(Say("POST", "/exports", json.dumps({"callback_url": url}))))
    parts = [
        "## Webhooks",
        (
            "What becomes of a task is told to the hosts that are listed, as Standard Webhooks or as\n"
            "CloudEvents in HTTP's binary mode; late, twice and out of order, if the rule says so."
        ),
        "The rules: [`webhook.toml`](webhook.toml).",
    ]
    for delivery in sorted(transcript.deliveries):
        message = transcript.snapshot.compose(delivery, delivery.due_at)
        fields, body = request_of(message, delivery.due_at)
        after_s = delivery.due_at - BEGIN
        text = "\n".join(
            ["POST /hooks HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", body.decode()]
        )
        parts.append(f"{after_s:g} s after the request:\n\n```http\n{masked(text)}\n```")
    transcript.close()
    return "\n\n".join(parts)


def masked(text: str) -> str:
    text = ID.sub("TASK-ID", text)
    return SIGNATURE.sub(lambda found: "v1,SIGNATURE" if found[0][0] == "v" else "msg_ID", text)


def page() -> str:
    return "\n\n".join([HEAD.rstrip(), *(section(name) for name in DIALOGUES), webhooks()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} is written\n")
