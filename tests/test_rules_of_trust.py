"""Rules for what comes from others: who opens the files of a root, and who loads what others saved."""

import ast
import re
from pathlib import Path

import pytest

from tests.commands import HOME

SOURCES = sorted(path for room in ("schemas", "pipelines", "jobs") for path in (HOME / room).rglob("*.py"))


def below_home(path: Path) -> str:
    return path.relative_to(HOME).as_posix()


def find_calls(path: Path, name: str) -> list[ast.Call]:
    """Return the calls of a method of any object in a file."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    ]


def find_ways_around_a_root(path: Path) -> list[str]:
    """Return the places in a file that open files of a root by other ways than its methods."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        # Its file system, which takes any path.
        if isinstance(node, ast.Attribute) and node.attr == "fs":
            found.append(f"{path.name}:{node.lineno} .fs")
        # A path that is put together of its URL, and opened or made another root.
        if isinstance(node, ast.Call) and (
            ast.unparse(node.func) in ("Path", "open", "Root.from_url", "Root")
        ):
            texts = [ast.unparse(argument) for argument in node.args]
            if any(re.search(r"\broot\.url\b|\broot\.get_path\b", text) for text in texts):
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_nobody_goes_around_the_layer_of_a_root(path):
    """A root may come from anybody: its own methods check every name, link and special file."""
    # Reads lists, which are no roots.
    fine = {"pipelines/fetch/archives.py", "pipelines/source/img2dataset.py", "pipelines/source/folder.py"}
    name = below_home(path)
    if name.startswith("pipelines/store/") or name in fine:
        return

    assert [] == find_ways_around_a_root(path)


def test_ways_around_a_root_are_found(tmp_path):
    """Whichever they are."""
    file = tmp_path / "around.py"
    file.write_text(
        "root.fs.rm(x)\nself._rows.root.fs\nRoot.from_url(f'{root.url}/{name}')\nPath(root.url) / x\n"
        "Path(self.root.get_path(name))\nopen(root.url)\nroot.read(x)\nroot.enter(x)\n"
    )

    lines = sorted(int(each.split(":")[1].split()[0]) for each in find_ways_around_a_root(file))

    assert [1, 2, 3, 4, 5, 6] == lines


# Classes of diffusers that are no pipelines: they take no such argument, and run no code beside weights.
RUN_NO_CODE = {
    ("pipelines/generate/audioldm/pipeline.py", "scheduler.from_pretrained"),
    ("pipelines/generate/audioldm/pipeline.py", "net.from_pretrained"),
    ("pipelines/generate/guided/files.py", "unet_class.from_pretrained"),
    ("pipelines/generate/guided/files.py", "ddpm.from_pretrained"),
    ("pipelines/generate/stable_diffusion/base.py", "scheduler.from_pretrained"),
    ("pipelines/generate/stable_diffusion/base.py", "net.from_pretrained"),
    ("pipelines/train/pocket/unet.py", "autoencoder.from_pretrained"),
    ("pipelines/train/pocket/sd_unet.py", "autoencoder.from_pretrained"),
}


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_no_library_runs_code_beside_weights(path):
    """Every call that loads what others saved says so; where it is not said, transformers asks or obeys."""
    silent = [
        ast.unparse(call.func)
        for call in find_calls(path, "from_pretrained")
        if "trust_remote_code=False" not in [ast.unparse(each) for each in call.keywords]
        and (below_home(path), ast.unparse(call.func)) not in RUN_NO_CODE
    ]

    assert [] == silent
    assert not re.search(
        r"trust_remote_code\W+True|weights_only\W+False|allow_pickle\W+True", path.read_text()
    )
