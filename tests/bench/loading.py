"""Section 5: loading 10,000 rules, and importing the package while it is off.

Law: each figure is from a fresh process, which reports of itself in one line of JSON; the best of
several is judged. The memory of a load is what the process has grown by once one rule was loaded
(with all imports), the peak standing beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .report import Report
from .rule_sets import mixed
from .rules_files import toml

GOAL_S, GOAL_MIB = 2.0, 60.0
# What the extras bring, and the dependencies that are needed only while mockware is on.
UNWANTED = (
    "pydantic", "starlette", "asgiref", "anyio", "yaml", "granian", "uvicorn", "redis", "httpx", "jinja2",
)  # fmt: skip

_LOAD = """
import json, logging, sys, time
import mockware
def app(environ, start_response): return ()
def memory():
    # Not getrusage, whose peak a process has from its parent.
    with open("/proc/self/status") as file: lines = dict(line.split(":", 1) for line in file)
    return [int(lines[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM")]
path, small, without_c = sys.argv[1:]
if without_c == "yes":
    import yaml
    del yaml.CSafeLoader
logging.getLogger("mockware").setLevel(logging.ERROR)
environ = {"MOCKWARE": "on"}
begin = time.process_time()
mockware.wrap(app, rules=small, environ=environ)
imports = time.process_time() - begin
before, _ = memory()
begin, wall = time.process_time(), time.perf_counter()
kept = mockware.wrap(app, rules=path, environ=environ)
took, wall = time.process_time() - begin, time.perf_counter() - wall
rss, peak = memory()
print(json.dumps({"imports": imports, "cpu": took, "wall": wall, "rss": rss - before, "peak": peak - before}))
"""

_IMPORT = """
import json, sys, time
known = set(sys.modules)
begin = time.process_time()
import mockware
took = time.process_time() - begin
def app(environ, start_response): return ()
assert mockware.wrap(app, environ={}) is app
print(json.dumps({"cpu": took, "modules": sorted(set(sys.modules) - known)}))
"""


def run(report: Report, *, quick: bool) -> None:
    times = 1 if quick else 5
    with TemporaryDirectory() as folder:
        _loads(report, Path(folder), times)
    _import(report, times * 3)


def _loads(report: Report, folder: Path, times: int) -> None:
    rules = [{"match": match} for match in mixed()]
    texts = {
        "toml": toml(mixed()),
        "json": json.dumps({"rules": rules}, indent=1),
        "yaml": "rules:\n" + "".join(f'  - match: "{rule["match"]}"\n' for rule in rules),
    }
    rows = []
    for kind, text in texts.items():
        path, small = folder / f"many.{kind}", folder / f"one.{kind}"
        path.write_text(text)
        small.write_text({"toml": '[[rules]]\nmatch = "/a"\n'}.get(kind, '{"rules": [{"match": "/a"}]}'))
        for without_c in ("no", "yes") if kind == "yaml" else ("no",):
            label = kind.upper() + {"no": " with C", "yes": " without C"}[without_c] * (kind == "yaml")
            found = [_child(_LOAD, str(path), str(small), without_c) for _ in range(times)]
            best = {key: min(one[key] for one in found) for key in found[0]}
            cells = [label, f"{best['imports']:.2f}", f"{best['wall']:.2f}", f"{best['peak']:.1f}"]
            cpu, mib = best["cpu"], best["rss"]
            if kind == "yaml":
                rows.append([*cells, f"{cpu:.3f}", "stated", "", f"{mib:.3f}", "stated"])
            else:
                cells += report.judge(f"load of {label}, s of CPU", cpu, at_most=GOAL_S)
                rows.append([*cells, *report.judge(f"load of {label}, MiB", mib, at_most=GOAL_MIB)])
    columns = "file | imports, s | wall, s | peak, MiB | CPU, s | goal | holds | MiB | goal | holds"
    report.table(f"5. Loading {len(rules)} rules (best of {times} processes)", columns, rows)


def _import(report: Report, times: int) -> None:
    found = [_child(_IMPORT) for _ in range(times)]
    modules = found[0]["modules"]
    unwanted = sorted({name.partition(".")[0] for name in modules} & set(UNWANTED))
    absent = [name for name in UNWANTED if find_spec(name) is None]
    row = [f"{min(one['cpu'] for one in found) * 1000:.1f}", str(len(modules)), ", ".join(unwanted) or "none"]
    row += report.judge("unwanted imports while off", len(unwanted), at_most=0)
    columns = "CPU, ms | modules | unwanted | count | goal | holds"
    report.table(f"5. `import mockware`, toggle off (best of {times} processes)", columns, [row])
    report.note(f"Not installed here, so not proved absent: {', '.join(absent) or 'none'}.")
    report.note(f"Its own modules: {', '.join(name for name in modules if name.startswith('mockware'))}.")


def _child(code: str, *arguments: str) -> Any:
    source = str(Path(__file__).resolve().parents[2] / "src")
    environ = {**os.environ, "PYTHONPATH": source}
    for name in [name for name in environ if name.startswith("MOCKWARE")]:
        del environ[name]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environ, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
