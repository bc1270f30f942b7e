"""`kubectl` for a reader of the guides where there is no cluster: the real one's, then what a cluster does.

Law: what kubectl makes by itself, manifests of a kustomization, a secret, other variables, the real kubectl
makes here. What it sends is judged by Kubernetes' own schemas, and each container of a pod is started as a
process with the command, arguments and variables of manifest and image, and no others. A ConfigMap is mounted
as the kubelet does it: `..data` is a link that is put in the place of the old one, and files lead through it.

Honest doubt: the kubelet takes up to a minute where this takes none; containers share the network of this
machine instead of one of their own; a rollout ends the old pod first, and liveness probes are asked once.
"""

import asyncio
import base64
import copy
import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import referencing
import yaml
from tests.docker_stand_in import HOME, Image, image_of
from tests.toolchains import alone, cache

Document = dict[str, Any]

CLUSTER = HOME / "cluster"
# This wheel has the strict schemas of many versions, in 17,000 files, which need no unpacking.
_SCHEMAS = "kubernetes-validate==1.37.0"
_VERSIONS = ("1.25.0", "1.37.0")
_KINDS = {
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Secret": "io.k8s.api.core.v1.Secret",
    "Service": "io.k8s.api.core.v1.Service",
}
_GRACE_S = 40.0  # terminationGracePeriodSeconds
_READY_S = 60.0  # a failure bound: a container starts within a second or two


def problems(document: Document) -> list[str]:
    """What a server of any supported version would refuse. Downloads the schemas, once."""
    folder = cache("kubernetes")
    with alone("kubernetes"):
        if not list(folder.glob("*.whl")):
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), _SCHEMAS]
            subprocess.run(pip, check=True)
    (wheel,) = folder.glob("*.whl")
    found = []
    for version in _VERSIONS:
        name = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/_definitions.json"
        with zipfile.ZipFile(wheel) as archive:
            definitions = json.loads(archive.read(name))
        resource = referencing.Resource.from_contents(
            definitions, default_specification=referencing.jsonschema.DRAFT202012
        )
        place = "/api/_definitions.json"
        registry: referencing.Registry[Any] = referencing.Registry().with_resource(place, resource)
        schema = {"$ref": f"{place}#/$defs/{_KINDS[document['kind']]}"}
        judge = jsonschema.Draft202012Validator(schema, registry=registry)
        found += [f"{version}: {error.json_path}: {error.message}" for error in judge.iter_errors(document)]
    return found


def _real(*words: str) -> str:
    outside = [part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != HOME / "bin"]
    kubectl = shutil.which("kubectl", path=os.pathsep.join(outside))
    assert kubectl
    done = subprocess.run([kubectl, *words], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _apply(text: str) -> None:
    for document in yaml.safe_load_all(text):
        document.get("metadata", {}).pop("creationTimestamp", None)
        wrong = problems(document)
        assert not wrong, "\n".join(wrong)
        kind, name = document["kind"], document["metadata"]["name"]
        before = _stored(kind, name)
        (CLUSTER / kind).mkdir(parents=True, exist_ok=True)
        (CLUSTER / kind / name).write_text(json.dumps(document))
        if kind == "Deployment" and before != document:
            _roll_out(document)
        if kind == "ConfigMap":
            for mounted in CLUSTER.glob(f"volumes/*/{name}"):
                _write_volume(mounted, document["data"])
        state = "created" if before is None else "unchanged" if before == document else "configured"
        sys.stdout.write(f"{kind.lower()}/{name} {state}\n")


def _stored(kind: str, name: str) -> Document | None:
    path = CLUSTER / kind / name
    return json.loads(path.read_text()) if path.exists() else None


def _get(kind: str, name: str) -> Document:
    found = _stored(kind, name)
    assert found is not None, f"there is no {kind} {name}"
    return found


def _write_volume(folder: Path, data: dict[str, str]) -> None:
    """As the kubelet does: a new folder, and one rename that puts all of it in the place at once."""
    old = folder.joinpath("..data").resolve() if folder.exists() else None
    number = next(n for n in itertools.count() if not (folder / f"..{n}").exists())
    new = folder / f"..{number}"
    new.mkdir(parents=True)
    for name, text in data.items():
        (new / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    (folder / "..data_tmp").symlink_to(new.name)
    (folder / "..data_tmp").rename(folder / "..data")
    if old is not None:
        shutil.rmtree(old)


def _roll_out(deployment: Document) -> None:
    end_pods()
    pod = deployment["spec"]["template"]["spec"]
    name = deployment["metadata"]["name"]
    assert pod["securityContext"] == {"runAsNonRoot": True}  # each image has a USER that is a number
    volumes = {}
    for volume in pod["volumes"]:
        mounted = CLUSTER / "volumes" / name / volume["configMap"]["name"]
        shutil.rmtree(mounted, ignore_errors=True)
        _write_volume(mounted, _get("ConfigMap", volume["configMap"]["name"])["data"])
        volumes[volume["name"]] = mounted
    for container in pod["containers"]:
        _start(container, volumes)


def _start(container: Document, volumes: dict[str, Path]) -> None:
    stage = re.fullmatch(r"registry\.example\.com/(\w+):[\d.]+", container["image"])
    assert stage, container["image"]
    # Both images are the container guide's; what they have in them, this Python has, too.
    built = HOME / "clone/examples/guides/container"
    image: Image = image_of((built / "Dockerfile").read_text(), stage[1], HOME / "images" / stage[1])
    mounts = {m["mountPath"]: volumes[m["name"]] for m in container.get("volumeMounts", ())}
    folders = "|".join(rf"{re.escape(path)}(?![\w.])" for path in mounts) or "(?!)"

    def inside(text: str) -> str:
        found = re.sub(folders, lambda path: str(mounts[path[0]]), text)
        return found.replace("0.0.0.0", "127.0.0.1")  # nobody but this machine shall reach it

    variables = {variable["name"]: inside(_value(variable)) for variable in container.get("env", ())}
    command = container.get("command", image.entrypoint)
    given = "args" in container or "command" in container
    command = [*command, *(container.get("args", []) if given else image.cmd)]
    with (CLUSTER / f"{container['name']}.log").open("ab") as log:
        process = subprocess.Popen(
            [inside(word) for word in command],
            cwd=built,
            env={"PATH": os.environ["PATH"], **image.env, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with (CLUSTER / "pids").open("a") as pids:
        pids.write(f"{process.pid}\n")


def _value(variable: Document) -> str:
    if "value" in variable:
        return str(variable["value"])
    wanted = variable["valueFrom"]["secretKeyRef"]
    return base64.b64decode(_get("Secret", wanted["name"])["data"][wanted["key"]]).decode()


def end_pods() -> None:
    """Ends all containers as a kubelet does: all at once, and waits for the end of each."""
    path = CLUSTER / "pids"
    pids = [int(pid) for pid in path.read_text().split()] if path.exists() else []
    path.unlink(missing_ok=True)
    ends = {pid: os.pidfd_open(pid) for pid in pids}
    for end in ends.values():
        signal.pidfd_send_signal(end, signal.SIGTERM)
    for pid, end in ends.items():
        if not select.select([end], [], [], _GRACE_S)[0]:
            os.killpg(pid, signal.SIGKILL)
            raise AssertionError("a container had to be killed")


def rollout_status(name: str) -> None:
    pod = _get("Deployment", name)["spec"]["template"]["spec"]
    for container in pod["containers"]:
        for kind in ("readinessProbe", "livenessProbe"):
            if kind in container:
                probe = container[kind]["httpGet"]
                port = _port(pod, probe["port"])
                deadline = time.monotonic() + _READY_S
                while not is_up(f"http://127.0.0.1:{port}{probe['path']}"):
                    assert time.monotonic() < deadline, f"{container['name']}: {kind} fails"
                    time.sleep(0.2)  # the period of a probe
    sys.stdout.write(f'deployment "{name}" successfully rolled out\n')


def is_up(url: str) -> bool:
    """The kubelet's question: any status from 200 to 399 is a success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(200 <= answer.status < 400)
    except OSError:
        return False


def _port(pod: Document, wanted: str | int) -> int:
    ports = [port for container in pod["containers"] for port in container.get("ports", ())]
    (found,) = (port["containerPort"] for port in ports if wanted in (port["name"], port["containerPort"]))
    return int(found)


async def _forward(name: str, ports: str) -> None:
    outer, inner = (int(port) for port in ports.split(":"))
    service = _get("Service", name)["spec"]
    (wanted,) = (port["targetPort"] for port in service["ports"] if port["port"] == inner)
    (found,) = (
        document
        for document in (json.loads(path.read_text()) for path in (CLUSTER / "Deployment").iterdir())
        if service["selector"].items() <= document["spec"]["template"]["metadata"]["labels"].items()
    )
    to = _port(found["spec"]["template"]["spec"], wanted)

    async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(copied(reader, back), copied(there, writer), return_exceptions=True)

    server = await asyncio.start_server(met, "127.0.0.1", outer)
    sys.stdout.write(f"Forwarding from 127.0.0.1:{outer} -> {to}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


def main(words: list[str]) -> None:
    CLUSTER.mkdir(exist_ok=True)
    match words:
        case ["create", "secret", "generic", _, *_]:
            _apply(_real(*words, "--dry-run=client", "-o", "yaml"))
        case ["apply", "-k", folder]:
            _apply(_real("kustomize", folder))
        case ["rollout", "status", target, "--timeout=120s"]:
            rollout_status(target.removeprefix("deployment/"))
        case ["set", "env", target, *what]:
            deployment = copy.deepcopy(_get("Deployment", target.removeprefix("deployment/")))
            path = CLUSTER / "deployment.json"
            path.write_text(json.dumps(deployment))
            _apply(_real("set", "env", "--local", "-f", str(path), *what, "-o", "yaml"))
        case ["delete", "deployment/shop"]:
            end_pods()
        case ["port-forward", target, ports]:
            asyncio.run(_forward(target.removeprefix("service/"), ports))
        case _:
            raise SystemExit(f"nobody follows kubectl {' '.join(words)}")


if __name__ == "__main__":
    main(sys.argv[1:])
