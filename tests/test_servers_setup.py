"""The ways to put the middleware into a server: recognised by each, mounted, and wrong."""

import contextlib
import json
import typing
from pathlib import Path

from tests import rawhttp
from tests.server_table import TABLE, Deviation
from tests.servers import Fleet, on_every_server
from tests.test_servers import judge_canonical


@on_every_server
def test_the_class_is_recognised_as_what_it_is(fleet: Fleet) -> None:
    """`wrap` is what all other tests run; both go through the server's own detection."""
    with fleet.by_class.talk() as talk:
        judge_canonical(talk.ask("POST", "/reports"))
        assert talk.ask("GET", "/hello").status == 200
    if fleet.server.kind == "asgi":
        began = "lifespan.startup" in fleet.by_class.log.text
        assert began != fleet.by_class.deviates("no lifespan")


@on_every_server
def test_a_mounted_app_is_matched_by_the_path_that_it_routes_on(fleet: Fleet) -> None:
    mounted = fleet.mounted

    def ask(method: str, path: str) -> rawhttp.Response:
        with mounted.connect() as connection:
            return connection.ask(method, mounted.server.mount_prefix + path)

    assert json.loads(ask("GET", "/where").body) == ["/mount", "/where"]
    judge_canonical(ask("POST", "/reports"))
    assert ask("POST", "/mount/reports").status == 404
    assert ask("POST", "/reports/").status == 404


@on_every_server
def test_the_wrong_class_says_which_is_the_right_one(fleet: Fleet) -> None:
    this = fleet.wrong
    if this.deviates("dies of WSGI apps"):
        assert this.log.wait("ClosedResourceError")
        return
    with this.connect() as connection:
        connection.send(rawhttp.request("POST", "/reports", [("Connection", "close")], b"{}"))
        if this.deviates("serves WSGI too"):
            judge_canonical(connection.response("POST"))
            return
        with contextlib.suppress(rawhttp.Malformed):  # some close without an answer
            assert connection.response("POST").status >= 500
    right = "WSGIMockMiddleware" if this.server.kind == "wsgi" else "ASGIMockMiddleware"
    assert this.log.wait(rf"Error: .*use {right}")


def test_every_deviation_is_held_by_a_test() -> None:
    sources = [*Path(__file__).parent.glob("test_servers*.py"), Path(__file__).parent / "servers.py"]
    tested = "".join(source.read_text() for source in sources)
    declared = {deviation for server in TABLE for deviation in server.deviations}
    assert declared == set(typing.get_args(Deviation))
    assert [each for each in sorted(declared) if f'"{each}"' not in tested] == []
