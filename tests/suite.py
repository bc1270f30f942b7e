"""`python -m tests.suite [ARGUMENTS]`: all tests side by side, then what failed once more, by itself.

Law: a test that fails twice has failed. Of the first run, four workers share two cores with whatever else the
machine does, and a real server's answer may be late; in the second, nothing else runs. What passes only then
is named at the end, since it waits for too little time or for the wrong thing, and wants mending. More than a
few failures are no accident and get no second look. The arguments go to pytest.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Of over 10,000: as many as a few seconds of somebody else's load have spoilt.
MOST_AGAIN = 6
_TESTS_FAILED = 1  # pytest's exit code, as opposed to one that was interrupted or could not begin
# A file goes to one worker as a whole, so that its servers are started once; there are more workers than
# cores because much of the time is spent waiting for servers to start.
_SIDE_BY_SIDE = ["-n", "4", "--dist", "loadfile"]


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="mockware-suite-") as cache:
        pytest = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={cache}"]
        code = subprocess.run([*pytest, *_SIDE_BY_SIDE, *arguments], check=False).returncode
        if code != _TESTS_FAILED:
            return code
        failed = failures(cache)
        # A file that cannot be imported is in there as well, by its name alone.
        if len(failed) > MOST_AGAIN or not all("::" in name for name in failed):
            return code
        code = subprocess.run([*pytest, "--last-failed", *arguments], check=False).returncode
        twice = failures(cache)
        for name in failed:
            verdict = "failed twice" if name in twice else "FAILED BESIDE OTHERS AND PASSED ALONE"
            sys.stdout.write(f"{verdict}: {name}\n")
        return code


def failures(cache: str) -> list[str]:
    """What failed when it was last run."""
    file = Path(cache) / "v/cache/lastfailed"
    return sorted(json.loads(file.read_bytes())) if file.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
