"""The page about tasks says what mockware says, on both interfaces, and every example is on it."""

import pytest
from tests.task_pages import DIALOGUES, FOLDER, PAGE, page, section


def test_the_page_is_what_mockware_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m tests.task_pages"


@pytest.mark.parametrize("name", DIALOGUES)
def test_an_example_says_the_same_on_both_interfaces(name: str) -> None:
    # The names of fields are in lower case there.
    assert section(name, over_asgi=True).lower() == section(name).lower()


def test_every_example_is_on_the_page() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == {*DIALOGUES, "webhook"}
