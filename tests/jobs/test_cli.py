import subprocess
import sys
from pathlib import Path


def echolens(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "echolens", *arguments], capture_output=True, text=True, check=False
    )


def test_unknown_verb_names_the_nearest():
    """A misspelt verb ends with a hint and not with success."""
    ended = echolens("biuld")

    assert ended.returncode == 1
    assert "did you mean `echolens build`?" in ended.stderr


def test_help_loads_nothing_heavy():
    """`echolens --help` imports none of the libraries that take seconds."""
    code = (
        "import sys; sys.argv = ['echolens', '--help']; import jobs.cli; jobs.cli.main(); print(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.split())

    assert not loaded & {"torch", "ray", "transformers", "pyarrow", "numpy", "pydantic", "duckdb", "faiss"}


def test_help_lists_every_verb():
    """Each verb of the help has a job, and each says how to use it."""
    ended = echolens("--help")

    assert ended.returncode == 0
    assert "build" in ended.stdout
