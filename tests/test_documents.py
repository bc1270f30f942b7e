"""TOML, YAML and JSON are read alike, and nothing in them is lost."""

from pathlib import Path

import pytest

from mockware.documents import read_document

SAME = {
    "json": '{"rules": [{"match": "/a", "status": 503}, {"match": "/b"}]}',
    "yaml": "rules:\n- match: /a\n  status: 503\n- match: /b\n",
    "yml": "rules: [{match: /a, status: 503}, {match: /b}]\n",
    "toml": '[[rules]]\nmatch = "/a"\nstatus = 503\n[[rules]]\nmatch = "/b"\n',
}
TWICE = {
    "json": '{"rules": [{"match": "/a", "status": 503, "match": "/b"}]}',
    "yaml": "rules:\n- match: /a\n  status: 503\n  match: /b\n",
    "toml": '[[rules]]\nmatch = "/a"\nmatch = "/b"\n',
}


def written(folder: Path, form: str, text: str) -> Path:
    path = folder / f"mocks.{form}"
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", SAME)
def test_each_form_gives_the_same_tables(form: str, tmp_path: Path) -> None:
    expected = {"rules": [{"match": "/a", "status": 503}, {"match": "/b"}]}
    assert read_document(written(tmp_path, form, SAME[form])) == expected


@pytest.mark.parametrize("form", TWICE)
def test_a_key_that_stands_twice_is_refused(form: str, tmp_path: Path) -> None:
    # RFC 8259 section 4 leaves it open for JSON; most parsers keep the last one in silence.
    said = "Cannot overwrite a value" if form == "toml" else "the key 'match' stands twice in one table"
    with pytest.raises(ValueError, match=said):
        read_document(written(tmp_path, form, TWICE[form]))


def test_one_key_in_two_tables_is_two_keys(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "yaml", "a: {x: 1}\nb: {x: 2}\n"))
    assert document == {"a": {"x": 1}, "b": {"x": 2}}
