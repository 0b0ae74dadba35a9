"""What reads files of strangers is in the few places that bound them: found in the code itself."""

import ast
import re

import pytest

from tests.commands import HOME

SOURCES = sorted(
    path for package in ("schemas", "pipelines", "jobs") for path in (HOME / package).rglob("*.py")
)


def below_home(path):
    return path.relative_to(HOME).as_posix()


# Made by ourselves, or the machine's: miniature worlds, scratch files of an index, packages of libraries.
OWN = ("pipelines/miniature/", "pipelines/train/pocket/")
# What may be called only in these files, and with which keyword.
PLACES = {
    "tarfile.open": ("pipelines/store/untrusted_tar.py",),
    "faiss.read_index": ("pipelines/index/files.py", "pipelines/index/parts.py"),
    "pq.ParquetFile": ("pipelines/store/parquet_file.py", "pipelines/store/parquet_stream.py"),
    "pq.read_table": (),
    "pickle.load": (),
    # What it has just pickled itself.
    "pickle.loads": ("pipelines/encode/conformance.py",),
}
WORDS = re.compile(r"tarfile|read_index|ParquetFile|read_table|pickle|np\.load|torch\.load|json|safe_load")
KEYWORDS = {"np.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}


def calls(path):
    """Yield the dotted name of every call of a file, and the call."""
    text = path.read_text()
    # A file that names none of them need not be parsed.
    for node in ast.walk(ast.parse(text)) if WORDS.search(text) else ():
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_readers_are_in_their_places(path):
    """Tars, indices and tables are opened where they are bounded; nothing is unpickled."""
    if below_home(path).startswith(OWN):
        return
    wrong = [name for name, _ in calls(path) if name in PLACES and below_home(path) not in PLACES[name]]
    for name, node in calls(path):
        if name in KEYWORDS:
            keyword, value = KEYWORDS[name]
            given = {each.arg: getattr(each.value, "value", None) for each in node.keywords}
            wrong += [] if given.get(keyword) is value else [f"{name} without {keyword}={value}"]

    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_json_of_a_root_is_read_in_one_place(path):
    """`json_file` bounds its size and its depth, and says what is wrong with it in one sentence."""
    parsers = ("json.loads", "json.load", "yaml.safe_load")
    wrong = [
        ast.unparse(node)
        for name, node in calls(path)
        if (name in parsers or name.endswith((".model_validate_json", ".validate_json")))
        and any(
            isinstance(inner, ast.Call) and ast.unparse(inner.func).endswith(("root.read", "folder.read"))
            for each in node.args
            for inner in ast.walk(each)
        )
    ]

    assert wrong == []
