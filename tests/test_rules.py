"""The rules of the house, as far as a machine can check them."""

import ast
import re
import subprocess
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pipelines
from tests.commands import HOME

PACKAGES = ("schemas", "pipelines", "jobs")
SOURCES = [HOME / "echolens.py", *sorted(path for each in PACKAGES for path in (HOME / each).rglob("*.py"))]
TESTS = sorted((HOME / "tests").rglob("*.py"))

# From low to high. What stands on a floor imports what is on lower floors, and what is in its own room.
FLOORS = (
    ("schemas",),
    ("pipelines.errors",),
    ("pipelines.models", "pipelines.metrics"),
    ("pipelines.stage", "pipelines.compute", "pipelines.decode", "pipelines.miniature"),
    ("pipelines.store",),
    ("pipelines.encode",),
    ("pipelines.filter", "pipelines.fetch", "pipelines.index", "pipelines.translate", "pipelines.export"),
    ("pipelines.run", "pipelines.source", "pipelines.lookup"),
    ("pipelines.generate",),
    ("pipelines.maintain", "pipelines.train", "pipelines.doctor"),
    ("pipelines.evaluate", "pipelines.report"),
    ("pipelines.serve", "pipelines.api"),
    ("jobs",),
    ("echolens",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Folders that serve the steps of the flow and are none.
BESIDE_THE_FLOW = {
    *("models", "metrics", "compute", "decode", "miniature", "store", "export"),
    *("run", "maintain", "train", "doctor", "report", "serve", "api"),
}

# Where Ray may be imported: the engine and its own cluster, and what serves, trains and submits.
RAY = (
    "pipelines/run/ray_plan.py",
    "pipelines/run/local_ray.py",
    "pipelines/run/ray_cluster.py",
    "pipelines/run/ray_core.py",
    "pipelines/run/ray_patience.py",
    "pipelines/fetch/ratelimit/governor.py",
    "pipelines/train/ray_train.py",
    "jobs/shared/submit.py",
)


def below_home(path: Path) -> str:
    return path.relative_to(HOME).as_posix()


def imported(path: Path) -> set[str]:
    """Return the dotted names that a file imports, at any depth: modules, and what is taken from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def module_of(path: Path) -> str:
    """Return the dotted name of a file; a package is named by its folder."""
    return ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")


def room_of(name: str) -> str | None:
    """Return the room that a dotted name lies in."""
    return next((room for room in FLOOR if f"{name}.".startswith(f"{room}.")), None)


def as_module(name: str) -> str | None:
    """Return the module of ours that an imported name is, or is taken from."""
    return next((each for each in (name, name.rpartition(".")[0]) if each in MODULES), None)


MODULES = {module_of(path): path for path in SOURCES}


def test_every_file_is_in_a_room():
    """At the top of `pipelines/` lie the protocol of a step and the errors, and nothing else."""
    loose = {path.name for path in (HOME / "pipelines").glob("*.py")}

    assert {"__init__.py", "stage.py", "errors.py"} == loose
    assert [name for name in MODULES if name != "pipelines" and room_of(name) is None] == []


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_imports_go_down(path):
    """A file imports its own room and lower floors, in functions as at its top; nobody imports tests."""
    own = room_of(module_of(path))
    above = [
        (own, name)
        for name in imported(path)
        if (room := room_of(name)) and own and room != own and FLOOR[room] >= FLOOR[own]
    ]

    assert above == []
    assert not {name.split(".")[0] for name in imported(path)} & {"tests"}


@pytest.mark.parametrize("path", sorted((HOME / "jobs").rglob("*.py")), ids=below_home)
def test_only_the_demo_imports_verbs(path):
    """What several verbs share is in jobs/shared; the demo runs other verbs."""
    verbs = {f"jobs.{each.stem}" for each in (HOME / "jobs").glob("*.py")} - {"jobs.__init__"}
    found = {name for name in map(as_module, imported(path)) if name in verbs}

    assert found == set() or below_home(path) == "jobs/demo.py"


def test_no_files_import_each_other():
    """Neither directly nor around a corner; nor do folders, but for one and the folder that it lies in."""
    graph = {
        name: {to for found in imported(path) if (to := as_module(found)) and to != name}
        for name, path in MODULES.items()
    }
    folders: dict[Path, set[Path]] = {}
    for name, others in graph.items():
        here = MODULES[name].parent
        there = {MODULES[other].parent for other in others}
        folders.setdefault(here, set()).update(
            other for other in there if here not in other.parents and other not in (here, *here.parents)
        )

    TopologicalSorter(graph).prepare()
    TopologicalSorter(folders).prepare()


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_ray_stays_in_its_places(path):
    """Every other file runs, and is tested, without Ray."""
    name = below_home(path)
    uses_ray = any(module.split(".")[0] == "ray" for module in imported(path))

    assert not uses_ray or name in RAY or name.startswith("pipelines/serve/")


@pytest.mark.parametrize("path", TESTS, ids=below_home)
def test_what_tests_share_is_in_modules_made_for_it(path):
    """No file of tests imports from a file of tests that pytest collects, or from a conftest."""
    parts = {part for name in imported(path) for part in name.split(".")}

    assert {part for part in parts if part == "conftest" or part.startswith("test_")} == set()


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=below_home)
def test_a_file_is_one_idea(path):
    """No file is longer than 350 lines, no function longer than 50."""
    text = path.read_text()
    functions = [
        (node.name, (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(text.splitlines()) <= 350
    assert [(name, lines) for name, lines in functions if lines > 50] == []


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=below_home)
def test_names_say_what_is_inside(path):
    """No drawers for anything, no history in file names."""
    assert not re.search(r"(^|_)(utils?|helpers?|common|misc|new|old|final|v\d+)(_|$)", path.stem)


def find_type_tests(path: Path, classes: set[str]) -> list[str]:
    """Return the places in a file that ask whether something is of one of these classes."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        asked = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"isinstance", "issubclass"}:
            asked = list(ast.walk(node.args[1]))
        elif isinstance(node, ast.MatchClass):
            asked = list(ast.walk(node.cls))
        if {getattr(each, "id", None) or getattr(each, "attr", None) for each in asked} & classes:
            found.append(f"{path.name}:{node.lineno}")
    return found


def test_nothing_depends_on_the_class_of_a_generator(tmp_path):
    """A generator is asked through its protocol, so another one comes in by adding a file."""
    inside = [path for path in SOURCES if below_home(path).startswith("pipelines/generate/")]
    classes = {
        node.name
        for path in inside
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and re.search(r"Generator|Spec$|^AudioLdm", node.name)
    }
    asking = tmp_path / "asking.py"
    asking.write_text(
        "isinstance(it, (int, pipeline.AudioLdmSpec))\nmatch it:\n    case CustomGenerator(): ...\n"
    )

    assert {"AudioLdmSpec", "AudioLdmGenerator", "CustomGenerator", "ChosenGenerator"} <= classes
    assert ["asking.py:1", "asking.py:3"] == find_type_tests(asking, classes)
    assert [place for path in SOURCES for place in find_type_tests(path, classes | {"OtherGenerator"})] == []


def test_flow_is_the_folders_of_the_steps():
    """FLOW, the folders and the first line of each step (`in -> out`) agree."""
    folders = {path.parent.name for path in (HOME / "pipelines").glob("*/__init__.py")} - BESIDE_THE_FLOW
    firsts = [
        (HOME / "pipelines" / step / "__init__.py").read_text().splitlines()[0] for step in pipelines.FLOW
    ]

    assert folders == set(pipelines.FLOW)
    assert [first for first in firsts if " -> " not in first] == []


def test_readme_tells_the_flow_in_the_same_order():
    """A newcomer who reads the README knows the tree."""
    assert " -> ".join(pipelines.FLOW) in (HOME / "README.md").read_text()


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (HOME / name for name in listed.stdout.splitlines())
    return [path for path in paths if path.is_file() and path.suffix != ".safetensors"]


def test_nothing_names_a_machine():
    """No path of one machine, no package registry and no download address is committed."""
    # Spelled so that this rule holds for its own file.
    folders = "|".join(("work/", "farm/"))
    forbidden = re.compile(
        rf"(^|[^A-Za-z0-9_.])/({folders})|/root/[.]|--(index[-]url|find[-]links)|pypi[.]org"
    )

    found = [
        f"{below_home(path)}:{number}"
        for path in committed()
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), 1)
        if forbidden.search(line)
    ]

    assert found == []


def test_lock_has_hashes_and_no_addresses():
    """Every pinned package has a hash, and none says where it was found."""
    lock = (HOME / "requirements.lock").read_text()
    pins = re.split(r"\n(?=[a-z0-9])", lock.strip())

    assert "://" not in lock
    assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_every_file_of_the_packages_is_installed():
    """What is no Python is named as package data, or a wheel would lack it."""
    data = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    installed = {
        path
        for package, patterns in data.items()
        for pattern in patterns
        for path in (HOME / package.replace(".", "/")).glob(pattern)
    }

    left_out = [
        below_home(path)
        for path in committed()
        if path.suffix != ".py" and below_home(path).split("/")[0] in PACKAGES and path not in installed
    ]

    assert left_out == []
