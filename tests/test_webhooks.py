"""What is sent is what others' libraries for receivers accept, and its signature covers what it says."""

import json
import time
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from mockware.webhooks import Message, parse_secret, request_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

STANDARD = Message(
    id="msg_1",
    url="https://hooks.test/in",
    type="task.succeeded",
    data={"task_id": "abc-123", "status": "succeeded"},
    at=1_700_000_000.25,
    source="/reports",
    subject="tasks/abc-123",
    form="standard",
    secret=SECRET,
)
CLOUD = STANDARD._replace(form="cloudevents")


def event_of(message: Message) -> tuple[dict[str, Any], Any]:
    fields, body = request_of(message, time.time())
    event = from_binary(HTTPMessage(dict(fields), body), JSONFormat())
    return dict(event.get_attributes()), event.get_data()


def test_a_receiver_with_the_library_of_standard_webhooks_accepts_it() -> None:
    fields, body = request_of(STANDARD, time.time())
    assert Webhook(SECRET).verify(body, dict(fields)) == {
        "type": "task.succeeded",
        "timestamp": "2023-11-14T22:13:20.250Z",
        "data": {"task_id": "abc-123", "status": "succeeded"},
    }
    assert [name for name, _ in fields] == [
        *("content-type", "webhook-id", "webhook-timestamp", "webhook-signature"),
    ]


def test_a_receiver_refuses_what_was_changed_on_the_way() -> None:
    fields, body = request_of(STANDARD, time.time())
    for name, value in (("webhook-id", "msg_2"), ("webhook-timestamp", str(int(time.time()) + 9))):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body, {**dict(fields), name: value})
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"succeeded", b"cancelled"), dict(fields))


def test_a_later_attempt_has_the_same_id_and_body_and_a_time_and_signature_of_its_own() -> None:
    (first, body), (second, same) = request_of(STANDARD, 1_700_000_001.9), request_of(STANDARD, 1_700_000_003)
    assert body == same
    assert {name for name, value in first if (name, value) not in second} == {
        "webhook-timestamp",
        "webhook-signature",
    }
    assert dict(first)["webhook-timestamp"] == "1700000001"


def test_without_a_secret_nothing_is_signed() -> None:
    standard, _ = request_of(STANDARD._replace(secret=""), 0)
    assert [name for name, _ in standard] == ["content-type", "webhook-id", "webhook-timestamp"]
    cloud, _ = request_of(CLOUD._replace(secret=""), 0)
    assert not [name for name, _ in cloud if name.startswith("webhook-")]


def test_a_receiver_with_the_library_of_cloudevents_reads_it() -> None:
    attributes, data = event_of(CLOUD)
    assert data == CLOUD.data
    assert attributes.pop("time").isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert attributes == {
        "specversion": "1.0",
        "id": "msg_1",
        "source": "/reports",
        "type": "task.succeeded",
        "subject": "tasks/abc-123",
        "datacontenttype": "application/json",
    }


def test_a_cloud_event_is_signed_as_standard_webhooks_are() -> None:
    fields, body = request_of(CLOUD, time.time())
    assert Webhook(SECRET).verify(body, dict(fields)) == CLOUD.data


def test_an_event_about_nothing_in_particular_has_no_subject() -> None:
    assert "subject" not in event_of(CLOUD._replace(subject=""))[0]


def test_what_a_field_cannot_carry_is_percent_encoded_as_the_binding_shows() -> None:
    # The specification's own example.
    fields, _ = request_of(CLOUD._replace(subject='Euro \u20ac \U0001f600 "100%"'), 0)
    assert dict(fields)["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22100%25%22"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(min_size=1))
def test_any_text_survives_the_fields_of_a_cloud_event(subject: str, source: str) -> None:
    fields, _ = request_of(CLOUD._replace(subject=subject, source=source), 0)
    assert all(value.isascii() and value.isprintable() for _, value in fields)
    assert event_of(CLOUD._replace(subject=subject))[0]["subject"] == subject


@pytest.mark.parametrize("message_id", ["", "a b", "a\r\nb", "\u00e9", "a\x00"])
def test_an_id_that_is_no_value_of_a_field_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        request_of(STANDARD._replace(id=message_id), 0)


def test_a_secret_is_base64_after_its_prefix_and_its_own_bytes_without() -> None:
    assert parse_secret("whsec_AAEC") == b"\0\1\2"
    assert parse_secret("whsec_AAE") == parse_secret("whsec_AAE=") == b"\0\1"
    assert parse_secret("p\u00e4ssword") == "p\u00e4ssword".encode()
    fields, body = request_of(STANDARD._replace(secret="any text"), time.time())
    assert Webhook(b"any text").verify(body, dict(fields))["data"] == STANDARD.data


@pytest.mark.parametrize(
    "secret", ["whsec_not base64", "whsec_A", "whsec_\u00e9", "whsec_A-_=", "whsec_", ""]
)
def test_a_bad_secret_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        parse_secret(secret)
    assert not secret.removeprefix("whsec_") or secret not in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_data_is_signed_as_it_is_sent(data: Any) -> None:
    fields, body = request_of(STANDARD._replace(data=data), time.time())
    assert Webhook(SECRET).verify(body, dict(fields))["data"] == data == json.loads(body)["data"]
