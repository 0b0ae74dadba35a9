"""clip-retrieval in an environment of its own: it wants an older numpy than we do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# An environment that is there already.
THERE = os.environ.get("ECHOLENS_BENCH_CLIP_RETRIEVAL")


def their_python(folder):
    """Return the Python of an environment that holds clip-retrieval and nothing of ours."""
    if THERE:
        return Path(THERE) / "bin" / "python"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here, and ECHOLENS_BENCH_CLIP_RETRIEVAL names no environment")
    subprocess.run([uv, "venv", "--quiet", "--python", "3.11", folder / "theirs"], check=True)
    python = folder / "theirs" / "bin" / "python"
    # Its CLIP still imports pkg_resources, which later setuptools dropped.
    wanted = ["clip-retrieval", "setuptools<70"]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wanted], check=True)
    return python
