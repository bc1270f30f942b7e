"""The test command's own promise: what fails twice has failed, and what fails once is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.__main__ import AT_BOTH_ENDS, ONCE
from tests.suite import MOST_AGAIN

ROOT = Path(__file__).resolve().parent.parent
FAILS = "def test_it():\n    assert False\n"
FAILS_ONCE = """\
from pathlib import Path

def test_it():
    seen = Path(__file__).with_suffix(".seen")
    again = seen.exists()
    seen.touch()
    assert again
"""
ONCE_ONLY = "FAILED BESIDE OTHERS AND PASSED ALONE: "


def suite(folder: Path, **files: str) -> tuple[int, str]:
    """The exit code and the output of a suite of these files."""
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "tests.suite", "-p", "xdist", "-n1", f"--rootdir={folder}", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # they take longer to load than this does
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_what_fails_beside_others_and_passes_alone_is_named(tmp_path: Path) -> None:
    code, output = suite(tmp_path, flaky=FAILS_ONCE, fine="def test_it(): pass\n")
    assert (code, output.count(ONCE_ONLY)) == (0, 1)
    assert output.endswith("test_flaky.py::test_it\n")


def test_what_fails_twice_has_failed(tmp_path: Path) -> None:
    code, output = suite(tmp_path, flaky=FAILS_ONCE, broken=FAILS)
    assert (code, output.count("failed twice: "), output.count(ONCE_ONLY)) == (1, 1, 1)


def test_many_failures_are_no_accident(tmp_path: Path) -> None:
    code, output = suite(tmp_path, **{f"f{n}": FAILS_ONCE for n in range(MOST_AGAIN + 1)})
    assert (code, output.count("short test summary")) == (1, 1)


@pytest.mark.parametrize("text", ["import nothing_like_that\n", "def test_it(:\n"])
def test_what_cannot_be_imported_has_failed(tmp_path: Path, text: str) -> None:
    code, output = suite(tmp_path, broken=text)
    assert code != 0
    assert ONCE_ONLY not in output


def test_what_is_left_out_on_some_pythons_is_there() -> None:
    assert [name for name in (*ONCE, *AT_BOTH_ENDS) if not (ROOT / name).exists()] == []
