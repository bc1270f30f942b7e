"""Literals and comments of the languages: nothing that a text holds gets out of them.

That each language reads its literals back as the same text is shown where they run, in
`test_snippets_running.py`; Python is here to be asked.
"""

import ast
import io
import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware import literals

TEXTS = st.text() | st.text("\"'\\\n\r\t\0`$#{}@%/*<!ua0\u0085\u2028\U0001f600", max_size=12)
OF_TEXTS = [
    literals.python_string,
    literals.javascript_string,
    literals.java_string,
    literals.go_string,
    literals.ruby_string,
    literals.csharp_string,
]
OF_BYTES = [literals.python_bytes, literals.go_bytes, literals.ruby_bytes, literals.base64_text]


@given(TEXTS)
def test_a_text_of_python_is_read_back_as_it_was(text: str) -> None:
    assert ast.literal_eval(literals.python_string(text)) == text


@given(st.binary())
def test_bytes_of_python_are_read_back_as_they_were(body: bytes) -> None:
    assert ast.literal_eval(literals.python_bytes(body)) == body


@pytest.mark.parametrize("literal", OF_TEXTS)
@given(text=TEXTS)
def test_the_literal_of_a_text_is_printable_ascii(literal: object, text: str) -> None:
    assert callable(literal)
    written = literal(text)
    # A text block of Java begins on a second line.
    assert literals.is_plain(written.replace("\n            ", "", 1))


@pytest.mark.parametrize("literal", OF_BYTES)
@given(body=st.binary())
def test_the_literal_of_bytes_is_printable_ascii(literal: object, body: bytes) -> None:
    assert callable(literal)
    assert literals.is_plain(literal(body))


@pytest.mark.parametrize(
    ("literal", "text", "written"),
    [
        # The plainest that there is.
        (literals.python_string, '{"a": 1}', """'{"a": 1}'"""),
        (literals.python_string, "text/plain", '"text/plain"'),
        (literals.javascript_string, '{"a": 1}', """'{"a": 1}'"""),
        (literals.java_string, '{"a": 1}', '"""\n            {"a": 1}"""'),
        (literals.java_string, "text/plain", '"text/plain"'),
        (literals.go_string, '{"a": 1}', '`{"a": 1}`'),
        (literals.go_string, "text/plain", '"text/plain"'),
        (literals.ruby_string, '{"a": 1}', """'{"a": 1}'"""),
        (literals.ruby_string, "text/plain", '"text/plain"'),
        (literals.csharp_string, '{"a": 1}', '"""{"a": 1}"""'),
        # A page's script would end, or go on as a comment.
        (literals.javascript_string, "</script><!--", r"'<\/script><\!--'"),
        # Octal in the other languages, or what runs into the next digit.
        (literals.javascript_string, "\x001", r"'\x001'"),
        (literals.java_string, "\x001", r'"\0001"'),
        (literals.csharp_string, "\x001", r'"\u00001"'),
        # Java reads a line's end in `\u000a`, before it looks for strings.
        (literals.java_string, "\n\u2028\\u000a", r'"\n\u2028\\u000a"'),
        (literals.java_string, "\U0001f600", r'"\ud83d\ude00"'),
        (literals.go_string, "\U0001f600\x80", r'"\U0001f600\u0080"'),
        # Ruby would compute them.
        (literals.ruby_string, "#{1}", "'#{1}'"),
        (literals.ruby_string, "#{1}'\n", r'''"\#{1}'\n"'''),
        # The marks of raw and block literals.
        (literals.java_string, 'a"""', r'"a\"\"\""'),
        (literals.java_string, ' "a"', r'" \"a\""'),
        (literals.csharp_string, '"a"', r'"\"a\""'),
        (literals.go_string, '"`', r'"\"`"'),
    ],
)
def test_each_language_has_its_traps(literal: object, text: str, written: str) -> None:
    assert callable(literal)
    assert literal(text) == written


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_a_comment_is_over_where_its_line_is(sentences: list[str]) -> None:
    written = literals.comments("//", *sentences)
    assert written.endswith("\n")
    for line in written.removesuffix("\n").split("\n"):
        assert line.startswith("//")
        # No backslash: Java's `\u000a` ends a comment, and a backslash at its end is a trap to some.
        assert literals.is_plain(line, "\\")


@given(st.text("abc \n\\", max_size=400))
def test_a_long_comment_is_folded_between_words(sentence: str) -> None:
    folded = literals.comments("#", sentence)
    tokens = list(tokenize.generate_tokens(io.StringIO(folded).readline))
    assert {token.type for token in tokens} <= {tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER}
    longest = max(map(len, sentence.split(" ")))
    assert all(len(line) <= max(98, 10 * longest + 2) for line in folded.splitlines())
