"""`docker` for a reader of the guides where there is no engine: builds and runs what a Dockerfile says.

Law: what is said is done, or refused; nothing is passed over. An image is a folder with a fresh virtual
environment, in which the Dockerfile's steps are carried out by the shell; a container is its command in exec
form, with the environment of the image and of the command line and no other, in the image's WORKDIR.

Honest doubt: the base image is this machine with this Python's version, USER is looked at and not obeyed, a
container is not process 1, a mount is a link, and /srv and /tmp are folders of the image. What a
`.dockerignore` leaves out is decided for the few forms that the guides use.
"""

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path

HOME = Path(os.environ.get("STAND_IN_HOME", "."))
_STOP_S = 10.0  # what `docker stop` waits before it kills
_OUTSIDE = re.compile("^PIP_|proxy$|CERT|CA_BUNDLE", re.IGNORECASE)
_FOLDERS = re.compile(r"(?<![\w./])/(srv|tmp)(?![\w.])")


@dataclass
class Image:
    """What an image says of itself, and the folder that it is."""

    root: str
    workdir: str = "/"
    user: str = ""
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)

    def inside(self, text: str) -> str:
        """What stands for a text with paths of the image."""
        return _FOLDERS.sub(rf"{self.root}/\1", text)


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE)).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in lines if line.strip()]


def image_of(dockerfile: str, target: str, root: Path, context: Path | None = None) -> Image:
    """The image of a stage. Without a `context` nothing is built: it is what the image says of itself."""
    stages: dict[str, Image] = {}
    image = Image(str(root))
    name = ""
    for word, rest in instructions(dockerfile):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            assert base in stages or base.startswith("python:3."), f"FROM {base}: no such image"
            known = stages.get(base, Image(str(root)))
            image = stages[name] = Image(**json.loads(json.dumps(asdict(known))))
        elif word == "WORKDIR":
            image.workdir = rest
            Path(image.inside(rest)).mkdir(parents=True, exist_ok=True)
        elif word == "ENV":
            image.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "USER":
            image.user = rest
        elif word in ("ENTRYPOINT", "CMD"):
            parts = json.loads(rest)  # the exec form; a shell would keep signals to itself
            image.entrypoint, image.cmd = (parts, []) if word == "ENTRYPOINT" else (image.entrypoint, parts)
        elif word == "COPY":
            _copy(image, rest.split(), context)
        elif word == "RUN":
            _run_step(image, rest, context)
        else:
            assert word == "EXPOSE", f"nobody follows {word}"
    assert target in stages, f"no stage {target!r}"
    found = stages[target]
    # Kubernetes' runAsNonRoot looks at the number only.
    assert found.user.isdigit(), f"USER {found.user!r} is no number of a user"
    return found


def _copy(image: Image, words: list[str], context: Path | None) -> None:
    if context is None:
        return
    *sources, to = words
    for source in sources:
        kept = is_kept(source, (context / ".dockerignore").read_text().splitlines())
        assert kept, f"COPY {source}: .dockerignore leaves it out"
        place = Path(image.inside(image.workdir), to)
        if (context / source).is_dir():
            shutil.copytree(context / source, place)
        else:
            shutil.copy(context / source, place)


def is_kept(path: str, patterns: list[str]) -> bool:
    kept = True
    for pattern in patterns:
        if pattern and not pattern.startswith("#") and fnmatch(path, pattern.removeprefix("!")):
            kept = pattern.startswith("!")  # the last that matches decides
    return kept


def _run_step(image: Image, step: str, context: Path | None) -> None:
    if context is None:
        return
    # The cache of pip, which is this user's.
    step = step.removeprefix("--mount=type=cache,target=/root/.cache/pip ")
    env = _inner_env(image) | {"HOME": os.environ["HOME"]}
    # What names registries and certificates is a matter of the machine.
    env |= {name: value for name, value in os.environ.items() if _OUTSIDE.search(name)}
    step = image.inside(step)
    subprocess.run(["sh", "-ec", step], cwd=image.inside(image.workdir), env=env, check=True)


def _inner_env(image: Image) -> dict[str, str]:
    path = os.pathsep.join([f"{image.root}/venv/bin", "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": path, **image.env}


def build(words: list[str]) -> None:
    options = _options(words, ("--target", "--tag"))
    (context,) = (Path(word) for word in options.pop(""))
    (target,), (tag,) = options["--target"], options["--tag"]
    root = HOME / "images" / tag
    root.mkdir(parents=True)
    (root / "tmp").mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(root / "venv")], check=True)
    image = image_of((context / "Dockerfile").read_text(), target, root, context)
    (root / "image.json").write_text(json.dumps(asdict(image)))


def run(words: list[str]) -> None:
    options = _options(words, ("--name", "--publish", "--env", "--env-file", "--volume"), flags=("--rm",))
    tag, *arguments = options[""]
    image = Image(**json.loads((HOME / "images" / tag / "image.json").read_text()))
    for published in options.get("--publish", ()):
        address, outer, inner = published.split(":")
        assert (address, outer) == ("127.0.0.1", inner), f"--publish {published}: nobody does that here"
    env = _inner_env(image)
    for file in options.get("--env-file", ()):
        lines = [line for line in Path(file).read_text().splitlines() if line and not line.startswith("#")]
        env |= {name: image.inside(value) for name, value in (line.split("=", 1) for line in lines)}
    env |= dict(variable.split("=", 1) for variable in options.get("--env", ()))
    for volume in options.get("--volume", ()):
        outer, inner, mode = volume.split(":")
        assert (mode, Path(outer).is_absolute()) == ("ro", True), volume
        Path(image.inside(inner)).unlink(missing_ok=True)
        Path(image.inside(inner)).symlink_to(outer)
    command = [*image.entrypoint, *([image.inside(word) for word in arguments] or image.cmd)]
    for name in options.get("--name", ()):
        (HOME / f"{name}.pid").write_text(str(os.getpid()))
    os.chdir(image.inside(image.workdir))
    # Nobody but this machine shall reach it.
    os.execvpe(command[0], [word.replace("0.0.0.0", "127.0.0.1") for word in command], env)


def stop(words: list[str]) -> None:
    (name,) = words
    pid = int((HOME / f"{name}.pid").read_text())
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    ready, _, _ = select.select([ended], [], [], _STOP_S)
    assert ready, f"{name} had to be killed"
    sys.stdout.write(f"{name}\n")


def _options(words: list[str], names: tuple[str, ...], flags: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """The values of each option; under the empty name, the arguments, with the first of which options end."""
    found: dict[str, list[str]] = {}
    words = list(words)
    while words and words[0].startswith("--"):
        name = words.pop(0)
        assert name in names or name in flags, f"nobody follows {name}"
        found.setdefault(name, []).append(words.pop(0) if name in names else "")
    found[""] = words
    return found


if __name__ == "__main__":
    {"build": build, "run": run, "stop": stop}[sys.argv[1]](sys.argv[2:])
