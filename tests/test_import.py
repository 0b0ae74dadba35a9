"""`import echolens`, as a program of somebody else does it."""

import subprocess
import sys

import pytest

from tests.commands import HOME


def run_python(code, *paths):
    """Return what a fresh Python says, with folders that it looks into first."""
    lines = "\n".join(f"sys.path.insert({number}, {str(path)!r})" for number, path in enumerate(paths))
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{lines}\n{code}"], capture_output=True, text=True, check=False
    )


def test_it_loads_neither_ray_nor_a_net():
    """Opening a root and reading its vectors needs none of them."""
    told = run_python("import echolens; print({'ray', 'torch', 'gradio', 'faiss'} & {*sys.modules})", HOME)

    assert (0, "set()\n") == (told.returncode, told.stdout)


@pytest.mark.parametrize("name", ["schemas", "jobs"])
def test_another_package_in_the_way_is_one_sentence(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    told = run_python("import echolens", tmp_path, HOME)

    assert told.returncode
    last = told.stderr.strip().splitlines()[-1]
    assert (
        f"ImportError: echolens needs its own package '{name}' and Python finds ['{tmp_path / name}']" in last
    )
    assert "put that one behind the folder of echolens" in last
