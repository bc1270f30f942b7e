"""A response of the app that is changed arrives changed on every server, its status and fields included.

The rules are in `server_apps.rules`. What becomes of which response is in `test_patches.py`.
"""

import json

import pytest
from tests import rawhttp
from tests.rawhttp import Response
from tests.server_apps import DOCUMENT
from tests.servers import Fleet, on_every_server
from tests.test_servers import complaints

CHANGED = {"a": 1, "c": "three"}


def judge_start(response: Response, rule: str) -> None:
    assert response.status == 418
    assert response.one("x-mock-rule") == rule
    assert response.one("x-app") == "patched"
    assert response.one("cache-control") == "no-store"


@on_every_server
@pytest.mark.parametrize("target", ["/document", "/document-in-pieces"])
def test_a_document_arrives_changed_whole_and_with_its_own_length(fleet: Fleet, target: str) -> None:
    running = fleet.wrapped
    since = running.log.mark
    with running.talk() as talk:
        for _ in range(2):  # whoever reads the first one wrongly does not find the second
            response = talk.ask("GET", target)
            judge_start(response, "document" if target == "/document" else "pieces")
            assert json.loads(response.body) == CHANGED
            assert response.one("content-type") == "application/json"
            assert response.one("content-length") == str(len(response.body))
            assert response.all("etag") == response.all("x-mock-patch") == []
    assert complaints(running.log.text[since:]) == []


@on_every_server
def test_the_head_of_a_document_is_changed_and_has_no_length_of_another(fleet: Fleet) -> None:
    with fleet.wrapped.connect() as connection:
        connection.send(rawhttp.request("HEAD", "/document", [("Connection", "close")]))
        response = connection.response("HEAD")
    judge_start(response, "document")
    assert response.one("x-mock-patch") == "body unchanged (HEAD)"
    assert response.one("content-type") == "application/json"
    assert response.all("etag") == []
    assert str(len(DOCUMENT)) not in response.all("content-length")


@on_every_server
def test_a_stream_whose_start_is_changed_streams(fleet: Fleet) -> None:
    running = fleet.wrapped
    with running.connect() as connection:
        connection.send(rawhttp.request("GET", "/stream-changed"))
        if running.deviates("no framing without a length"):
            head = connection.head()
            assert b"418" in head.split(b"\r\n")[0]
            assert connection.take(len(b"one\ntwo\nthree\n")) == b"one\ntwo\nthree\n"
        else:
            response = connection.response("GET")
            judge_start(response, "stream")
            assert response.body == b"one\ntwo\nthree\n"
