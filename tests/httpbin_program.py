"""httpbin, in an environment of its own: on Python 3.11 it asks for an older greenlet than Playwright does.

What belongs here: to get it once, for all workers and runs. A test that cannot have it fails; it is never
skipped.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# The server beside it is the one that httpbin's own documentation names.
_PACKAGES = ("httpbin>=0.10.2", "gunicorn>=23")


def program() -> str:
    """A Python that has httpbin and gunicorn."""
    version = ".".join(map(str, sys.version_info[:3]))
    folder = Path(tempfile.gettempdir()) / f"mockware-httpbin-{os.getuid()}-{version}"
    folder.mkdir(mode=0o700, exist_ok=True)
    environment, complete = folder / "venv", folder / "complete"
    python = str(environment / "bin" / "python")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest-xdist may come here at once
        if not complete.exists():
            shutil.rmtree(environment, ignore_errors=True)
            venv.create(environment, with_pip=True)
            command = [python, "-m", "pip", "install", "--quiet", *_PACKAGES]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"httpbin is not to be had: {done.stderr}"
            complete.touch()
    return python
