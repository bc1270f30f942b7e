"""What is encoded is read only if it is wholly so, and JSON is changed as RFC 7396 says and nowhere else."""

import bisect
import contextlib
import gzip
import json
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockware import encodings
from mockware.encodings import Change, NotReadable, coding_of, decoded, merged

quickly = settings(max_examples=150, deadline=None)  # a loaded machine is no failure

MIB = 1024 * 1024


def raw_deflate(content: bytes) -> bytes:
    return zlib.compress(content, wbits=-15)


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
}
each_coding = pytest.mark.parametrize(("coding", "encode"), ENCODERS.values(), ids=ENCODERS)
each_real_coding = pytest.mark.parametrize(
    ("coding", "encode"), [ENCODERS[name] for name in ENCODERS if name != "none"]
)


# ---- the codings


@each_coding
@quickly
@given(content=st.binary(max_size=300), other=st.binary(max_size=300))
def test_what_was_encoded_is_read_and_encoded_again_in_the_same_way(
    coding: str, encode: Callable[[bytes], bytes], content: bytes, other: bytes
) -> None:
    got, encode_again = decoded(encode(content), coding, MIB)
    assert got == content
    assert decoded(encode_again(other), coding, MIB)[0] == other


def test_a_client_that_takes_only_one_kind_of_deflate_gets_it_again() -> None:
    content = b'{"a": 1}' * 20
    assert zlib.decompress(decoded(raw_deflate(content), "deflate", MIB)[1](content), wbits=-15) == content
    assert zlib.decompress(decoded(zlib.compress(content), "deflate", MIB)[1](content)) == content


@each_real_coding
def test_every_cut_and_every_addition_is_seen(coding: str, encode: Callable[[bytes], bytes]) -> None:
    body = encode(json.dumps(list(range(200))).encode())
    for end in range(len(body)):
        with pytest.raises(NotReadable, match=r"cut off|not in its encoding"):
            decoded(body[:end], coding, MIB)
    for more in (b"\0", b"x" * 100, body):
        with pytest.raises(NotReadable, match="not in its encoding"):
            decoded(body + more, coding, MIB)


@each_real_coding
@quickly
@given(body=st.binary(max_size=100))
def test_no_bytes_are_an_error_of_another_kind(
    coding: str, encode: Callable[[bytes], bytes], body: bytes
) -> None:
    try:
        decoded(body, coding, MIB)
    except NotReadable:
        return


@each_coding
def test_exactly_the_limit_is_read_and_a_byte_more_is_not(
    coding: str, encode: Callable[[bytes], bytes]
) -> None:
    content = b"ab" * (MIB // 2)
    assert decoded(encode(content), coding, MIB)[0] == content
    with pytest.raises(NotReadable, match=r"^longer than 1 MiB$"):
        decoded(encode(content + b"c"), coding, MIB)


@each_real_coding
def test_a_bomb_is_not_unpacked(coding: str, encode: Callable[[bytes], bytes]) -> None:
    body = encode(b" " * 100 * MIB) if coding != "br" else brotli.compress(b" " * 100 * MIB, quality=5)
    began = time.thread_time()
    with pytest.raises(NotReadable, match="longer than 1 MiB"):
        decoded(body, coding, MIB)
    assert time.thread_time() - began < 0.05, "that is what unpacking all of it would take"


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ([], ""),
        ([""], ""),
        (["identity"], ""),
        (["GZip"], "gzip"),
        (["identity, gzip"], "gzip"),
        (["identity", " x-gzip "], "x-gzip"),
        (["deflate"], "deflate"),
        (["br"], "br"),
    ],
)
def test_one_coding_is_understood(fields: list[str], coding: str) -> None:
    assert coding_of(fields) == coding


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (["zstd"], "encoding zstd"),
        (["aws-chunked"], "encoding aws-chunked"),
        (["gzip, br"], "several encodings"),
        (["gzip", "gzip"], "several encodings"),
        (["b\xe4h"], "unknown encoding"),
        (["x" * 200], "unknown encoding"),
        (["a\r\nb"], "unknown encoding"),
    ],
)
def test_other_codings_are_named_as_far_as_a_field_can(fields: list[str], reason: str) -> None:
    with pytest.raises(NotReadable) as raised:
        coding_of(fields)
    assert str(raised.value) == reason


class OldDecompressor:
    def process(self, string: bytes) -> bytes:
        return b""


class OldBrotli:
    Decompressor = OldDecompressor


@pytest.mark.parametrize("installed", [None, OldBrotli])
def test_br_is_unknown_where_brotli_is_missing_or_cannot_be_bounded(
    monkeypatch: pytest.MonkeyPatch, installed: Any
) -> None:
    monkeypatch.setitem(sys.modules, "brotli", installed)
    encodings._brotli.cache_clear()
    try:
        with pytest.raises(NotReadable, match="encoding br"):
            coding_of(["br"])
    finally:
        encodings._brotli.cache_clear()


# ---- merging


def merge(text: str | bytes, patch: Any) -> str:
    content = text if isinstance(text, bytes) else text.encode()
    return merged(content, Change.of(patch)).decode()


def reference(target: Any, patch: Any) -> Any:
    """RFC 7396 section 2, line by line."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = reference(result.get(name), value)
    return result


# RFC 7396 appendix A: original, patch, result.
APPENDIX_A = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("original", "patch", "result"), APPENDIX_A)
def test_the_examples_of_rfc_7396(original: str, patch: str, result: str) -> None:
    assert json.loads(merge(original, json.loads(patch))) == json.loads(result)


NAMES = st.sampled_from("abc") | st.text(max_size=2)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSONS | st.dictionaries(NAMES, JSONS, max_size=3), max_size=4)


@quickly
@given(
    target=JSONS | OBJECTS,
    patch=JSONS | OBJECTS,
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 2),
    separators=st.sampled_from([(",", ":"), (" ,\r\n", "\t: "), None]),
    margins=st.tuples(st.text(" \t\r\n", max_size=2), st.text(" \t\r\n", max_size=2)),
)
def test_any_patch_changes_any_document_as_the_rfc_says(
    target: Any, patch: Any, ascii_only: bool, indent: int | None, separators: Any, margins: Any
) -> None:
    text = json.dumps(target, ensure_ascii=ascii_only, indent=indent, separators=separators)
    assert json.loads(merge(margins[0] + text + margins[1], patch)) == reference(target, patch)


@quickly
@given(target=JSONS | OBJECTS, patch=OBJECTS)
def test_a_second_time_changes_nothing(target: Any, patch: Any) -> None:
    once = merge(json.dumps(target), patch)
    assert merge(once, patch) == once


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2, "x": {"y": 0}}'),
        ('{"a":1.10,"b":1E400}', '{"a":1.10,"b":1E400, "x": {"y": 0}}'),
        (
            '{"a": -0.0, "b": 12345678901234567890.0}',
            '{"a": -0.0, "b": 12345678901234567890.0, "x": {"y": 0}}',
        ),
        ('{"a": ' + "9" * 5000 + "}", '{"a": ' + "9" * 5000 + ', "x": {"y": 0}}'),
        ('{"a": "\\ud800\\u0041\\/"}', '{"a": "\\ud800\\u0041\\/", "x": {"y": 0}}'),
        ('{"ä": "€"}', '{"ä": "€", "x": {"y": 0}}'),
        ('{\n  "a": 1,\n  "b": 2\n}\n', '{\n  "a": 1,\n  "b": 2,\n  "x": {"y": 0}\n}\n'),
        ('{"x": 5, "b": 2}', '{"x": {"y": 0}, "b": 2}'),
        ('{"x": {"z": 1.0, "y": 7}, "b": 2}', '{"x": {"z": 1.0, "y": 0}, "b": 2}'),
        ('{"gone": 1, "b": 2}', '{ "b": 2, "x": {"y": 0}}'),
        ('{"b": 2, "gone": 1}', '{"b": 2, "x": {"y": 0}}'),
        ('{"\\u0067one": [{}], "b": 2}', '{ "b": 2, "x": {"y": 0}}'),
        ("{}", '{"x": {"y": 0}}'),
        ("[1.0]", '{"x": {"y": 0}}'),
        # Which one counts, parsers do not agree about.
        ('{"x": 1, "gone": 2, "x": 3, "gone": 4}', '{"x": {"y": 0}, "x": {"y": 0}}'),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2, "x": {"y": 0}}'),
    ],
)
def test_what_the_patch_leaves_alone_keeps_its_spelling(text: str, changed: str) -> None:
    assert merge(text, {"x": {"y": 0}, "gone": None}) == changed


def test_a_byte_order_mark_is_overlooked_and_not_sent() -> None:
    assert merge(b'\xef\xbb\xbf{"a": 1}', {"a": 2}) == '{"a": 2}'


def test_lone_surrogates_in_a_patch_survive() -> None:
    assert json.loads(merge('{"\\ud800": 1}', {"\ud800": "\udfff"})) == {"\ud800": "\udfff"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not JSON",
        b"{",
        b"}",
        b"{}}",
        b"{} {}",
        b"[1,]",
        b'{"a": 1,}',
        b'{,"a": 1}',
        b'{"a" 1}',
        b'{"a": }',
        b'{"a": 1 "b": 2}',
        b'{"a": 1; "b": 2}',
        b"{1: 2}",
        b"{true: 2}",
        b"{'a': 2}",
        b"{[]: 2}",
        b'{"a": NaN}',
        b'{"x": NaN}',
        b'{"a": [-Infinity]}',
        b'{"a": 01}',
        b'{"a": "\n"}',
        b'{"a": "\\x"}',
        b'{"a": 1}\0',
        b"\xff",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        b'{"a":\xc2\xa01}',
        b'{"x": {"y"}}',
        b'{"x": {"y": 1}',
    ],
)
@pytest.mark.parametrize("patch", [{"x": {"y": 0}}, {}, 1])
def test_what_is_no_json_is_not_changed(body: bytes, patch: Any) -> None:
    with pytest.raises(NotReadable, match=r"^not JSON$"):
        merge(body, patch)


@quickly
@given(
    text=st.text('{}[]":,\\ \n1.eEntrufalsNI-au', max_size=25),
    patch=st.sampled_from([{"a": {"u": 1}}, {}, 1]),
)
def test_what_json_loads_refuses_is_refused_and_what_it_takes_is_changed(text: str, patch: Any) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        target = json.loads(text, parse_constant=refuse)
    except ValueError:
        with pytest.raises(NotReadable):
            merge(text, patch)
    else:
        assert json.loads(merge(text, patch)) == reference(target, patch)


@pytest.mark.parametrize("shape", [("[", "]"), ('{"a":', "}")])
def test_no_depth_is_an_error_of_another_kind(shape: tuple[str, str]) -> None:
    def nested(depth: int) -> str:
        return shape[0] * depth + "0" + shape[1] * depth

    def is_too_deep(depth: int) -> bool:
        try:
            json.loads(nested(depth))
        except RecursionError:
            return True
        return False

    patch: Any = 1
    for _ in range(300):
        patch = {"a": patch}
    too_deep = bisect.bisect_left(range(200_000), True, lo=1, key=is_too_deep)
    for depth in (1, 10, too_deep // 2, *range(too_deep - 20, too_deep + 20), 190_000):
        for each in (patch, {"b": 1}, 1):
            if depth <= too_deep // 2:
                merge(nested(depth), each)
                continue
            with contextlib.suppress(NotReadable):
                merge(nested(depth), each)


@pytest.mark.parametrize("patch", [float("nan"), {"a": float("inf")}, {"a": object()}, {"a": b""}, {(): 1}])
def test_a_patch_that_is_no_json_is_refused(patch: Any) -> None:
    with pytest.raises(ValueError, match="no JSON can be made of this"):
        Change.of(patch)


def test_a_patch_that_is_nested_without_end_is_refused() -> None:
    patch: dict[str, Any] = {}
    patch["a"] = patch
    with pytest.raises(ValueError, match="no JSON can be made of this"):
        Change.of(patch)
    deep: Any = 1
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="no JSON can be made of this"):
        Change.of(deep)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "' + "x" * MIB + '"}',
        '{"a": [' + "1," * (MIB // 2) + "1]}",
        "{" + " " * MIB + "}",
        '{"a": ' + " " * MIB + "1}",
    ],
    ids=["text", "a list", "blanks in nothing", "blanks"],
)
def test_a_mebibyte_is_changed_in_little_more_time_than_it_takes_to_read(text: str) -> None:
    change = Change.of({"x": {"y": {"z": 1}}, "a": {"b": 2}})
    took = []
    for _ in range(3):  # the best of three: this machine has other things to do
        began = time.thread_time()
        merged(text.encode(), change)
        took.append(time.thread_time() - began)
    assert min(took) < 0.2
