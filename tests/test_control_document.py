"""The control API keeps the contract that it gives out: schemathesis asks, of real servers of both kinds."""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from tests.counting import GUNICORN, UVICORN, Way, serving

from mockware.control_document import document

KEY = "correct horse"
PREFIX = "/__mockware__"
CONTROL = {"MOCKWARE_CONTROL": PREFIX, "MOCKWARE_KEY": KEY}
PATIENCE_S = 300.0  # a failure bound; it takes half a minute

# What is left out: a rule's own schema says more than the document does; wrong keys are counted, and after
# ten of them nobody gets in (`tests/test_control_api.py` has both); a stream of events ends when it likes.
LEFT_OUT = ("--exclude-checks", "positive_data_acceptance,ignored_auth", "--exclude-path", "/events")


@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["ASGI", "WSGI"])
def test_schemathesis_finds_nothing_that_the_document_does_not_say(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    program = shutil.which("schemathesis", path=sysconfig.get_path("scripts"))
    assert program is not None, "schemathesis is missing: pip install 'mockware[dev]'"
    with serving(Way(command, CONTROL), store="memory:") as (server,):
        url = f"http://127.0.0.1:{server.port}{PREFIX}/api/openapi.json"
        options = ["-H", f"Authorization: Bearer {KEY}", "--phases", "examples,coverage,fuzzing", "-n", "10"]
        done = subprocess.run(
            [program, "run", url, *options, *LEFT_OUT, "--seed", "1", "--no-color", "--warnings", "off"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert "Traceback" not in server.log.text


def test_every_reference_of_the_document_leads_somewhere() -> None:
    told = document(PREFIX, "1")
    known = {f"#/components/schemas/{name}" for name in told["components"]["schemas"]}

    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if "$ref" in part else set()
            return own.union(*map(references, part.values()))
        return set().union(*map(references, part)) if isinstance(part, list) else set()

    assert references(told) == known
