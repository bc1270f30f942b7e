"""A mistake in what `add_middleware` is given ends the start of a server, which says what the mistake is."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from tests import commands
from tests.by_hand import Sent, over_asgi

import mockware
from mockware import ASGIMockMiddleware, ConfigError, Rule, WSGIMockMiddleware

SERVERS = {
    "uvicorn": ["late:app", "--port"],
    "granian": ["--interface", "asgi", "late:app", "--port"],
    "hypercorn": ["late:app", "--bind"],
}
BROKEN = {
    "ASGIMockMiddleware": r"mocks\.toml, rule 1 '/a': `statsu` = 410: no such key; did you mean `status`\?",
    "WSGIMockMiddleware": r"speaks ASGI: use ASGIMockMiddleware",
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_server_does_not_start_and_says_why(tmp_path: Path, server: str, name: str) -> None:
    statsu = "statsu" if name == "ASGIMockMiddleware" else "status"
    (tmp_path / "mocks.toml").write_text(f'[[rules]]\nmatch = "/a"\n{statsu} = 410\n')
    (tmp_path / "late.py").write_text(
        "import mockware\nfrom fastapi import FastAPI\n\napp = FastAPI()\n"
        f'app.add_middleware(mockware.{name}, rules="mocks.toml")\n'
    )
    place = str(commands.free_port())
    if server == "hypercorn":
        place = f"127.0.0.1:{place}"
    env = commands.environ(MOCKWARE="on", PYTHONPATH=f"{tmp_path}:{commands.SOURCE}")
    with commands.Program(*SERVERS[server], place, cwd=tmp_path, env=env, module=server) as program:
        code = program.wait()
        assert code != 0 or server == "hypercorn"  # whose worker ends for good, without a word to its parent
        program.wait_for("mockware cannot start:")
        program.wait_for(BROKEN[name])
        assert "mockware is ON" not in program.text


@pytest.mark.parametrize("make", [Starlette, FastAPI])
def test_without_a_lifespan_each_request_raises_it(make: type[Starlette]) -> None:
    app = make()
    app.add_middleware(ASGIMockMiddleware, rules="no-such-file.toml", enabled=True, environ={})
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"no-such-file\.toml: cannot be read"):
            over_asgi(app, Sent())


def test_what_is_not_of_add_middleware_raises_at_once() -> None:
    for wrap in (mockware.wrap, ASGIMockMiddleware):
        with pytest.raises(ConfigError, match=r"no-such-file\.toml: cannot be read"):
            wrap(Starlette(), rules="no-such-file.toml", enabled=True, environ={})


def test_the_wrong_class_does_not_say_that_it_is_on(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError, match="use ASGIMockMiddleware"):
        WSGIMockMiddleware(Starlette(), rules=[Rule("/a")], enabled=True, environ={})
    assert [record.getMessage() for record in caplog.records if record.name == "mockware"] == []
